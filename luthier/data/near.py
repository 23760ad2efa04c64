"""Near duplicates: pairs of texts that share at least half of their words and pairs of neighbouring words, and differ in at most a quarter of the words.

An edit of a fifth of the words leaves a Jaccard of about 0.52 or more. MinHash (Broder 1997) finds the candidates: 96 minima in 32 bands of 3, so that a pair at
0.52 meets in some band with probability 0.99; the Jaccard itself is then counted over what the rows hold, never estimated, and for texts of at most 64
words the words that differ are counted too (Levenshtein). Rows stay on disk: 32 band keys, 96 bytes of signature, at most 256 shingles each, of a
long text those of the smallest hash, the same in every copy, and the words of short texts.
"""
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from luthier.data.columns import pairs_of

PERMUTATIONS, BANDS = 96, 32
ROWS_PER_BAND = PERMUTATIONS // BANDS
LEAST = 0.5
MOST_EDITED = 0.25
SKETCH, KEPT, SPELLED = 64, 256, 64
SLACK = 0.16
"""Three standard deviations of a Jaccard that 96 minima estimate; pairs estimated further below are not counted exactly."""
FEWEST_WORDS = 4
CHUNK = 1 << 16

_random = np.random.Generator(np.random.Philox(20260101))
FACTOR_P = (_random.integers(1 << 32, size=PERMUTATIONS, dtype=np.uint64) | np.uint64(1)).astype(np.uint32)
SHIFT_P = _random.integers(1 << 32, size=PERMUTATIONS, dtype=np.uint64).astype(np.uint32)


@dataclass
class Near:
    """What was found: rows i < j with their Jaccard, and the cluster of every row (its smallest member)."""

    first_E: np.ndarray
    second_E: np.ndarray
    jaccard_E: np.ndarray
    cluster_N: np.ndarray

    def clusters(self) -> list[np.ndarray]:
        """Members of each cluster of at least two, largest first."""
        order = np.argsort(self.cluster_N, kind="stable")
        bounds = np.flatnonzero(np.diff(self.cluster_N[order], prepend=-1, append=-1))
        groups = [order[start:end] for start, end in zip(bounds[:-1], bounds[1:]) if end - start > 1]
        return sorted(groups, key=lambda group: (-len(group), group[0]))


