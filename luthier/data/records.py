"""Typed records: what everything downstream of the sources speaks.

A record knows where it came from (`Origin`), so that every later sentence can point at file and line, and how much it counts in learning (`weight`).
"""
from dataclasses import dataclass, field
from typing import ClassVar

JOINT = " | "
"""Stands between several labels written as one text; no label may hold its sign."""


@dataclass(frozen=True)
class Origin:
    """Where a record stands: `file` as the user named it, `line` 1-based (None where the format has no lines), `row` the 1-based record number."""

    file: str
    line: int | None
    row: int


@dataclass(frozen=True)
class Text:
    """A document or passage to learn as it is."""

    kind: ClassVar[str] = "text"
    text: str
    origin: Origin | None = None
    group: str | None = None
    weight: float = 1.0


@dataclass(frozen=True)
class Message:
    """One turn. `weight` 0 keeps an assistant turn as context only (OpenAI's field); `extra` holds tool_calls, name, tool_call_id ... as given."""

    role: str
    content: str
    weight: float = 1.0
    extra: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Conversation:
    """Turns of system, user, assistant and tool, with the tools on offer (OpenAI's JSON shape)."""

    kind: ClassVar[str] = "conversation"
    messages: tuple[Message, ...]
    tools: tuple[dict, ...] = ()
    origin: Origin | None = None
    group: str | None = None
    weight: float = 1.0


@dataclass(frozen=True)
class Labelled:
    """A text, or a pair of texts, and the one label it deserves."""

    kind: ClassVar[str] = "labelled"
    text: str
    label: str
    origin: Origin | None = None
    group: str | None = None
    pair: str | None = None
    """The second text, where the label is about two."""
    weight: float = 1.0


@dataclass(frozen=True)
class MultiLabelled:
    """A text, or a pair of texts, and every label that applies to it: none, one or several."""

    kind: ClassVar[str] = "multi_labelled"
    text: str
    labels: tuple[str, ...]
    origin: Origin | None = None
    group: str | None = None
    pair: str | None = None
    weight: float = 1.0

    @property
    def label(self) -> str:
        """All labels as one text."""
        return JOINT.join(self.labels)


@dataclass(frozen=True)
class Scored:
    """A text, or a pair of texts, and the number that belongs to it."""

    kind: ClassVar[str] = "scored"
    text: str
    value: float
    origin: Origin | None = None
    group: str | None = None
    pair: str | None = None
    weight: float = 1.0


@dataclass(frozen=True)
class Span:
    """A stretch of a text that means something: `text[start:end]` (characters, end excluded) is a `label`."""

    start: int
    end: int
    label: str


@dataclass(frozen=True)
class Tagged:
    """A text cut into words, each with its tag in IOB2 (`O`, `B-type`, `I-type`)."""

    kind: ClassVar[str] = "tagged"
    text: str
    words: tuple[tuple[int, int], ...]
    """Start and end of each word in characters, in order, not overlapping."""
    tags: tuple[str, ...]
    """One per word."""
    origin: Origin | None = None
    group: str | None = None
    weight: float = 1.0


@dataclass(frozen=True)
class Pair:
    """A text and what it should become: its summary, its translation."""

    kind: ClassVar[str] = "pair"
    source: str
    target: str
    origin: Origin | None = None
    group: str | None = None
    weight: float = 1.0

    @property
    def text(self) -> str:
        """What is given, as in every record with a text."""
        return self.source


@dataclass(frozen=True)
class Preference:
    """A conversation that waits for an answer, and two answers to it, of which people liked the first better."""

    kind: ClassVar[str] = "preference"
    messages: tuple[Message, ...]
    chosen: str
    rejected: str
    origin: Origin | None = None
    group: str | None = None
    weight: float = 1.0


@dataclass(frozen=True)
class Rated:
    """A conversation that waits for an answer, one answer to it, and whether people found it good."""

    kind: ClassVar[str] = "rated"
    messages: tuple[Message, ...]
    answer: str
    good: bool
    origin: Origin | None = None
    group: str | None = None
    weight: float = 1.0


@dataclass(frozen=True)
class Prompt:
    """A conversation that waits for an answer; `reference` is the right one where it is known, `item` the row's other columns, for graders."""

    kind: ClassVar[str] = "prompt"
    messages: tuple[Message, ...]
    reference: str | None = None
    item: dict = field(default_factory=dict)
    origin: Origin | None = None
    group: str | None = None
    weight: float = 1.0


Asked = Preference | Rated | Prompt
"""Records whose `messages` end before the answer."""
def both_texts(record: "Labelled | MultiLabelled | Scored") -> str:
    """What is asked, as one text: the second text, where there is one, stands below the first."""
    return record.text if record.pair is None else f"{record.text}\n\n{record.pair}"


Record = Text | Conversation | Labelled | MultiLabelled | Scored | Tagged | Pair | Preference | Rated | Prompt
