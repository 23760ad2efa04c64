"""What only the template may write: control tokens and the marks between turns; found by probing, hidden in data before rendering.

Text from data that holds one of them is replaced by private-use characters before the template sees it, and put back piece by piece when
the rendered text is encoded, so that no content, however written, becomes a control token or starts a turn.
"""
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

FIRST_HIDDEN, LAST_HIDDEN = 0xF400, 0xF8FF  # private-use characters that stand for hidden text; where data holds one, it is hidden too
HIDDEN = re.compile(f"[{chr(FIRST_HIDDEN - 1)}-{chr(LAST_HIDDEN)}]|\\\\u[fF][3-8][0-9a-fA-F]{{2}}")  # as itself, or as JSON writes it
TAG = re.compile(r"<\|[^|<>\s]{1,40}\|>|<</?[A-Z_]{2,40}>>|</?[A-Za-z_][\w-]{0,40}>|\[/?[A-Z_]{3,40}\]")
BRACKETS = set("<>[]{}|")
WORDS = ("Vrelkov", "Tusmari", "Ondrequil", "Bexanti")  # contents of the probing conversations, in no template's vocabulary
LONGEST_MARK = 48


@dataclass(frozen=True)
class Controls:
    """Strings that only the template may write."""

    tokens: dict[str, int] = field(default_factory=dict)
    """Control tokens of the tokenizer: text to id."""
    marks: tuple[str, ...] = ()
    """Text that stands between turns without being one token, such as `[INST]` or `User:`."""
    spoken: frozenset[str] = frozenset()
    """Those that an assistant may write itself, such as `<think>` or `<tool_call>`: kept in assistant turns, hidden everywhere else."""

    @property
    def strings(self) -> tuple[str, ...]:
        """All of them, longest first, so that a search finds the longest."""
        return tuple(sorted({*self.tokens, *self.marks}, key=lambda text: (-len(text), text)))


def control_tokens(added: Iterable, source: str) -> dict[str, int]:
    """Of a tokenizer's added tokens (id, text, special), those that are controls: special ones, ones the template names, ones in brackets; not added words or spaces."""
    return {text: number for number, text, special in added if text.strip() and (special or text in source or BRACKETS & set(text))}


def find_controls(tokens: dict[str, int], special: set[str], source: str, frames: dict[str, list[str]]) -> Controls:
    """The controls of a tokenizer and a template, from the text that the template wrote around the probes' contents."""
    cutter = re.compile("|".join(map(re.escape, sorted(tokens, key=len, reverse=True))) or r"(?!)")
    marks: set[str] = set()
    for frame in frames["between"]:
        found = {mark for line in frame.splitlines() for mark in cutter.split(line) if is_mark(mark.strip())}
        bare = frame.strip(" ") if "\n" in frame and re.search(r"\w", frame) else ""
        marks |= {mark.strip() for mark in found} if found or cutter.search(frame) else {bare}
    marks |= {mark.strip() for frame in frames["opening"] for line in frame.splitlines() for mark in cutter.split(line) if is_mark(mark.strip()) and looks_like_label(mark.strip())}
    marks |= set(TAG.findall(source))
    marks -= {"", *tokens}
    boundary = "\0".join([*frames["between"], *frames["opening"]])
    spoken = {text for text in [*tokens, *marks] if text not in special and text not in boundary}
    return Controls(tokens, tuple(sorted(marks)), frozenset(spoken))


def is_mark(text: str) -> bool:
    """Whether a piece of a frame can tell turns apart by itself: short, with a sign in it; a role's bare name behind a control token cannot."""
    signs = len(re.findall(r"[^\w\s]", text))
    return 2 <= len(text) <= LONGEST_MARK and signs > 0 and (signs >= 3 or re.search(r"\w", text) is not None)


def looks_like_label(text: str) -> bool:
    """Whether a piece before the first content is a label (`System:`, `<<SYS>>`) and not a sentence of a default prompt."""
    return text.endswith(":") and text.count(" ") <= 2 or TAG.fullmatch(text) is not None


def probe_frames(render: Callable[[list[dict], bool], str | None]) -> dict[str, list[str]]:
    """What the template writes before the first content (`opening`), between contents up to where an answer begins (`between`), and after the last.

    `render(messages, prompt)` gives the text or None where the template refuses.
    """
    user, answer, second, system = WORDS
    frames: dict[str, list[str]] = {"opening": [], "between": []}
    turns = [{"role": "user", "content": user}, {"role": "assistant", "content": answer}, {"role": "user", "content": second}]
    asked, whole = render(turns[:1], True), render(turns, True)
    if asked and user in asked:
        opening, prompting = asked.split(user, 1)
        frames["opening"].append(opening)
        frames["between"].append(prompting)
    if whole and answer in whole and second in whole:
        frames["between"].append(whole.split(answer, 1)[1].split(second, 1)[0])
    led = render([{"role": "system", "content": system}, *turns[:1]], False)
    if led and system in led and user in led.split(system, 1)[1]:
        opening, rest = led.split(system, 1)
        frames["opening"].append(opening)
        frames["between"].append(rest.split(user, 1)[0])
    return frames


