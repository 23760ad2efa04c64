"""A document as Markdown: the same words as the HTML, with tables where it has pictures."""
from collections.abc import Sequence

from luthier.evaluation.report.document import Block, Code, Document, Example, Examples, Marked, Notice, Picture, Prose, Table, Tiles
from luthier.evaluation.report.escape import fenced, markdown

MOST_LINES = 12
"""Lines of a picture's numbers that are shown."""


def write(document: Document) -> str:
    """The whole document."""
    parts = [f"# {markdown(document.title)}", markdown(document.subtitle)]
    for section in document.sections:
        parts.append(f"## {markdown(section.title)}")
        parts += [block_text(block) for block in section.blocks]
    return "\n\n".join(part for part in parts if part) + "\n"


def block_text(block: Block) -> str:
    if isinstance(block, Prose):
        return f"**{markdown(block.text)}**" if block.weight == "lead" else markdown(block.text)
    if isinstance(block, Notice):
        return f"> **{block.level}**: {markdown(block.text)}"
    if isinstance(block, Tiles):
        return "\n".join(f"- {markdown(label)}: **{markdown(value)}** ({markdown(meaning)})" if meaning else f"- {markdown(label)}: **{markdown(value)}**" for label, value, meaning in block.tiles)
    if isinstance(block, Table):
        return titled(block.title, table_text(block.head, block.lines, block.numeric))
    if isinstance(block, Picture):
        step = -(-len(block.lines) // MOST_LINES) or 1
        chosen = [*block.lines[::step], *(block.lines[-1:] if (len(block.lines) - 1) % step else [])]
        return f"### {markdown(block.title)}\n\n{markdown(block.sentence)}\n\n{table_text(block.head, chosen, frozenset(range(1, len(block.head))))}"
    if isinstance(block, Code):
        return titled(block.title, fenced(block.text, block.language))
    return marked_text(block) if isinstance(block, Marked) else examples_text(block)


def marked_text(block: Marked) -> str:
    """Texts whose marks stand in brackets."""
    lines = ["".join(f"**[{markdown(text)} · {markdown(words)}]**" if kind else markdown(text) for text, kind, words in parts) for _, parts in block.lines]
    return "\n".join([f"### {markdown(block.title)}\n", *(f"- {markdown(where)}: {line}" for (where, _), line in zip(block.lines, lines))])


def titled(title: str, text: str) -> str:
    return f"### {markdown(title)}\n\n{text}" if title else text


def table_text(head: Sequence[str], lines: Sequence[Sequence[str]], numeric: frozenset[int]) -> str:
    """A table; its cells cannot break out of it."""
    rule = ["---:" if index in numeric else "---" for index in range(len(head))]
    every = [[markdown(cell) or " " for cell in head], rule, *([markdown(cell) or " " for cell in line] for line in lines)]
    return "\n".join(f"| {' | '.join(line)} |" for line in every)


def examples_text(block: Examples) -> str:
    return "\n\n".join([f"### {markdown(block.title)}", *(example_text(example) for example in block.examples)])


def example_text(example: Example) -> str:
    mark = {True: " ✓", False: " ✗", None: ""}
    lines = [f"- **{markdown(example.row)}**: {markdown(example.question)}"]
    if example.before is not None:
        lines.append(f"  - {markdown(example.before_name)}: {markdown(example.before)}{mark[example.before_right]}{note(example.before_score)}")
    lines.append(f"  - tuned: {markdown(example.after)}{mark[example.right]}{note(example.after_score)}")
    lines.append(f"  - target: {markdown(example.target)}")
    return "\n".join(lines + ([f"  - {markdown(example.remark)}"] if example.remark else []))


def note(text: str) -> str:
    return f" ({markdown(text)})" if text else ""
