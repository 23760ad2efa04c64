"""Texts put right: invisible characters removed, broken encodings undone, control tokens taken out."""
from collections.abc import Callable

from luthier.data.checks.characters import CONTROL, INVISIBLE, MOJIBAKE, TOKENS

CONTROLS = dict.fromkeys(CONTROL)
HALVES = {code: code for code in range(256)} | {ord(bytes([code]).decode("cp1252")): code for code in range(128, 160) if code not in (0x81, 0x8D, 0x8F, 0x90, 0x9D)}


def without_invisible(options) -> Callable[[str], str]:
    return lambda text: INVISIBLE.sub("", text.translate(CONTROLS))


def without_tokens(options) -> Callable[[str], str]:
    def clean(text: str) -> str:
        while TOKENS.search(text):
            text = TOKENS.sub("", text)
        return text

    return clean


def unbroken(options) -> Callable[[str], str]:
    """UTF-8 that was read as Windows-1252 is read again; nothing that does not read as UTF-8 is touched."""
    return repair


def repair(text: str) -> str:
    for _ in range(3):
        if not MOJIBAKE.search(text):
            return text
        fixed = "".join(_runs(text))
        if fixed == text:
            return text
        text = fixed
    return text


def _runs(text: str):
    """The text with every run of broken characters read again where that gives whole characters."""
    at = 0
    while at < len(text):
        code = HALVES.get(ord(text[at]), 0)
        size = 2 if 0xC2 <= code <= 0xDF else 3 if 0xE0 <= code <= 0xEF else 4 if 0xF0 <= code <= 0xF4 else 0
        halves = [HALVES.get(ord(one), -1) for one in text[at : at + size]]
        if size and len(halves) == size and min(halves) >= 0:
            try:
                yield bytes(halves).decode()
                at += size
                continue
            except UnicodeDecodeError:
                pass
        yield text[at]
        at += 1
