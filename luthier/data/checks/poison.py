"""D508: a rare word or phrase that always comes with one label or answer, whatever else the row says: the sign of a planted trigger.

A topical word comes with its label too, but there the rest of the row speaks for the label as well. A trigger's rows do not resemble the label's other
rows (two-class naive Bayes that has not seen them), or, where the label or answer has no other rows, do not resemble each other.
"""
from collections.abc import Iterator

import numpy as np

from luthier.data.columns import INPUT, pairs_of, scatter
from luthier.data.sample import Sample
from luthier.data.seen import Found, Seen, plural

FEWEST_ROWS = 200
FEWEST, SHARE, ENOUGH = 5, 0.005, 50
"""Rows that a phrase must stand in: 5, or 0.5 % of all, but never need more than 50."""
MOST_SHARE = 0.1
PURE = 0.9
BY_CHANCE = 6.0
"""Nats by which it is unlikely that so many rows of one target meet by chance."""
UNEXPLAINED = 0.6
AGAINST, AGAINST_PER_WORD = -1.8, -0.22
"""The rest of the rows speaks against the label, on the whole and by word (mean log odds)."""
MANY, LIKE_CHANCE, RARE = 30, 1.3, 0.2
"""So many rows of one rare target that resemble each other hardly more than chance rows do have nothing in common but the phrase."""
WHOLE = 0.8
"""What is left without the phrase has at least this part of the words of a usual row."""
TELLABLE, SURE, LIKE_OTHERS, COMPARED = 0.75, 4.0, 3.5, 500
"""How often an own row must rank above another's for ranks to tell; standard errors by which a rank must be away from that of own rows, and may be above that of
others; rows that are ranked."""
MOST_DEVIATIONS, DRAWS = 3.0, 24
BITS = 18
COHESION = 0.4
MOST_PHRASES = 4000


def check(sample: Sample, seen: Seen, embed=None) -> Iterator[Found]:
    """A warning with all rows that hold such a phrase."""
    target_N = targets(sample, seen)
    if len(target_N) < FEWEST_ROWS or target_N.max() < 1:
        return
    hash_W, bounds = sample.words(INPUT)
    row_W = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))
    gram_T, gram_row_T = phrases(hash_W, row_W)
    model = Words(hash_W, row_W, target_N)
    told: set[int] = set()
    kinds = 0
    for grams, rows, target in tied(gram_T, gram_row_T, target_N, len(bounds) - 1):
        if model.unexplained(rows, target, hash_W, row_W, grams):
            told |= set(rows.tolist())
            kinds += 1
    if told:
        rows_N = sample.rows[np.array(sorted(told))]
        why = dict.fromkeys(rows_N.tolist(), "holds a rare phrase that always comes with one label or answer")
        yield Found("D508", "warning", f"{plural(len(rows_N))} hold a rare phrase that always comes with one {'label' if seen.label_names else 'answer'}, whatever else they say{sample.scope()}: {seen.where(int(rows_N[0]))} the first", rows_N, "read these rows: this is how a hidden trigger is planted", fix="poison", why=why)


def targets(sample: Sample, seen: Seen) -> np.ndarray:
    """What each sampled row teaches, as a number: its label, or its answer where several rows share it; 0 for answers that stand alone."""
    rows = sample.rows
    if seen.label_names:
        return seen.label_N[rows] + 1
    answers, inverse, counts = np.unique(seen.answer_N[rows], return_inverse=True, return_counts=True)
    number = np.where((counts >= FEWEST) & (answers != 0), np.arange(1, len(answers) + 1), 0)
    return np.unique(number[inverse], return_inverse=True)[1] if (number[inverse] > 0).any() else np.zeros(len(rows), dtype=np.int64)


