"""Pieces of a rendered text to token ids, so that the ids of a piece depend on nothing behind it and little before it.

A text is cut where a prompt ends and where an answer ends, and each piece is encoded on its own: the ids of a prompt are then the same
whether an answer follows (training) or not (prediction). Some tokenizers write a space in front of whatever they encode; a piece from the
middle of a text must not get one, so such tokenizers encode it behind an anchor whose ids are taken off again.
"""
import json
import re
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from tokenizers import AddedToken, Tokenizer

from luthier.errors import DataError
from luthier.preparation.controls import FIRST_HIDDEN, Controls

GLUE = chr(FIRST_HIDDEN - 1)  # an added token of our own copies: splits a text without being text; in data it is hidden
ANCHORS = ("\n", "x", ".", ":", "0", "\n\n.", "é")
JOINER = "\u2060"  # word joiner: nothing to see, but it keeps two characters from becoming one token
After = Literal["start", "token", "text"]


class Piece(NamedTuple):
    """A stretch of text to encode."""

    text: str
    after: After = "start"
    """What stands before it: nothing, an added token, or other text."""
    hidden: bool = False
    """Whether it is a control from data, to be encoded as the text that it is."""


class Encoder:
    """A tokenizer's own encoding, piece by piece. The tokenizer itself is never changed; copies of its Rust part do the work."""

    def __init__(self, tokenizer, controls: Controls, like: "Encoder | None" = None):
        """`like` is an encoder of the same tokenizer with other controls, whose copies serve here too: to make them costs a second with a large vocabulary."""
        self.controls = controls
        if like is None:
            self._copy_from(json.loads(tokenizer.backend_tokenizer.to_str()))
        else:
            self.unknown, self._added, self._stock, self._plain, self._prefix = like.unknown, like._added, like._stock, like._plain, like._prefix
        self.control_ids = frozenset(controls.tokens.values()) - {self.unknown}
        self._texts: dict[Piece, list[int]] = {}
        self.deaf = {text: number for text, number in controls.tokens.items() if number not in self._ids(self._stock, [f"x{text}x"])[0]}
        """Control tokens that the tokenizer does not recognise behind text (their form is changed first): their ids are written directly."""
        self._deaf = re.compile("(" + "|".join(map(re.escape, sorted(self.deaf, key=len, reverse=True))) + ")") if self.deaf else None
        self.vague: tuple[str, ...] = ()
        """Marks that the tokenizer writes with its unknown token: other text has the same ids, so nothing can keep them apart."""
        self._forbidden = self._mark_ids()

    def _copy_from(self, source: dict) -> None:
        """Copies that know the added tokens and copies that do not, with the glue where a space is written at the start of a text only."""
        self.unknown = unknown_id(source)
        self._added = tuple(entry["content"] for entry in source["added_tokens"])
        self._stock, self._plain = _copy(source), _copy({**source, "added_tokens": []})
        glued = _copy(source, glue=True)
        self._prefix = self._probe_prefix(glued)
        if self._prefix == "start":
            self._stock, self._plain = glued, _copy({**source, "added_tokens": []}, glue=True)

    def _probe_prefix(self, glued: Tokenizer) -> Literal["never", "start", "always"]:
        """Whether the tokenizer writes a space before a text: never, only at its start, or behind every added token too."""

        def written(ids: list[int]) -> bool:
            return "".join(glued.id_to_token(token) for token in ids)[:1] in ("▁", "Ġ")

        first = [written(ids) for ids in self._ids(glued, "haT")]
        behind = [written(ids[1:]) for ids in self._ids(glued, [GLUE + letter for letter in "haT"])]
        return "never" if not any(first) else "always" if any(behind) else "start"

    @staticmethod
    def _ids(copy: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
        return [encoding.ids for encoding in copy.encode_batch_fast(list(texts), add_special_tokens=False)]

    def after(self, text: str) -> After:
        """What a piece that follows `text` stands behind."""
        return "start" if not text else "token" if self._added and text.endswith(self._added) else "text"

    def apart(self, text: str) -> list[str]:
        """A text with the tokens that the tokenizer is deaf to as pieces of their own."""
        return [part for part in self._deaf.split(text) if part] if self._deaf else [text]

    def encode(self, pieces: Sequence[Piece]) -> list[list[int]]:
        """Ids of each piece."""
        result: list[list[int]] = [self._as_text(piece) if piece.hidden else [self.deaf[piece.text]] if piece.text in self.deaf else [] for piece in pieces]
        open_pieces = [at for at, piece in enumerate(pieces) if not piece.hidden and piece.text not in self.deaf]
        for at, ids in zip(open_pieces, self._encode(self._stock, [pieces[at] for at in open_pieces]), strict=True):
            result[at] = ids
        return result

    def _encode(self, copy: Tokenizer, pieces: Sequence[Piece]) -> list[list[int]]:
        """Ids of pieces by one copy, each as in the middle of its text."""
        if self._prefix == "never":
            return self._ids(copy, [piece.text for piece in pieces])
        if self._prefix == "start":
            texts = [piece.text if piece.after == "start" else GLUE + piece.text for piece in pieces]
            return [ids if piece.after == "start" else ids[1:] for piece, ids in zip(pieces, self._ids(copy, texts), strict=True)]
        result = self._ids(copy, [piece.text for piece in pieces])
        left = [at for at, piece in enumerate(pieces) if piece.after == "text"]
        for anchor in ANCHORS:
            own = self._ids(copy, [anchor])[0]
            tried = self._ids(copy, [anchor + pieces[at].text for at in left])
            held = {at for at, ids in zip(left, tried, strict=True) if ids[: len(own)] == own}
            for at, ids in zip(left, tried, strict=True):
                if at in held:
                    result[at] = ids[len(own):]
            left = [at for at in left if at not in held]
            if not left:
                break
        return result

    # ---- controls as text -----------------------------------------------------------------------
    def _mark_ids(self) -> set[tuple[int, ...]]:
        """The id sequences by which the template's marks are written, each as it stands after text, a space or a line."""
        forbidden: set[tuple[int, ...]] = set()
        for mark in self.controls.marks:
            for lead in ("", " ", "\n"):
                ids, own = self._encode(self._stock, [Piece(lead + mark, "text"), Piece(lead, "text")])
                ids = tuple(ids[len(own):] if ids[: len(own)] == own else ids)
                if self.unknown in ids:
                    self.vague = tuple(dict.fromkeys([*self.vague, mark]))
                elif len(ids) > 1:
                    forbidden.add(ids)
        return forbidden

    def _as_text(self, piece: Piece) -> list[int]:
        """A control from data as the text that it is: broken in two where needed, so that neither a control id nor a mark's ids appear."""
        if piece not in self._texts:
            self._texts[piece] = next((ids for ids in self._ways(piece) if self._harmless(ids)), [])
        return self._texts[piece]

    def _ways(self, piece: Piece) -> Iterable[list[int]]:
        """Encodings of a control, the most faithful first; the last ones change the text by a character that cannot be seen, or a space."""
        text, after = piece.text, piece.after
        if text in self.controls.tokens:
            yield self._encode(self._plain, [Piece(text, after)])[0]
        middle = len(text) // 2
        for cut in sorted(range(1, len(text)), key=lambda at: abs(at - middle)):
            parts = self._encode(self._plain, [Piece(text[:cut], after), Piece(text[cut:], "text")])
            yield [*parts[0], *parts[1]]
        yield [token for at, letter in enumerate(text) for token in self._encode(self._plain, [Piece(letter, after if at == 0 else "text")])[0]]
        for between in (JOINER, " "):
            for cut in sorted(range(1, len(text)), key=lambda at: abs(at - middle)):
                yield self._encode(self._plain, [Piece(text[:cut] + between + text[cut:], after)])[0]

    def _harmless(self, ids: list[int]) -> bool:
        if not self.control_ids.isdisjoint(ids):
            return False
        return not any(contains(ids, mark) for mark in self._forbidden)

    def controls_in(self, ids: Iterable[int]) -> int:
        """How many control tokens ids hold."""
        return sum(1 for token in ids if token in self.control_ids)

    # ---- whole texts ----------------------------------------------------------------------------
    def encode_texts(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of whole texts that may hold controls."""
        return self._ids(self._stock, texts)

    def surroundings(self) -> tuple[list[int], list[int]]:
        """The ids that the tokenizer itself puts before and behind a text (`<s>`, `[CLS]` and `[SEP]` ...)."""
        inner = self._ids(self._stock, ["h"])[0]
        whole = self._stock.encode("h").ids
        at = next((at for at in range(len(whole) - len(inner) + 1) if whole[at:at + len(inner)] == inner), None)
        if at is None:
            raise DataError("the tokenizer does not keep a text whole between its start and end tokens", code="D413", hint="use a model with an ordinary tokenizer")
        return whole[:at], whole[at + len(inner):]

    def between(self) -> tuple[list[int], int]:
        """The ids that the tokenizer puts between two texts, and how many of them still belong to the first; nothing where it joins them."""
        first, second = self._ids(self._stock, ["h", "k"])
        start, end = self.surroundings()
        whole = self._stock.encode("h", "k")
        head, tail = [*start, *first], [*second, *end]
        if whole.ids[: len(head)] != head or whole.ids[len(whole.ids) - len(tail) :] != tail or len(whole.ids) < len(head) + len(tail):
            return [], 0
        middle = whole.ids[len(head) : len(whole.ids) - len(tail)]
        kinds = whole.type_ids[len(head) : len(whole.ids) - len(tail)]
        return middle, sum(kind == 0 for kind in kinds)


def contains(ids: Sequence[int], part: Sequence[int]) -> bool:
    """Whether `part` stands in `ids` without a gap."""
    part = list(part)
    return any(list(ids[at:at + len(part)]) == part for at in range(len(ids) - len(part) + 1))


def unknown_id(source: dict) -> int | None:
    """The id that the model gives to what it cannot write; text may hold it without meaning anything by it."""
    model = source["model"]
    if model["type"] == "Unigram":
        return model["unk_id"]
    return next((entry["id"] for entry in source["added_tokens"] if entry["content"] == model.get("unk_token")), None)


def _copy(source: dict, *, glue: bool = False) -> Tokenizer:
    """A copy of a tokenizer that neither cuts nor pads, with the glue as one more token where asked for."""
    copy = Tokenizer.from_str(json.dumps({**source, "truncation": None, "padding": None}))
    if glue:
        copy.add_special_tokens([AddedToken(GLUE, normalized=False)])
    return copy
