"""D505-D507, D510: encoding damage, characters that nobody sees, text that gives orders to a model, control tokens."""
import re
from array import array
from collections.abc import Iterator

import numpy as np

from luthier.data.columns import Batch, places_of
from luthier.data.lexicon import lexicon
from luthier.data.phrases import Phrases, Signs
from luthier.data.seen import Found, Seen, level_of, plural, rows

MOJIBAKE = re.compile("[\u00c2\u00c3\u00c5\u00d0\u00d1][\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u2018-\u201e\u2020-\u2022\u2026\u2030\u2039\u203a\u20ac\u2122]|\u00e2\u20ac[\u0080-\u00ff\u2018-\u2122\u0153\u02dc]|\u00ef\u00bf\u00bd|\ufffd")
BROKEN = np.array([ord(one) for one in "\u00c2\u00c3\u00c5\u00d0\u00d1\u00e2\u00ef\ufffd"], dtype=np.uint32)
"""What broken characters begin with."""
INVISIBLE = re.compile("[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]")
CONTROL = [*range(1, 9), 11, 12, *range(14, 32), *range(127, 160)]
IS_CONTROL = np.zeros(256, dtype=bool)
IS_CONTROL[CONTROL] = True
MARKS = ("<|", "[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "<start_of_turn>", "<end_of_turn>", "<s>", "</s>")
TOKENS = re.compile(r"<\|[a-zA-Z_0-9]{2,30}\|>|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>|<\uff5c[^\uff5c\0]{2,40}\uff5c>|</?s>(?=\s|\0|<|\[)")


class Characters:
    """Warnings about what is in the text and should not be; texts of plain ASCII are passed over by all but the last two."""

    def __init__(self):
        self.mojibake, self.invisible, self.control, self.tokens, self.orders = (array("q") for _ in range(5))
        self.phrases, self.marks = Phrases(lexicon("injections")["phrases"]), Signs(MARKS)

    def see(self, batch: Batch) -> None:
        blob = batch.blob
        self.orders.extend((self.phrases.rows(batch) + batch.first).tolist())
        self.keep(self.tokens, batch, [at for places in self.marks.places(batch.codes).values() for at in places.tolist() if TOKENS.match(blob, at)])
        codes = batch.codes
        if "\uff5c" in blob:
            self.keep(self.tokens, batch, [at for at in places_of(blob, "<\uff5c") if TOKENS.match(blob, at)])
        if not blob.isascii():
            far = np.flatnonzero(codes > 127)
            kinds, inverse = np.unique(codes[far], return_inverse=True)
            hidden = np.array([bool(INVISIBLE.match(chr(code))) for code in kinds.tolist()], dtype=bool)
            self.keep(self.invisible, batch, far[hidden[inverse]])
            self.keep(self.mojibake, batch, [at for at in far[np.isin(codes[far], BROKEN)].tolist() if MOJIBAKE.match(blob, at)])
            codes = np.minimum(codes, 255)
        self.keep(self.control, batch, np.flatnonzero(IS_CONTROL[codes]))

    def keep(self, kept: array, batch: Batch, places) -> None:
        if len(places):
            kept.extend((batch.rows_at(places) + batch.first).tolist())

    def report(self, seen: Seen) -> Iterator[Found]:
        for code, kept, words, hint, fix in (
            ("D505", self.mojibake, "characters broken by a wrong encoding (such as Ã© for é)", "read the source in its true encoding; `--fix mojibake` repairs what can be told", "mojibake"),
            ("D506", self.invisible, "characters that nobody sees (zero-width, direction marks, tags)", "they split words into other tokens and can carry hidden orders; `--fix invisible` removes them", "invisible"),
            ("D506", self.control, "control characters", "`--fix invisible` removes them", "invisible"),
            ("D510", self.tokens, "text that spells a model's control tokens", "it is read as plain text; if turns are meant, give the rows as messages with roles", "control_tokens"),
            ("D507", self.orders, "text that gives orders to a model (\"ignore previous instructions\" and the like)", "a prompt injection, unless the data is about them; read these rows", "injections"),
        ):
            if len(found := rows(kept)):
                yield Found(code, level_of(found, seen) if code == "D505" else "warning", f"{words} in {plural(len(found))}", found, hint, fix=fix)
