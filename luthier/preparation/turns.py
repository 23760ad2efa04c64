"""Where the answers stand in a rendered conversation, and which of them can be learned there.

The text is cut where each answer's prompt ends and where the answer's end token ends; the same rule cuts a prompt for prediction, so both
have the same pieces. An answer is learned in the whole conversation only where everything before it, and itself, stands there exactly as
the model sees it when it is asked; templates that rewrite history (dropped thoughts, an end token on the last turn only) fail that for
earlier turns, and each of those becomes an example of its own.
"""
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from luthier.preparation.controls import WORDS
from luthier.preparation.templates import ChatTemplate, Rendering, Request, Turn


class Stretch(NamedTuple):
    """A stretch of a rendered text."""

    text: str
    turn: int | None
    """Index of the message that it answers as, None for what is only read."""


@dataclass(frozen=True)
class Layout:
    """What probing told about how a template writes answers."""

    ends: tuple[str, ...]
    """Tokens that end an answer."""
    tail: int
    """Characters of the generation prompt that a rendered answer does not start with (a template that opens a thought only when it asks)."""

    def end(self, text: str, start: int, limit: int) -> int | None:
        """Where the first end token (with those directly behind it) behind `start` ends, at most at `limit`."""
        if not self.ends:
            return None
        found = re.compile(f"(?:{'|'.join(map(re.escape, self.ends))})+").search(text, start, limit)
        return found.end() if found else None


def cut(rendering: Rendering, turns: Sequence[int], layout: Layout) -> tuple[list[Stretch], set[int]]:
    """The stretches of a text, and which of the asked turns are whole in it: asked for and answered as at prediction."""
    text = rendering.text
    placed = [(turn, place) for turn, place in zip(turns, rendering.turns, strict=True) if place is not None and place.placed]
    stretches, whole, at = [], set(), 0
    for number, (turn, place) in enumerate(placed):
        limit = placed[number + 1][1].prompt if number + 1 < len(placed) else len(text)
        end = layout.end(text, place.prompt, limit)
        if end is None and place.until == place.until_shared and place.until <= limit:
            end = place.until
        if end is not None and (end <= place.until_shared):
            whole.add(turn)
        stretches += [Stretch(text[at:place.prompt], None), Stretch(text[place.prompt:end], turn)] if end else [Stretch(text[at:place.prompt], None)]
        at = end or place.prompt
    return [stretch for stretch in [*stretches, Stretch(text[at:], None)] if stretch.text], whole


def answer_alone(rendering: Rendering, place: Turn | None, layout: Layout) -> str | None:
    """The answer at the end of a rendering that stops with it, as it follows its prompt; None where the template asks for it differently than it writes it."""
    if place is None or place.prompt_shared < place.prompt - layout.tail:
        return None
    start = place.prompt - layout.tail
    end = layout.end(rendering.text, start, len(rendering.text))
    return rendering.text[start:end] or None


def probe_layout(template: ChatTemplate, controls: Sequence[str], end_token: str | None) -> Layout:
    """Ask a template about a small conversation, with words and with a tool call, to learn how it ends answers."""
    user, answer, *_ = WORDS
    call = {"id": "call00001", "type": "function", "function": {"name": answer, "arguments": {answer: answer}}}
    asked = {"role": "user", "content": user}
    spoken = Request([asked, {"role": "assistant", "content": answer}], turns=(1,))
    called = Request([asked, {"role": "assistant", "content": "", "tool_calls": [call]}], turns=(1,))
    ends, tail = [end_token] if end_token else [], 0
    for rendering in template.render([spoken, called]):
        if rendering.error or answer not in rendering.text:
            continue
        behind = rendering.text[rendering.text.rindex(answer):]
        found = min((place, -len(text), text) for text in controls if (place := behind.find(text)) >= 0) if any(text in behind for text in controls) else None
        ends += [found[2]] if found and found[2] not in ends else []
    first = template.render([spoken])[0]
    if not first.error and first.turns[0] is not None:
        tail = first.turns[0].prompt - first.turns[0].prompt_shared
    return Layout(tuple(sorted(ends, key=len, reverse=True)), tail)
