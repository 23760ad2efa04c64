"""Which examples are learned at which step: a pure function of (seed, epoch, index), so that a resumed run needs one integer.

Three layouts under one contract, every example exactly once per epoch:
- by lot: a shuffled epoch is cut into steps of `batch_size` examples;
- grouped: a shuffled epoch is cut into windows, each sorted by length and cut into steps of `batch_size` examples, so that the examples of
  one step are alike in length and padding is rare; the steps of a window are then shuffled. Where length tells of content (a mixture), such a
  step teaches one kind alone, and kinds with short rows get as many steps' weight for few tokens: `unevenness` measures it;
- packed: short examples share rows of `context` tokens. Which *lengths* share a row is found once (best fit, longest first), which examples
  of those lengths is drawn anew each epoch: the number of rows is the same in every epoch and the company an example keeps is not.
"""
from bisect import bisect_left, insort

import numpy as np

from luthier.errors import DataError

START_TOKENS, START_SHARE = 32, 64
"""A micro-batch costs, beside its tokens, about what 32 of them do on a CPU (weights read and gradients added once more), and on a GPU, whose budgets are large, a part of the budget."""
WINDOW_STEPS = 32  # steps that are grouped together: sorted enough to save padding, small enough to stay a shuffle
SHUFFLE, WITHIN, ROWS = 1, 2, 3  # purposes of the random streams


def permutation(count: int, *key: int) -> np.ndarray:
    """A shuffle of range(count) drawn from the raw Philox stream of `key`: the same bits on every machine and in every NumPy."""
    words = np.random.Philox(np.random.SeedSequence(key)).random_raw(count) if count else np.zeros(0, np.uint64)
    return np.argsort(words, kind="stable")