class NearIndex:
    """Rows go in batch by batch and lie on disk; `find` gives the pairs."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.bands = [open(folder / f"band-{band}", "wb", buffering=1 << 16) for band in range(BANDS)]
        self.signatures = open(folder / "signatures", "wb", buffering=1 << 20)
        self.shingles = open(folder / "shingles", "wb", buffering=1 << 20)
        self.words = open(folder / "words", "wb", buffering=1 << 20)
        self.sizes: list[np.ndarray] = []
        self.lengths: list[np.ndarray] = []
        self.count = 0

    def add(self, hash_W: np.ndarray, bounds_R: np.ndarray) -> None:
        """The word hashes of rows, and where each row begins and the last ends."""
        row_S, shingle_S, size_R = shingles_of(hash_W, bounds_R)
        rank_S = np.arange(len(row_S)) - np.repeat(np.cumsum(size_R) - size_R, size_R)
        shingle_S[rank_S < KEPT].astype(np.uint32).tofile(self.shingles)
        self.sizes.append(np.minimum(size_R, KEPT).astype(np.uint16))
        length_R = np.diff(bounds_R)
        self.lengths.append(np.where(length_R <= SPELLED, length_R, 0).astype(np.uint8))
        (hash_W[np.repeat(length_R <= SPELLED, length_R)] >> np.uint64(32)).astype(np.uint32).tofile(self.words)
        sketch = rank_S < SKETCH
        minima_PR = minima_of(shingle_S[sketch], np.minimum(size_R, SKETCH))
        (minima_PR.T & 0xFF).astype(np.uint8).tofile(self.signatures)
        for band, stream in enumerate(self.bands):
            part = minima_PR[band * ROWS_PER_BAND : (band + 1) * ROWS_PER_BAND].astype(np.uint64)
            key_R = ((part[0] * np.uint64(BANDS_FACTOR) + part[1]) * np.uint64(BANDS_FACTOR) + part[2]) * np.uint64(BANDS_FACTOR)
            np.where(bounds_R[1:] - bounds_R[:-1] >= FEWEST_WORDS, key_R | np.uint64(1), 0).astype(np.uint64).tofile(stream)
        self.count += len(size_R)

    def find(self, least: float = LEAST) -> Near:
        """Every verified pair that shares a band and is not joined by earlier bands already; closes the index."""
        for stream in (*self.bands, self.signatures, self.shingles, self.words):
            stream.close()
        size_N = np.concatenate(self.sizes) if self.sizes else np.zeros(0, dtype=np.uint16)
        start_N = np.concatenate([[0], np.cumsum(size_N.astype(np.int64))])
        if not len(size_N) or not start_N[-1]:
            return Near(*(np.zeros(0, dtype=np.int64),) * 2, np.zeros(0), np.arange(len(size_N)))
        signature_NP = np.memmap(self.folder / "signatures", dtype=np.uint8, mode="r").reshape(-1, PERMUTATIONS)
        shingle_T = np.memmap(self.folder / "shingles", dtype=np.uint32, mode="r")
        spelled = Spelled(self.folder / "words", np.concatenate(self.lengths))
        cluster_N = np.arange(self.count)
        edges: list[tuple] = []
        for band in range(BANDS):
            key_N = np.fromfile(self.folder / f"band-{band}", dtype=np.uint64)
            new: list[tuple] = []
            for first, second in candidates(key_N):
                apart = cluster_N[first] != cluster_N[second]
                first, second = first[apart], second[apart]
                likely = (signature_NP[first] == signature_NP[second]).mean(axis=1) >= least - SLACK
                first, second = first[likely], second[likely]
                jaccard = jaccard_of(shingle_T, start_N, first, second)
                good = jaccard >= least
                good[good] = spelled.alike(first[good], second[good])
                new.append((first[good], second[good], jaccard[good]))
            if any(len(found[0]) for found in new):
                edges += new
                cluster_N = components(self.count, np.concatenate([e[0] for e in edges]), np.concatenate([e[1] for e in edges]))
        if not edges:
            return Near(*(np.zeros(0, dtype=np.int64),) * 2, np.zeros(0), cluster_N)
        return Near(*(np.concatenate(part) for part in zip(*edges)), cluster_N)


BANDS_FACTOR = 0xBF58476D1CE4E5B9


def shingles_of(hash_W: np.ndarray, bounds_R: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The distinct words and pairs of words of each row, smallest hash first: their row, their hash (32 bits), and how many each row has."""
    size_R = np.diff(bounds_R)
    row_W = np.repeat(np.arange(len(size_R)), size_R)
    pair_W = pairs_of(hash_W) if len(hash_W) > 1 else np.zeros(0, dtype=np.uint64)
    within = row_W[:-1] == row_W[1:]
    key = np.concatenate([(row_W.astype(np.uint64) << np.uint64(32)) | (hash_W >> np.uint64(32)), (row_W[:-1][within].astype(np.uint64) << np.uint64(32)) | (pair_W[within] >> np.uint64(32))])
    key.sort()
    if len(key):
        key = key[np.concatenate([[True], key[1:] != key[:-1]])]
    row_S = (key >> np.uint64(32)).astype(np.int64)
    return row_S, (key & np.uint64(0xFFFFFFFF)).astype(np.uint32), np.bincount(row_S, minlength=len(size_R))


def minima_of(shingle_S: np.ndarray, size_R: np.ndarray) -> np.ndarray:
    """The smallest value of each row under each permutation, uint32 [P, R]; rows without shingles get the largest."""
    minima_PR = np.full((PERMUTATIONS, len(size_R)), 0xFFFFFFFF, dtype=np.uint32)
    filled = np.flatnonzero(size_R)
    if not len(filled):
        return minima_PR
    starts = (np.cumsum(size_R) - size_R)[filled]
    for permutation in range(PERMUTATIONS):
        minima_PR[permutation, filled] = np.minimum.reduceat(shingle_S * FACTOR_P[permutation] + SHIFT_P[permutation], starts)
    return minima_PR