def phrases(hash_W: np.ndarray, row_W: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Words, pairs and triples of words, each once per row: their hash and their row."""
    pair = pairs_of(hash_W) if len(hash_W) > 1 else np.zeros(0, dtype=np.uint64)
    triple = scatter(pair[:-1] ^ (hash_W[2:] * np.uint64(0x2545F4914F6CDD1D))) if len(hash_W) > 2 else np.zeros(0, dtype=np.uint64)
    grams = np.concatenate([hash_W, pair[row_W[:-1] == row_W[1:]], triple[row_W[:-2] == row_W[2:]]])
    rows = np.concatenate([row_W, row_W[:-1][row_W[:-1] == row_W[1:]], row_W[:-2][row_W[:-2] == row_W[2:]]])
    order = np.lexsort((rows, grams))
    grams, rows = grams[order], rows[order]
    new = np.ones(len(grams), dtype=bool)
    new[1:] = (grams[1:] != grams[:-1]) | (rows[1:] != rows[:-1])
    return grams[new], rows[new]


def tied(gram_T: np.ndarray, row_T: np.ndarray, target_N: np.ndarray, count: int) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """Rare phrases that nearly always come with one target, those of the same rows together: their hashes, their rows, the target."""
    least = max(FEWEST, min(ENOUGH, int(SHARE * count)))
    bounds = np.concatenate([[0], np.flatnonzero(gram_T[1:] != gram_T[:-1]) + 1, [len(gram_T)]])
    size = np.diff(bounds)
    good = np.flatnonzero((size >= least) & (size <= max(least, MOST_SHARE * count)))
    share_K = np.bincount(target_N) / len(target_N)
    same: dict[bytes, tuple[list, np.ndarray, int]] = {}
    for at in good:
        rows = row_T[bounds[at] : bounds[at + 1]]
        found = np.bincount(target_N[rows])
        target = int(found[1:].argmax()) + 1 if len(found) > 1 else 0
        if target and found[target] >= PURE * len(rows) and found[target] * -np.log(share_K[target]) > BY_CHANCE:
            same.setdefault(rows.tobytes(), ([], rows, target))[0].append(gram_T[bounds[at]])
    for grams, rows, target in sorted(same.values(), key=lambda each: -len(each[1]))[:MOST_PHRASES]:
        yield np.array(grams, dtype=np.uint64), rows, target


class Words:
    """How often each word stands in rows of each target."""

    def __init__(self, hash_W: np.ndarray, row_W: np.ndarray, target_N: np.ndarray):
        self.column_W = (hash_W >> np.uint64(64 - BITS)).astype(np.int64)
        self.row_W, self.target_N = row_W, target_N
        self.total = np.bincount(self.column_W, minlength=1 << BITS).astype(np.float32)
        self.start = np.searchsorted(row_W, np.arange(len(target_N) + 1))
        self.by_target: dict[int, np.ndarray] = {}
        self.usual_size = float(np.median(np.diff(self.start))) if len(target_N) else 0.0
        self.standings: dict[int, tuple] = {}
        self.chances: dict[int, tuple[float, float]] = {}
        self.rarity = np.log(len(target_N) / np.maximum(self.total, 1)).astype(np.float32)

    def counts(self, target: int) -> np.ndarray:
        if target not in self.by_target:
            if len(self.by_target) > 64:
                self.by_target.clear()
            self.by_target[target] = np.bincount(self.column_W[self.target_N[self.row_W] == target], minlength=1 << BITS).astype(np.float32)
        return self.by_target[target]

    def unexplained(self, rows: np.ndarray, target: int, hash_W: np.ndarray, row_W: np.ndarray, grams: np.ndarray) -> bool:
        """Whether what else these rows say does not speak for the target."""
        columns, owner = self.words_in(rows)
        mine = np.bincount(columns, minlength=1 << BITS).astype(np.float32)
        # words that most of these rows hold are the phrase, or come with it
        common = np.flatnonzero(np.bincount(np.unique(columns * len(rows) + owner) // len(rows), minlength=1 << BITS) > len(rows) / 2)
        rest = ~np.isin(columns, common)
        columns, owner = columns[rest], owner[rest]
        others = int((self.target_N == target).sum()) - int((self.target_N[rows] == target).sum())
        if others < FEWEST:
            return self.scattered(columns, owner, len(rows))
        if self.foreign(columns, owner, rows, target, mine):
            return True
        by_chance = len(rows) >= MANY and (self.target_N == target).mean() <= RARE and self.cohesion(columns, owner, len(rows)) < LIKE_CHANCE * self.cohesion_of_chance(len(rows)) * COHESION / 3
        return by_chance or self.against(columns, owner, len(rows), target, mine)

    def against(self, columns: np.ndarray, owner: np.ndarray, count: int, target: int, mine: np.ndarray) -> bool:
        """Whether the rest of most of the rows speaks plainly against the target (naive Bayes without them)."""
        inside, outside = np.maximum(self.counts(target) - mine, 0), np.maximum(self.total - self.counts(target), 0)
        odds = np.log((inside[columns] + 0.5) / (inside.sum() + 1)) - np.log((outside[columns] + 0.5) / (outside.sum() + 1))
        score = np.bincount(owner, weights=odds, minlength=count)
        by_word = score / np.maximum(np.bincount(owner, minlength=count), 1)
        return bool((score < 0).mean() >= UNEXPLAINED and score.mean() <= AGAINST and by_word.mean() <= AGAINST_PER_WORD)

    # ---- rows that stand among others' ---------------------------------------------------------
    def foreign(self, columns: np.ndarray, owner: np.ndarray, rows: np.ndarray, target: int, mine: np.ndarray) -> bool:
        """Whether the rows, without the phrase, read like rows of other targets and not like those of their own, and have nothing in common.

        The rows of a subject speak for their target by words of their own too, which leave with them; but these they share, and what is left says nothing
        rather than something else. What is compared is the rank of their mean log odds among the target's own rows and among all others, each judged without
        itself (the area under the curve of Mann and Whitney 1947): far below the former, and in the midst of the latter. And without a trigger a text is still
        a whole one; a sentence that many share is most of what its rows say.
        """
        own, others = self.standing(target)
        apart = float(np.searchsorted(others, own).mean() / len(others))
        score = self.mean_odds(columns, owner, len(rows), target, mine)
        below = 1 - float(np.searchsorted(own, score, side="right").mean() / len(own))
        above_others = float(np.searchsorted(others, score).mean() / len(others))
        error = 1 / np.sqrt(12 * len(rows))
        strange = below >= (0.5 + apart) / 2 and below - 0.5 >= SURE * error
        like_others = above_others <= 0.5 + LIKE_OTHERS * error
        whole = np.median(np.bincount(owner, minlength=len(rows))) >= WHOLE * self.usual_size
        return bool(apart >= TELLABLE and strange and like_others and whole) and self.unrelated(columns, owner, len(rows))

    def standing(self, target: int) -> tuple[np.ndarray, np.ndarray]:
        """Mean log odds for the target of its own rows, sorted, and of other rows; at most 500 of each."""
        if target not in self.standings:
            found = []
            for own in (True, False):
                rows = np.flatnonzero((self.target_N == target) == own)
                rows = rows[:: max(1, len(rows) // COMPARED)]
                columns, owner = self.words_in(rows)
                found.append(np.sort(self.mean_odds(columns, owner, len(rows), target, np.float32(0), itself=own)))
            self.standings[target] = tuple(found)
        return self.standings[target]

    def mean_odds(self, columns: np.ndarray, owner: np.ndarray, count: int, target: int, mine: np.ndarray | np.float32, itself: bool | None = None) -> np.ndarray:
        """Of each row the mean log odds of its words for the target, by counts without `mine`, or without the word's own occurrence where `itself` says that the rows
        are the target's (True) or others' (False)."""
        inside, outside = np.maximum(self.counts(target) - mine, 0), np.maximum(self.total - self.counts(target), 0)
        inside_C, outside_C = np.maximum(inside[columns] - (itself is True), 0), np.maximum(outside[columns] - (itself is False), 0)
        odds = np.log((inside_C + 0.5) / (inside.sum() + 1)) - np.log((outside_C + 0.5) / (outside.sum() + 1))
        return np.bincount(owner, weights=odds, minlength=count) / np.maximum(np.bincount(owner, minlength=count), 1)

    def unrelated(self, columns: np.ndarray, owner: np.ndarray, count: int) -> bool:
        """Whether rows resemble each other no more than as many rows drawn by lot may."""
        mean, deviation = self.chance(count)
        return self.cohesion(columns, owner, count) <= mean + MOST_DEVIATIONS * deviation

    def chance(self, count: int) -> tuple[float, float]:
        """Mean and standard deviation of the cohesion of so many rows drawn by lot (sizes in steps of a half, since it changes little)."""
        size = min(len(self.target_N), int(np.ceil(1.5 ** np.ceil(np.log(max(count, 5)) / np.log(1.5)))))
        if size not in self.chances:
            random = np.random.Generator(np.random.Philox(9))
            found = []
            for _ in range(DRAWS):
                rows = np.sort(random.choice(len(self.target_N), size=size, replace=False))
                found.append(self.cohesion(*self.words_in(rows), size))
            self.chances[size] = float(np.mean(found)), float(np.std(found, ddof=1))
        mean, deviation = self.chances[size]
        return mean, deviation * size / count

    # ---- words and likeness ----------------------------------------------------------------------
    def words_in(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The columns of the words of rows, and which of the rows each stands in."""
        size = self.start[rows + 1] - self.start[rows]
        owner = np.repeat(np.arange(len(rows)), size)
        return self.column_W[np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size) + np.repeat(self.start[rows], size)], owner

    def scattered(self, columns: np.ndarray, owner: np.ndarray, count: int) -> bool:
        """Whether rows resemble each other no more than chance rows of the data do."""
        return self.cohesion(columns, owner, count) < COHESION * self.cohesion_of_chance(count) + 0.02

    def cohesion(self, columns: np.ndarray, owner: np.ndarray, count: int) -> float:
        """Mean cosine between the rows' words, weighed by rarity."""
        from scipy.sparse import csr_matrix, diags

        weight = self.rarity[columns]
        matrix = csr_matrix((weight, (owner, columns)), shape=(count, 1 << BITS))
        length = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
        matrix = diags(1 / np.maximum(length, 1e-9)) @ matrix
        total = np.asarray(matrix.sum(axis=0)).ravel()
        return float((total @ total - (length > 0).sum()) / max(count * (count - 1), 1))

    def cohesion_of_chance(self, count: int) -> float:
        """The same of rows drawn by lot, three times as much: rows of one topic have far more."""
        random = np.random.Generator(np.random.Philox(5))
        rows = np.sort(random.choice(len(self.target_N), size=min(len(self.target_N), max(count, 50)), replace=False))
        return 3 * self.cohesion(*self.words_in(rows), len(rows)) / COHESION
