"""What a report says, apart from how it looks: blocks that the HTML and the Markdown writer both know, so that the words are the same."""
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Prose:
    """A paragraph; `weight` is lead for the sentence that a reader must not miss, note for small print."""

    text: str
    weight: str = "plain"


@dataclass(frozen=True)
class Notice:
    """A boxed sentence: good, warning or bad."""

    level: str
    text: str


@dataclass(frozen=True)
class Tiles:
    """A few figures side by side: (label, figure, what it means)."""

    tiles: Sequence[tuple[str, str, str]]


@dataclass(frozen=True)
class Table:
    """Lines of cells under a head; `numeric` columns are set flush right."""

    head: Sequence[str]
    lines: Sequence[Sequence[str]]
    numeric: frozenset[int] = frozenset()
    title: str = ""
    folded: bool = False


@dataclass(frozen=True)
class Picture:
    """A drawing for wide and for narrow screens, the sentence that reads it, and its numbers."""

    title: str
    sentence: str
    wide: str
    narrow: str
    head: Sequence[str]
    lines: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Example:
    """One test row: the question, and what was answered before and after tuning beside the target."""

    row: str
    question: str
    target: str
    before: str | None
    after: str
    before_name: str
    before_score: str
    after_score: str
    right: bool | None
    before_right: bool | None
    remark: str = ""


@dataclass(frozen=True)
class Examples:
    """Several rows under a title; `labels` where the answers are labels and not texts."""

    title: str
    examples: Sequence[Example]
    labels: bool


@dataclass(frozen=True)
class Code:
    """Text that a machine reads."""

    text: str
    title: str = ""
    folded: bool = False
    language: str = ""


@dataclass(frozen=True)
class Marked:
    """Texts with marked stretches: (where, [(text, kind, words)]); kind is empty, right, missed, extra or changed."""

    title: str
    lines: Sequence[tuple[str, Sequence[tuple[str, str, str]]]]


Block = Prose | Notice | Tiles | Table | Picture | Examples | Code | Marked


@dataclass(frozen=True)
class Section:
    """A part of the report; `key` is its anchor."""

    key: str
    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Document:
    """A whole report."""

    title: str
    subtitle: str
    status: str
    sections: Sequence[Section] = field(default_factory=tuple)
