"""HTML (read by lxml): the blocks that people read; navigation, scripts and forms are passed over. Nothing is fetched and no entity is expanded."""
import re
from collections.abc import Iterator
from pathlib import Path

from luthier.data.documents.block import Block
from luthier.errors import DataError

UNREAD = {"script", "style", "noscript", "template", "nav", "header", "footer", "aside", "form", "button", "iframe", "svg", "select", "head"}
BLOCKS = {"p", "li", "pre", "blockquote", "td", "th", "dt", "dd", "figcaption", "caption", "div", "section", "article", "main", "body", "table", "tr", "ul", "ol", "dl", "tbody", "thead", "details", "summary"}
HEADINGS = {f"h{level}": level for level in range(1, 7)}


def read(path: Path) -> Iterator[Block]:
    from lxml import etree
    from lxml import html as library

    data = path.read_bytes()
    if not data.strip():
        return
    try:
        root = library.document_fromstring(data, parser=library.HTMLParser(no_network=True, remove_comments=True, remove_pis=True, encoding=declared(data)))
    except (etree.ParserError, etree.XMLSyntaxError, LookupError) as error:
        raise DataError(f"{path} is no HTML that can be read: {error}", code="D109", file=str(path)) from None
    headings: list[str] = []
    number = 0
    for kind, text in walk(root.find("body") if root.find("body") is not None else root):
        if kind in HEADINGS:
            level = HEADINGS[kind]
            headings = [*(headings + [""] * level)[: level - 1], text]
        elif text:
            number += 1
            yield Block(text, tuple(filter(None, headings)), paragraph=number)


def declared(data: bytes) -> str:
    """The encoding that a page names in its first bytes; UTF-8 where it names none."""
    match = re.search(rb"charset=[\"']?([\w-]+)", data[:2048])
    return match[1].decode() if match else "utf-8"


def walk(element) -> Iterator[tuple[str, str]]:
    """(tag, text) of headings and of the innermost blocks, in order."""
    held: list[str] = []

    def flush(tag: str) -> Iterator[tuple[str, str]]:
        text = "".join(held).strip("\n") if tag == "pre" else " ".join("".join(held).split())
        held.clear()
        if text:
            yield tag, text

    def inside(node, tag: str) -> Iterator[tuple[str, str]]:
        held.append(node.text or "")
        for child in node:
            name = child.tag if isinstance(child.tag, str) else ""
            if name in UNREAD or not name:
                pass
            elif name in HEADINGS or name in BLOCKS:
                yield from flush(tag)
                yield from inside(child, name)
                yield from flush(name)
            elif name == "br":
                held.append("\n")
            else:
                yield from inside(child, tag)
            held.append(child.tail or "")

    yield from inside(element, "p")
    yield from flush("p")