class Order:
    """The steps of a run over examples of known lengths."""

    def __init__(self, lengths, *, batch_size: int, tokens_per_micro_batch: int, seed: int, packing: bool = False, context: int, group_by_length: bool = True):
        """`batch_size` examples make an optimizer step (packed: on average); a micro-batch holds at most `tokens_per_micro_batch` tokens, padding included, or one row."""
        self.lengths = np.asarray(lengths, dtype=np.int64)
        self.batch_size, self.tokens_per_micro_batch = batch_size, tokens_per_micro_batch
        self.seed, self.packing, self.context, self.group_by_length = seed, packing, context, group_by_length
        self._check()
        self._patterns = pack(self.lengths, context) if packing else []
        rows = len(self._patterns) if packing else len(self.lengths)
        self.rows_per_step = max(1, round(batch_size * rows / len(self.lengths))) if packing else batch_size
        self.steps_per_epoch = -(-rows // self.rows_per_step)
        self._epoch: tuple[int, list[list[list[int]]]] | None = None

    def _check(self) -> None:
        if not len(self.lengths):
            raise DataError("there is no example to learn from", code="D411", hint="luthier check shows why each row was left out")
        if self.lengths.max() > self.context or self.lengths.min() < 1:
            raise ValueError(f"examples must have 1 to {self.context} tokens, got {self.lengths.min()} to {self.lengths.max()}")
        if self.batch_size < 1 or self.tokens_per_micro_batch < 1:
            raise ValueError("batch_size and tokens_per_micro_batch must be at least 1")

    def step(self, number: int) -> list[list[list[int]]]:
        """Micro-batches of step `number` (0-based, over all epochs): each a list of rows, each row the indices of its examples."""
        epoch, index = divmod(number, self.steps_per_epoch)
        rows = self._rows_of(epoch)[index]
        return self._micro_batches(rows)

    def epoch_of(self, number: int) -> int:
        """The epoch (0-based) that a step belongs to."""
        return number // self.steps_per_epoch

    def _rows_of(self, epoch: int) -> list[list[list[int]]]:
        """The rows of every step of an epoch; the last one made is kept, as a memory only."""
        if self._epoch is None or self._epoch[0] != epoch:
            self._epoch = (epoch, self._packed(epoch) if self.packing else self._grouped(epoch) if self.group_by_length else self._drawn(epoch))
        return self._epoch[1]

    def _grouped(self, epoch: int) -> list[list[list[int]]]:
        shuffled = permutation(len(self.lengths), self.seed, epoch, SHUFFLE)
        window, steps = self.batch_size * WINDOW_STEPS, []
        for number, start in enumerate(range(0, len(shuffled), window)):
            part = shuffled[start:start + window]
            short = len(part) % self.batch_size  # drawn before sorting: the short last step is a random one, not the longest rows
            rest, last = part[:len(part) - short], part[len(part) - short:]
            rest = rest[np.argsort(self.lengths[rest], kind="stable")].reshape(-1, self.batch_size)
            steps += [rest[at] for at in permutation(len(rest), self.seed, epoch, WITHIN, number)]
            steps += [last] if short else []
        return [[[int(index)] for index in step] for step in steps]

    def _drawn(self, epoch: int) -> list[list[list[int]]]:
        shuffled = permutation(len(self.lengths), self.seed, epoch, SHUFFLE)
        return [[[int(index)] for index in shuffled[start:start + self.batch_size]] for start in range(0, len(shuffled), self.batch_size)]

    def _packed(self, epoch: int) -> list[list[list[int]]]:
        shuffled = permutation(len(self.lengths), self.seed, epoch, SHUFFLE)
        waiting: dict[int, list[int]] = {}
        for index in shuffled.tolist():
            waiting.setdefault(int(self.lengths[index]), []).append(index)
        rows = [[waiting[length].pop() for length in pattern] for pattern in self._patterns]
        rows = [rows[at] for at in permutation(len(rows), self.seed, epoch, ROWS)]
        return [rows[start:start + self.rows_per_step] for start in range(0, len(rows), self.rows_per_step)]

    def _micro_batches(self, rows: list[list[int]]) -> list[list[list[int]]]:
        """Rows grouped, longest first, so that rows times the longest of them stays within the token budget."""
        widths = np.array([int(self.lengths[row].sum()) for row in rows])
        longest_first = np.argsort(-widths, kind="stable")
        bounds = cut(widths[longest_first], self.tokens_per_micro_batch, max(START_TOKENS, self.tokens_per_micro_batch // START_SHARE))
        return [[rows[at] for at in longest_first[start:end].tolist()] for start, end in bounds]

    def filled(self, epoch: int = 0) -> float:
        """Share of the positions computed in an epoch that hold a token, not padding."""
        batches = [batch for rows in self._rows_of(epoch) for batch in self._micro_batches(rows)]
        computed = sum(len(batch) * max(int(self.lengths[row].sum()) for row in batch) for batch in batches)
        return float(self.lengths.sum() / computed)


def unevenness(lengths_N: np.ndarray, learned_N: np.ndarray, batch_size: int) -> float:
    """How much steps of like length would differ in what they teach: standard deviation over mean of their learned tokens; 0 where rows count alike."""
    whole = len(lengths_N) // batch_size * batch_size
    taught = np.asarray(learned_N, dtype=np.float64)[np.argsort(lengths_N, kind="stable")][:whole].reshape(-1, batch_size).sum(1)
    return float(taught.std() / taught.mean()) if whole and taught.any() else 0.0


def told_by_length(lengths_N: np.ndarray, labels_N: np.ndarray, values_NK: np.ndarray | None, batch_size: int) -> float:
    """How much of what is asked for a step of like length gives away: the share of the variance of labels (-1: none) or values that lies between such steps,
    beyond what chance puts there; 0 where length says nothing of them, 1 where it says all."""
    whole = len(lengths_N) // batch_size * batch_size
    order = np.argsort(lengths_N, kind="stable")[:whole]
    if not whole or batch_size < 2:
        return 0.0
    if values_NK is not None:
        values_SBK = np.asarray(values_NK, dtype=np.float64)[order].reshape(-1, batch_size, values_NK.shape[-1])
        within, between = values_SBK.reshape(whole, -1).var(0).sum(), values_SBK.mean(1).var(0).sum()
    else:
        labels = np.asarray(labels_N, dtype=np.int64)[order]
        step = np.arange(whole) // batch_size
        share_of = lambda keys, of: float(np.square(np.unique(keys, return_counts=True)[1] / of).sum())  # of a one-hot label: 1 - this is its variance
        overall = share_of(labels, whole)
        within, between = 1 - overall, share_of(step * (labels.max() + 2) + labels + 1, batch_size) / (whole // batch_size) - overall
    return max(0.0, float((between / within - 1 / batch_size) / (1 - 1 / batch_size))) if within > 1e-12 else 0.0


def cut(widths_N: np.ndarray, budget: int, start: int) -> list[tuple[int, int]]:
    """Descending widths cut into runs that cost the least together: rows times the widest, and `start` for each run; a run of several rows costs at most `budget`."""
    best_N, from_N, lowest = np.zeros(len(widths_N) + 1, dtype=np.int64), np.zeros(len(widths_N) + 1, dtype=np.int64), 0
    for end in range(1, len(widths_N) + 1):
        while lowest < end - 1 and (end - lowest) * widths_N[lowest] > budget:
            lowest += 1
        began = np.arange(lowest, end)
        costs = best_N[lowest:end] + (end - began) * widths_N[lowest:end] + start
        at = int(np.argmin(costs))
        best_N[end], from_N[end] = costs[at], lowest + at
    bounds, end = [], len(widths_N)
    while end:
        bounds.append((int(from_N[end]), end))
        end = int(from_N[end])
    return bounds[::-1]


def pack(lengths: np.ndarray, context: int) -> list[list[int]]:
    """Lengths grouped into rows of at most `context`: longest first, each into the fullest row that still takes it (best-fit decreasing)."""
    rows: list[list[int]] = []
    room: list[int] = []  # the distinct amounts of room left, ascending
    with_room: dict[int, list[int]] = {}
    for length in sorted(lengths.tolist(), reverse=True):
        at = bisect_left(room, length)
        if at == len(room):
            row, left = len(rows), context - length
            rows.append([length])
        else:
            row, left = with_room[room[at]].pop(), room[at] - length
            rows[row].append(length)
            if not with_room[room[at]]:
                del with_room[room.pop(at)]
        if left:
            if left not in with_room:
                insort(room, left)
                with_room[left] = []
            with_room[left].append(row)
    return rows
