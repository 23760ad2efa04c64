"""PDF (read by pypdf): the text of each page, cut into paragraphs; words broken at the end of a line are joined. Scans without text give nothing, and that is told."""
import re
from collections.abc import Iterator
from pathlib import Path

from luthier.data.documents.block import Block
from luthier.errors import DataError

MOST_PAGES = 20_000


def read(path: Path) -> Iterator[Block]:
    try:
        import pypdf
    except ImportError:
        raise DataError(f"{path} is a PDF, and pypdf is not installed", code="D131", file=str(path), hint="pip install 'luthier[data]'") from None
    number = 0
    try:
        document = pypdf.PdfReader(path)
        if document.is_encrypted and not document.decrypt(""):
            raise DataError(f"{path} is locked by a password", code="D109", file=str(path), hint="unlock it first")
        for page, content in enumerate(document.pages[:MOST_PAGES], 1):
            for text in paragraphs(content.extract_text() or ""):
                number += 1
                yield Block(text, page=page, paragraph=number)
    except (pypdf.errors.PyPdfError, ValueError, KeyError, TypeError, AttributeError, RecursionError, OSError) as error:
        raise DataError(f"{path} cannot be read as PDF: {type(error).__name__}: {str(error)[:200]}", code="D109", file=str(path), hint="save it again, or export it as text") from None
    if not number:
        raise DataError(f"{path} holds no text: it is probably a scan", code="D110", file=str(path), hint="run a text recognition over it first")


def paragraphs(text: str) -> Iterator[str]:
    """Lines joined into paragraphs: one ends at a blank line, or at a short line that ends a sentence."""
    lines = [line.strip() for line in text.split("\n")]
    longest = max(map(len, lines), default=0)
    held = ""
    for line in [*lines, ""]:
        if line:
            held = held[:-1] + line if re.search(r"[a-z]-$", held) and line[:1].islower() else f"{held} {line}".strip()
        if held and (not line or (len(line) < 0.7 * longest and line.endswith((".", "!", "?", ":")))):
            yield held
            held = ""
