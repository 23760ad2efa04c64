"""Word documents (ECMA-376): paragraphs, lists and tables under their headings. The archive is read in memory with a limit; no entity is expanded, nothing is fetched."""
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

from luthier.data.documents.block import Block
from luthier.errors import DataError

SPACE = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
LARGEST = 128 << 20


def read(path: Path) -> Iterator[Block]:
    from lxml import etree

    try:
        with zipfile.ZipFile(path) as archive:
            parts = {name: part(archive, name, path) for name in ("word/document.xml", "word/styles.xml") if name in archive.namelist()}
        parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
        body = etree.fromstring(parts["word/document.xml"], parser).find(f"{SPACE}body")
        styles = headings_of(etree.fromstring(parts["word/styles.xml"], parser)) if "word/styles.xml" in parts else {}
    except (zipfile.BadZipFile, KeyError, etree.XMLSyntaxError, EOFError, ValueError) as error:
        raise DataError(f"{path} is no Word document that can be read: {error}", code="D109", file=str(path), hint="save it again as .docx") from None
    headings: list[str] = []
    number, page = 0, 1
    for element in body if body is not None else ():
        page += len(element.findall(f".//{SPACE}lastRenderedPageBreak")) + len([one for one in element.iter(f"{SPACE}br") if one.get(f"{SPACE}type") == "page"])
        text = table_text(element) if element.tag == f"{SPACE}tbl" else words(element) if element.tag == f"{SPACE}p" else ""
        level = level_of(element, styles)
        if level and text:
            headings = [*(headings + [""] * level)[: level - 1], text]
        elif text:
            number += 1
            yield Block(text, tuple(filter(None, headings)), page=page, paragraph=number)


def part(archive: zipfile.ZipFile, name: str, path: Path) -> bytes:
    if archive.getinfo(name).file_size > LARGEST:
        raise DataError(f"{path}: {name} unpacks to more than {LARGEST:,} bytes", code="D102", file=str(path))
    return archive.read(name)


def words(paragraph) -> str:
    """The text of a paragraph; tabs and breaks are kept."""
    pieces = {f"{SPACE}t": lambda one: (one.text or "") + "".join(inner.tail or "" for inner in one), f"{SPACE}tab": lambda one: "\t", f"{SPACE}br": lambda one: "\n"}
    return "".join(pieces[one.tag](one) for one in paragraph.iter() if one.tag in pieces).strip()


def table_text(table) -> str:
    """Rows as lines, cells with bars between."""
    return "\n".join(" | ".join(" ".join(words(paragraph) for paragraph in cell.iter(f"{SPACE}p")).strip() for cell in row.iter(f"{SPACE}tc")) for row in table.iter(f"{SPACE}tr")).strip()


def level_of(element, styles: dict[str, int]) -> int:
    """The level of a heading; 0 where it is none."""
    style = element.find(f"{SPACE}pPr/{SPACE}pStyle")
    return styles.get(style.get(f"{SPACE}val", ""), 0) if style is not None else 0


def headings_of(root) -> dict[str, int]:
    """Style id -> level, by the style's name, which Word keeps in English."""
    found = {}
    for style in root.iter(f"{SPACE}style"):
        name = style.find(f"{SPACE}name")
        if name is not None and (match := re.fullmatch(r"(?i)heading (\d)|(title)", name.get(f"{SPACE}val", ""))):
            found[style.get(f"{SPACE}styleId", "")] = int(match[1] or 1)
    return found