def candidates(key_N: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows of one key, in chunks of pairs: each with the one before it and with the first of its key. 0 is no key."""
    order = np.argsort(key_N, kind="stable")
    sorted_N = key_N[order]
    same = np.flatnonzero((sorted_N[1:] == sorted_N[:-1]) & (sorted_N[1:] != 0)) + 1
    if not len(same):
        return
    head_N = np.maximum.accumulate(np.where(np.concatenate([[True], sorted_N[1:] != sorted_N[:-1]]), np.arange(len(sorted_N)), 0))
    for at in range(0, len(same), CHUNK):
        part = same[at : at + CHUNK]
        second = order[part]
        first, head = order[part - 1], order[head_N[part]]
        other = head != first
        yield np.concatenate([first, head[other]]), np.concatenate([second, second[other]])


def jaccard_of(shingle_T: np.ndarray, start_N: np.ndarray, first_E: np.ndarray, second_E: np.ndarray) -> np.ndarray:
    """Shared over all shingles of each pair of rows, counted."""
    result = np.zeros(len(first_E))
    for at in range(0, len(first_E), CHUNK):
        part = slice(at, at + CHUNK)
        sizes = [np.asarray(start_N[rows[part] + 1] - start_N[rows[part]]) for rows in (first_E, second_E)]
        keys = []
        for rows, size in zip((first_E[part], second_E[part]), sizes):
            place = np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size) + np.repeat(start_N[rows], size)
            keys.append((np.repeat(np.arange(len(rows), dtype=np.uint64), size) << np.uint64(32)) | shingle_T[place])
        key = np.concatenate(keys)
        key.sort()
        twice = key[1:][key[1:] == key[:-1]] >> np.uint64(32)
        shared = np.bincount(twice.astype(np.int64), minlength=len(sizes[0]))
        result[part] = shared / np.maximum(sizes[0] + sizes[1] - shared, 1)
    return result


class Spelled:
    """The words of short texts on disk, to count how many of them differ."""

    def __init__(self, path: Path, length_N: np.ndarray):
        self.length_N = length_N.astype(np.int64)
        self.start_N = np.cumsum(self.length_N) - self.length_N
        self.word_T = np.memmap(path, dtype=np.uint32, mode="r") if self.length_N.any() else np.zeros(0, dtype=np.uint32)

    def alike(self, first_E: np.ndarray, second_E: np.ndarray) -> np.ndarray:
        """Whether at most a quarter of the words differ (bool, E); texts that are too long to spell out are taken as alike."""
        result = np.ones(len(first_E), dtype=bool)
        longest_E = np.maximum(self.length_N[first_E], self.length_N[second_E])
        both = np.flatnonzero((self.length_N[first_E] > 0) & (self.length_N[second_E] > 0))
        both = both[np.argsort(longest_E[both], kind="stable")]
        for at in range(0, len(both), 4096):
            part = both[at : at + 4096]
            allowed = np.maximum(1, np.floor(MOST_EDITED * longest_E[part]))
            result[part] = edits(self.padded(first_E[part], 0), self.length_N[first_E[part]], self.padded(second_E[part], 1), self.length_N[second_E[part]]) <= allowed
        return result

    def padded(self, rows_E: np.ndarray, filler: int) -> np.ndarray:
        """The words of rows, uint64 [E, longest]; beyond the end of each, a number that is no word."""
        size = self.length_N[rows_E]
        column = np.arange(int(size.max()))
        words = self.word_T[np.minimum(self.start_N[rows_E][:, None] + column, len(self.word_T) - 1)].astype(np.uint64)
        return np.where(column < size[:, None], words, np.uint64((1 << 40) + filler))


def edits(words_EA: np.ndarray, size_E: np.ndarray, others_EB: np.ndarray, other_size_E: np.ndarray) -> np.ndarray:
    """Words to insert, leave out or replace to make one text of the other (Levenshtein), for many pairs at once."""
    columns = np.arange(others_EB.shape[1] + 1, dtype=np.int16)
    row_EB = np.broadcast_to(columns, (len(words_EA), len(columns))).copy()
    result_E = np.where(size_E == 0, other_size_E, 0)
    for at in range(words_EA.shape[1]):
        above = np.minimum(row_EB[:, 1:] + 1, row_EB[:, :-1] + (others_EB != words_EA[:, at : at + 1]))
        row_EB = np.concatenate([row_EB[:, :1] + 1, above], axis=1).astype(np.int16)
        # the cheapest way from the left: each step to the right costs one
        row_EB = np.minimum.accumulate(row_EB - columns, axis=1) + columns
        done = size_E == at + 1
        result_E[done] = row_EB[done, other_size_E[done]]
    return result_E


def components(count: int, first_E: np.ndarray, second_E: np.ndarray) -> np.ndarray:
    """The smallest member of the component of each of `count` rows."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    graph = coo_matrix((np.ones(len(first_E), dtype=np.int8), (first_E, second_E)), shape=(count, count))
    _, part_N = connected_components(graph, directed=False)
    smallest = np.full(part_N.max() + 1, count)
    np.minimum.at(smallest, part_N, np.arange(count))
    return smallest[part_N]
