"""Bytes that are not UTF-8: what they probably are, and at which byte the trouble starts."""
from luthier.data.findings import Finding
from luthier.data.sources.rows import Place

UTF8_MARK = b"\xef\xbb\xbf"
MARKS = {b"\xff\xfe\0\0": "UTF-32 LE", b"\0\0\xfe\xff": "UTF-32 BE", b"\xff\xfe": "UTF-16 LE", b"\xfe\xff": "UTF-16 BE"}
ARCHIVES = {b"PK\x03\x04": "a zip archive (or an Excel workbook)", b"BZh": "bzip2", b"\xfd7zXZ\0": "xz", b"\x28\xb5\x2f\xfd": "zstd", b"7z\xbc\xaf": "7-zip", b"%PDF": "a PDF"}


def wrong_head(head: bytes, place: Place) -> Finding | None:
    """A finding where the first bytes of a file show another encoding or no text at all; nothing of it can be read."""
    for mark, name in ARCHIVES.items():
        if head.startswith(mark):
            return place.stop("D131", f"{place.file} holds {name}, not text", "unpack or export it to JSONL or CSV first", byte_offset=0)
    for mark, name in MARKS.items():
        if head.startswith(mark):
            return _other_encoding(place, name, f"byte order mark {mark.hex(' ').upper()} at byte 0", 0)
    pairs = len(head) // 2
    for first, name in ((0, "UTF-16 BE"), (1, "UTF-16 LE")):
        zeros = head[first : 2 * pairs : 2].count(0)
        if pairs >= 4 and zeros > 0.4 * pairs and head[1 - first : 2 * pairs : 2].count(0) < 0.1 * pairs:
            return _other_encoding(place, name, "every second byte is 0", head.find(0))
    return None


def _other_encoding(place: Place, name: str, why: str, offset: int) -> Finding:
    hint = f"save it as UTF-8, for example: iconv -f {name.split()[0]}{name[-2:]} -t UTF-8 IN > OUT" if why.startswith("every") else f"save it as UTF-8, for example: iconv -f {name.split()[0]} -t UTF-8 IN > OUT"
    return place.stop("D101", f"{place.file} is {name}, not UTF-8 ({why})", hint, line=1, column=1, byte_offset=offset)


def undecodable(raw: bytes, error: UnicodeDecodeError, place: Place, line: int, offset: int, column: int | None = None) -> Finding:
    """A finding for a line that is not UTF-8, at the first byte that cannot be read. `offset` is where `raw` begins in the file."""
    start = error.start
    column = column or len(raw[:start].decode()) + 1
    what, encoding = _guess(raw, start, error.reason)
    return Finding(
        "D101", "error", f"byte 0x{raw[start]:02X} is not UTF-8: {what}", file=place.file, line=line, column=column, byte_offset=offset + start,
        hint=f"save the file as UTF-8, for example: iconv -f {encoding} -t UTF-8 IN > OUT" if encoding else "write the file again as UTF-8",
        raw=raw.decode(errors="backslashreplace"),
    )


def _guess(raw: bytes, start: int, reason: str) -> tuple[str, str]:
    """What the bytes at `start` are, and the encoding to convert from where one is likely."""
    byte, following = raw[start], raw[start + 1 : start + 2]
    second = following[0] if following else 0
    if byte in (0xC0, 0xC1) or (byte == 0xE0 and 0x80 <= second < 0xA0) or (byte == 0xF0 and 0x80 <= second < 0x90):
        return "an overlong form, which hides a character in more bytes than it needs", ""
    if byte == 0xED and 0xA0 <= second <= 0xBF:
        return "half of a character (a surrogate written as UTF-8)", ""
    if byte == 0xF4 and second >= 0x90 or byte > 0xF4 and 0x80 <= second < 0xC0:
        return "beyond the last Unicode character", ""
    if reason == "unexpected end of data":
        return "the text ends in the middle of a character", ""
    low = [value for value in raw if 0x80 <= value < 0xA0]
    if low and not set(low) & {0x81, 0x8D, 0x8F, 0x90, 0x9D}:
        return f"probably Windows-1252 (CP1252), where it is {bytes([byte]).decode('cp1252', 'replace')!r}", "CP1252"
    if low:
        return "no common text encoding fits", ""
    return f"probably Latin-1 (ISO-8859-1), where it is {bytes([byte]).decode('latin-1')!r}", "ISO-8859-1"
