"""Markdown (CommonMark and tables, read by markdown-it): its blocks as they are written, under their headings."""
from collections.abc import Iterator
from pathlib import Path

from luthier.data.documents.block import Block
from luthier.data.documents.plain import text_of


def read(path: Path) -> Iterator[Block]:
    from markdown_it import MarkdownIt

    lines = text_of(path).split("\n")
    start = end_of_front_matter(lines)
    tokens = MarkdownIt("commonmark").enable("table").parse("\n".join([""] * start + lines[start:]))
    headings: list[str] = []
    number = 0
    for at, token in enumerate(tokens):
        if token.level or not token.map:
            continue
        if token.type == "heading_open":
            level = int(token.tag[1])
            headings = [*(headings + [""] * level)[: level - 1], plain(tokens[at + 1])]
            continue
        text = "\n".join(lines[token.map[0] : token.map[1]]).strip("\n")
        if text.strip() and token.type not in ("html_block", "hr"):
            number += 1
            yield Block(text, tuple(filter(None, headings)), paragraph=number, line=token.map[0] + 1)


def plain(inline) -> str:
    """The words of a heading without its marks."""
    return "".join(child.content for child in inline.children or () if child.type in ("text", "code_inline", "softbreak")).strip()


def end_of_front_matter(lines: list[str]) -> int:
    """Lines of settings between `---` at the top."""
    if lines and lines[0].strip() == "---":
        for at, line in enumerate(lines[1:200], 1):
            if line.strip() in ("---", "..."):
                return at + 1
    return 0
