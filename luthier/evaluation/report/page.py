"""A document as one HTML page that needs nothing else: no script, no font, no picture from anywhere; a policy in its head forbids them."""
import difflib
import re
from collections.abc import Sequence
from pathlib import Path

from luthier.evaluation.report.document import Block, Code, Document, Example, Marked, Notice, Picture, Prose, Section, Table, Tiles
from luthier.evaluation.report.escape import html

STYLE = Path(__file__).with_name("style.css")
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
SIGNS = {"good": "✓", "warning": "!", "bad": "✗"}
STATUS_SIGNS = {"done": "✓", "failed": "✗", "stopped": "◼", "running": "…"}


def write(document: Document) -> str:
    """The whole page."""
    links = "".join(f'<a href="#{section.key}">{html(section.title)}</a>' for section in document.sections)
    status = html(document.status)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{html(POLICY)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer">\n'
        f"<title>{html(document.title)}</title>\n<style>{STYLE.read_text(encoding='utf-8')}</style></head>\n<body>\n"
        f'<header><p class="mark">Luthier · report of a run</p><h1>{html(document.title)} '
        f'<span class="status {css_word(document.status)}">{STATUS_SIGNS.get(document.status, "")} {status}</span></h1>'
        f'<p class="subtitle">{html(document.subtitle)}</p><nav aria-label="Parts">{links}</nav></header>\n<main>\n'
        + "\n".join(section_html(section) for section in document.sections)
        + "\n</main>\n</body></html>\n"
    )


def css_word(text: str) -> str:
    """A class name out of anything."""
    return re.sub(r"[^a-z]", "", text.lower())[:20]


def section_html(section: Section) -> str:
    return f'<section id="{section.key}"><h2>{html(section.title)}</h2>\n' + "\n".join(block_html(block) for block in section.blocks) + "</section>"


def block_html(block: Block) -> str:
    if isinstance(block, Prose):
        return f'<p class="{block.weight}">{html(block.text)}</p>'
    if isinstance(block, Notice):
        return f'<p class="notice {block.level}" role="note"><b aria-hidden="true">{SIGNS[block.level]}</b> {html(block.text)}</p>'
    if isinstance(block, Tiles):
        return '<dl class="tiles">' + "".join(tile(*each) for each in block.tiles) + "</dl>"
    if isinstance(block, Table):
        return folded(block.title, table(block.head, block.lines, block.numeric), block.folded)
    if isinstance(block, Picture):
        return picture(block)
    if isinstance(block, Code):
        return folded(block.title, f'<pre tabindex="0"><code>{html(block.text)}</code></pre>', block.folded)
    if isinstance(block, Marked):
        return marked(block)
    return f"<h3>{html(block.title)}</h3>" + '<div class="examples">' + "".join(example(each, block.labels) for each in block.examples) + "</div>"


def tile(label: str, value: str, meaning: str) -> str:
    small = f"<dd>{html(meaning)}</dd>" if meaning else ""
    return f'<div><dt>{html(label)}</dt><dd class="figure">{html(value)}</dd>{small}</div>'


def folded(title: str, content: str, fold: bool) -> str:
    """Content under its title, or behind it."""
    if fold:
        return f"<details><summary>{html(title)}</summary>{content}</details>"
    return f"<h3>{html(title)}</h3>{content}" if title else content


def table(head: Sequence[str], lines: Sequence[Sequence[str]], numeric: frozenset[int]) -> str:
    """A table that scrolls by itself where it is too wide."""

    def cell(tag: str, index: int, text: str) -> str:
        kind = ' class="number"' if index in numeric else ""
        return f"<{tag}{kind}>{html(text)}</{tag}>"

    top = "".join(cell("th", index, text) for index, text in enumerate(head))
    body = "".join("<tr>" + "".join(cell("td", index, text) for index, text in enumerate(line)) + "</tr>" for line in lines)
    return f'<div class="scroll" tabindex="0"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def picture(block: Picture) -> str:
    """Both drawings, of which the page shows the one that fits; the sentence; the numbers as CSV."""
    lines = [",".join(quoted(cell) for cell in line) for line in [block.head, *block.lines]]
    return (
        f'<figure><h3>{html(block.title)}</h3><p class="reading">{html(block.sentence)}</p>'
        f'<div class="wide">{block.wide}</div><div class="narrow">{block.narrow}</div>'
        f'<details><summary>The numbers (CSV)</summary><pre tabindex="0">{html(chr(10).join(lines))}</pre></details></figure>'
    )


def quoted(cell: str) -> str:
    """A CSV cell; one that a spreadsheet would run as a formula is led by an apostrophe."""
    cell = f"'{cell}" if cell[:1] in "=+@" or (cell[:1] == "-" and not re.fullmatch(r"-?[\d.e+-]+", cell)) else cell
    return '"' + cell.replace('"', '""') + '"' if re.search('[",\n]', cell) else cell


# ---- marked texts --------------------------------------------------------------------------------
MARKS = {"right": "✓", "missed": "−", "extra": "+", "changed": "≠"}


def marked(block: Marked) -> str:
    """Texts with their marks; each mark has a sign and words, so that nothing hangs on colour."""

    def piece(text: str, kind: str, words: str) -> str:
        return f'<mark class="{css_word(kind)}">{html(text)}<small> {MARKS.get(kind, "")} {html(words)}</small></mark>' if kind else html(text)

    lines = "".join(f'<article><p class="where">{html(where)}</p><p class="marked">{"".join(piece(*part) for part in parts)}</p></article>' for where, parts in block.lines)
    return f'<h3>{html(block.title)}</h3><div class="examples">{lines}</div>'


# ---- examples -----------------------------------------------------------------------------------
def example(one: Example, labels: bool) -> str:
    """The question, then before, tuned and target side by side."""
    columns = []
    if one.before is not None:
        columns.append(answer(one.before_name, one.before, one.target, one.before_right, one.before_score, labels, "before"))
    columns.append(answer("tuned", one.after, one.target, one.right, one.after_score, labels, "after"))
    columns.append(f'<div class="target"><h4>target</h4><p>{html(one.target)}</p></div>')
    remark = f'<p class="remark">{html(one.remark)}</p>' if one.remark else ""
    return f'<article><p class="where">{html(one.row)}</p><p class="question">{html(one.question)}</p><div class="answers">{"".join(columns)}</div>{remark}</article>'


def answer(name: str, text: str, target: str, right: bool | None, score: str, labels: bool, kind: str) -> str:
    sign = {True: '<b class="yes">✓ right</b>', False: '<b class="no">✗ wrong</b>', None: ""}[right]
    words = html(text) if labels else agreement(text, target)
    small = f'<p class="score">{sign} {html(score)}</p>' if sign or score else ""
    return f'<div class="{kind}"><h4>{html(name)}</h4><p>{words or "<i>nothing</i>"}</p>{small}</div>'


def agreement(text: str, target: str) -> str:
    """The words that also stand in the target, in the same order, are underlined."""
    words, wanted = re.split(r"(\s+)", text), target.split()
    if len(words) > 600 or len(wanted) > 600:
        return html(text)
    places = [index for index, word in enumerate(words) if word.strip()]
    same = [plain(words[index]) for index in places]
    blocks = difflib.SequenceMatcher(None, same, [plain(word) for word in wanted], autojunk=False).get_matching_blocks()
    shared = {places[block.a + offset] for block in blocks for offset in range(block.size)}
    return "".join(f"<mark>{html(word)}</mark>" if index in shared else html(word) for index, word in enumerate(words))


def plain(word: str) -> str:
    """A word without what no reader compares."""
    return word.lower().strip(".,;:!?\"'()") or word
