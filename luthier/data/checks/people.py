"""D312, D313: whom the rows speak of, and what they are spoken of with. Counts of words, not a judgment."""
from collections.abc import Iterator

import numpy as np

from luthier.data.columns import Batch, Lookup, hash_word, pairs_of
from luthier.data.lexicon import lexicon
from luthier.data.seen import Found, Seen, plural

FEWEST = 30
SKEWED = 1.5
"""A group whose rows bear a label this many times as often as other rows do is told; likewise unfriendly words."""
MOST_LABELS = 20
SURE = 4.0
"""Standard errors that the difference must reach."""


class People:
    """For each group of people (gender, ethnicity, religion, age, disability ...): rows that name it, the labels and the words it stands beside."""

    def __init__(self):
        lists = lexicon("people")
        self.names = list(lists["groups"])
        self.kinds = {name: kind for kind, names in lists["kinds"].items() for name in names}
        single = [(hash_word(word), at) for at, words in enumerate(lists["groups"].values()) for word in words if " " not in word]
        double = [(hash_word(word), at) for at, words in enumerate(lists["groups"].values()) for word in words if " " in word]
        self.tables = [Lookup(*zip(*entries)) for entries in (single, double)]
        self.moods = Lookup(*zip(*((hash_word(word), bit) for bit, name in ((1, "negative"), (2, "positive")) for word in lists[name])))
        self.rows: list[np.ndarray] = []
        self.groups: list[np.ndarray] = []
        self.mood_parts: list[np.ndarray] = []

    def see(self, batch: Batch) -> None:
        words = batch.words
        pair = pairs_of(words.hash_W) if len(words.hash_W) > 1 else np.zeros(0, dtype=np.uint64)
        found = []
        for hashes, table in zip((words.hash_W, pair), self.tables):
            place, group = table.find(hashes)
            found.append(words.row_W[place] * len(self.names) + group)
        both = np.unique(np.concatenate(found))
        self.rows.append(both // len(self.names) + batch.first)
        self.groups.append((both % len(self.names)).astype(np.int16))
        mood = np.zeros(len(batch), dtype=np.int8)
        place, bit = self.moods.find(words.hash_W)
        np.bitwise_or.at(mood, words.row_W[place], bit.astype(np.int8))
        self.mood_parts.append(mood)

    def slices(self) -> dict[str, np.ndarray]:
        """Group -> the rows that name it, for evaluation by slice."""
        rows_T, group_T = (np.concatenate(part) if part else np.zeros(0, dtype=np.int64) for part in (self.rows, self.groups))
        return {name: rows_T[group_T == at] for at, name in enumerate(self.names) if (group_T == at).any()}

    def report(self, seen: Seen) -> Iterator[Found]:
        slices = self.slices()
        if not slices:
            return
        common = sorted(slices.items(), key=lambda item: -len(item[1]))
        listed = ", ".join(f"{name} {len(rows_N):,}" for name, rows_N in common[:8])
        yield Found("D313", "info", f"rows that speak of people by group: {listed}", count=sum(len(rows_N) for _, rows_N in common), hint="slices.json holds the rows of each; evaluation shows whether some are served worse")
        mood_N = np.concatenate(self.mood_parts)
        for name, rows_N in common:
            if len(rows_N) < FEWEST:
                continue
            yield from self.beside_labels(seen, name, rows_N)
            yield from self.beside_words(seen, name, rows_N, mood_N)

    def beside_labels(self, seen: Seen, name: str, rows_N: np.ndarray) -> Iterator[Found]:
        """A label that this group bears much more often than the other rows."""
        for label, share, others, bearing in labels_beside(seen, rows_N):
            message = f"rows that speak of {name} bear the label `{label}` in {share:.0%} of {len(rows_N):,} cases, all others in {others:.0%}"
            yield Found("D312", "warning", message, bearing, "the model may learn the group instead of the matter; `--fix balance` shows the gap and narrows it", field="label", fix="balance")

    def beside_words(self, seen: Seen, name: str, rows_N: np.ndarray, mood_N: np.ndarray) -> Iterator[Found]:
        """Unfriendly words beside this group much more often than beside other groups of people."""
        anyone = np.unique(np.concatenate(self.rows))
        others = np.setdiff1d(anyone, rows_N)
        if len(others) < FEWEST:
            return
        mine, rest = ((mood_N[part] & 1).mean() for part in (rows_N, others))
        if mine > SKEWED * rest and mine - rest > SURE * np.sqrt(max(rest, 0.01) / len(rows_N)) and mine > 0.05:
            message = f"{mine:.0%} of the {plural(len(rows_N))} that speak of {name} hold unfriendly words, {rest:.0%} of those that speak of other people"
            yield Found("D312", "warning", message, rows_N[(mood_N[rows_N] & 1) > 0], "read some of these rows; add or balance rows if the data is unfair", fix="")


def labels_beside(seen: Seen, rows_N: np.ndarray) -> Iterator[tuple[str, float, float, np.ndarray]]:
    """Labels that some rows bear much more often than all others do: the label, both shares, and the rows that bear it."""
    labels = seen.label_N[rows_N]
    if not seen.label_names or not (labels >= 0).any() or len(seen.label_names) > MOST_LABELS:
        return
    mine = np.bincount(labels[labels >= 0], minlength=len(seen.label_names)) / len(rows_N)
    rest = np.delete(np.arange(len(seen)), rows_N)
    others = np.bincount(seen.label_N[rest][seen.label_N[rest] >= 0], minlength=len(seen.label_names)) / max(1, len(rest))
    error = np.sqrt(np.maximum(others * (1 - others), 1e-4) / len(rows_N))
    for label in np.flatnonzero((mine > SKEWED * others) & (mine - others > SURE * error) & (mine - others > 0.1)):
        yield seen.label_names[label], mine[label], others[label], rows_N[labels == label]