@dataclass
class Cover:
    """What was hidden in one conversation."""

    texts: dict[str, str] = field(default_factory=dict)
    """Private-use character to the text that it stands for."""
    signs: dict[str, str] = field(default_factory=dict)
    """The other way round."""
    full: bool = False
    """More different texts than private-use characters."""

    def sign(self, text: str) -> str:
        """The character that stands for a text."""
        if text not in self.signs:
            number = FIRST_HIDDEN + len(self.signs)
            self.full |= number > LAST_HIDDEN
            sign = chr(min(number, LAST_HIDDEN))
            self.signs[text], self.texts[sign] = sign, text
        return self.signs[text]

    def pieces(self, text: str) -> list[tuple[str, bool]]:
        """A rendered text as pieces: what the template and ordinary content wrote, and (True) hidden text as it was."""
        if not self.texts:
            return [(text, False)] if text else []
        result, end = [], 0
        for match in HIDDEN.finditer(text):
            sign = match[0] if len(match[0]) == 1 else chr(int(match[0][2:], 16))
            if sign in self.texts:
                result += [(text[end:match.start()], False), (self.texts[sign], True)]
                end = match.end()
        return [(piece, hidden) for piece, hidden in [*result, (text[end:], False)] if piece]


class Guard:
    """Hides controls in data. `counts` says how often each was found."""

    def __init__(self, controls: Controls):
        self.controls = controls
        self.counts: Counter[str] = Counter()
        everywhere = controls.strings
        self._all, self._assistant = self._pattern(everywhere), self._pattern(text for text in everywhere if text not in controls.spoken)
        self._tokens = re.compile("|".join(re.escape(text) for text in everywhere if text in controls.tokens) or r"(?!)")
        self._heads, self._tails, self._reach = _edges(controls.tokens)
        self._firsts, self._lasts = frozenset(text[0] for text in self._heads), frozenset(text[-1] for text in self._tails)

    @staticmethod
    def _pattern(strings: Iterable[str]) -> re.Pattern:
        return re.compile("|".join([HIDDEN.pattern, *map(re.escape, strings)]))

    def hide(self, text: str, cover: Cover, *, assistant: bool = False, alone: bool = False) -> str:
        """The text with every control in it hidden. An assistant keeps those that it may write itself; a text that stands `alone` has no neighbour to join with."""

        def hidden(found: str) -> str:
            self.counts[found] += 1
            return cover.sign(found)

        text = (self._assistant if assistant else self._all).sub(lambda match: hidden(match[0]), text)
        return text if alone else self._edged(text, hidden)

    def _edged(self, text: str, hidden: Callable[[str], str]) -> str:
        """Half a control at the end or the start of a content is hidden too: a template may put two contents side by side."""
        if not self._firsts.isdisjoint(text[-self._reach:]):
            length = next((length for length in range(min(self._reach, len(text)), 1, -1) if text[-length:] in self._heads), 0)
            text = text[:len(text) - length] + hidden(text[len(text) - length:]) if length else text
        if not self._lasts.isdisjoint(text[:self._reach]):
            length = next((length for length in range(min(self._reach, len(text)), 1, -1) if text[:length] in self._tails), 0)
            text = hidden(text[:length]) + text[length:] if length else text
        return text

    def hide_all(self, value, cover: Cover, *, assistant: bool = False):
        """The same through lists and objects, keys included."""
        if isinstance(value, str):
            return self.hide(value, cover, assistant=assistant)
        if isinstance(value, dict):
            return {self.hide(str(key), cover, assistant=assistant): self.hide_all(item, cover, assistant=assistant) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.hide_all(item, cover, assistant=assistant) for item in value]
        return value

    def found(self, text: str) -> int:
        """How many control tokens are written in a rendered text."""
        return len(self._tokens.findall(text))


def _edges(tokens: Iterable[str]) -> tuple[set[str], set[str], int]:
    """Beginnings and ends (two characters or more, a sign among them) of control tokens, and the longest of them."""
    heads = {text[:at] for text in tokens for at in range(2, len(text))}
    tails = {text[at:] for text in tokens for at in range(1, len(text) - 1)}
    signed = re.compile(r"[^\w\s]")
    heads, tails = ({part for part in parts if signed.search(part)} for parts in (heads, tails))
    return heads, tails, max(map(len, heads | tails), default=0)
