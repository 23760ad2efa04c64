"""Rows as columns: a batch of records as one long text and one array of word hashes, so that a check looks at thousands of rows at once.

A row has three segments: what is asked (`INPUT`), what is learned (`ANSWER`), and the rest (`OTHER`: system turns, tool results). In the blob of a
batch every segment ends with a NUL, which no row can hold (the reader refuses it). A word is a run of letters and digits, lower-cased; its hash is
64 bits, a pure function of its bytes, computed for all words of a batch by prefix sums.
"""
import re
from dataclasses import dataclass, field
from functools import cache, cached_property

import numpy as np

INPUT, ANSWER, OTHER = 0, 1, 2
SEGMENTS = 3
MOST_ROWS, MOST_CHARACTERS = 4096, 1 << 19
BLOCK = 1 << 16
"""Bytes that are hashed at once."""
BASE = 0x9E3779B97F4A7C15 | 1
IDEOGRAPH = re.compile(r"([\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af])")

WORD_BYTES = np.zeros(256, dtype=bool)
WORD_BYTES[[*range(ord("a"), ord("z") + 1), *range(ord("0"), ord("9") + 1), *range(128, 256)]] = True


@dataclass(frozen=True)
class Facets:
    """What one record says, by segment, and the label or answer that it teaches."""

    segments: tuple[str, str, str]
    label: str | None = None


@dataclass
class Words:
    """Every word of a batch, in order."""

    hash_W: np.ndarray
    """uint64."""
    row_W: np.ndarray
    """int64: row within the batch."""
    segment_W: np.ndarray
    """int8: INPUT, ANSWER or OTHER."""
    start_W: np.ndarray | None = None
    """int64: where each begins in the blob; None where the blob is not plain ASCII."""


@dataclass
class Batch:
    """Rows of one split as columns. `first` is the place of its first row among all rows of the data set."""

    first: int
    split: int
    facets: list[Facets]
    values: list[dict] = field(default_factory=list)
    """The canonical rows themselves."""
    shared: dict = field(default_factory=dict)
    """What one check has worked out and others need too, by name."""

    def __len__(self) -> int:
        return len(self.facets)

    @cached_property
    def blob(self) -> str:
        whole = "".join(f"{one.segments[0]}\0{one.segments[1]}\0{one.segments[2]}\0" for one in self.facets)
        if whole.count("\0") != SEGMENTS * len(self.facets):
            whole = "".join(text.replace("\0", "\ufffd") + "\0" for one in self.facets for text in one.segments)
        return whole

    @cached_property
    def lower(self) -> str:
        """The blob in lower case; of the same length, so that places in one are places in the other."""
        lower = self.blob.lower()
        return lower if len(lower) == len(self.blob) else "".join(low if len(low := character.lower()) == 1 else character for character in self.blob)

    @cached_property
    def codes(self) -> np.ndarray:
        """The characters of the blob as numbers."""
        return codes_of(self.blob)

    @cached_property
    def ends_S(self) -> np.ndarray:
        """int64 [3 R]: where each segment's NUL stands in the blob."""
        lengths = np.fromiter((len(text) + 1 for one in self.facets for text in one.segments), dtype=np.int64, count=SEGMENTS * len(self.facets))
        return np.cumsum(lengths) - 1

    def row_at(self, place: int) -> tuple[int, int]:
        """The row within the batch and the segment that hold a place of the blob."""
        return divmod(int(np.searchsorted(self.ends_S, place)), SEGMENTS)

    def rows_at(self, places) -> np.ndarray:
        return np.searchsorted(self.ends_S, np.asarray(places, dtype=np.int64)) // SEGMENTS

    @cached_property
    def words(self) -> Words:
        return words_of(self.lower)

    @cached_property
    def said_SR(self) -> np.ndarray:
        """uint64 [3, R]: a hash of the words of each segment in order, whatever their case, spaces and punctuation; 0 where there are none."""
        words = self.words
        owner_W = words.row_W * SEGMENTS + words.segment_W
        starts = np.searchsorted(owner_W, np.arange(SEGMENTS * len(self)))
        place_W = np.arange(len(owner_W)) - starts[owner_W]
        said = np.zeros(SEGMENTS * len(self), dtype=np.uint64)
        if len(owner_W):
            weight_P, _ = powers(int(place_W.max()) + 1)
            sums = np.concatenate([[np.uint64(0)], np.cumsum(words.hash_W * weight_P[place_W])])
            ends = np.append(starts[1:], len(owner_W))
            said = np.where(ends > starts, scatter((sums[ends] - sums[starts]) ^ (ends - starts).astype(np.uint64)), 0).astype(np.uint64)
        return said.reshape(len(self), SEGMENTS).T

    @cached_property
    def input_bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """The word hashes of the inputs alone, and the bounds [R + 1] of each row within them."""
        return self.bounds_where(self.words.segment_W == INPUT)

    @cached_property
    def said_bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """The same of inputs and answers, one behind the other."""
        return self.bounds_where(self.words.segment_W != OTHER)

    def bounds_where(self, mine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.words.hash_W[mine], np.searchsorted(self.words.row_W[mine], np.arange(len(self) + 1))


def words_of(lower: str) -> Words:
    """The words of a lower-cased text whose segments end with NUL."""
    if not (plain := lower.isascii()):
        lower = letters_only(lower)
    bytes_B = np.frombuffer(lower.encode("utf-8", "replace"), dtype=np.uint8)
    nul_S = np.flatnonzero(bytes_B == 0)
    hashes, places = [], []
    for first, last in blocks(nul_S, len(bytes_B)):
        hash_W, start_W = hashes_of(bytes_B[first:last])
        hashes.append(hash_W)
        places.append(start_W + first)
    hash_W, starts = (np.concatenate(part) if part else np.zeros(0, dtype=kind) for part, kind in ((hashes, np.uint64), (places, np.int64)))
    segment_W = np.searchsorted(nul_S, starts)
    return Words(hash_W, segment_W // SEGMENTS, (segment_W % SEGMENTS).astype(np.int8), starts if plain else None)


def blocks(nul_S: np.ndarray, size: int) -> list[tuple[int, int]]:
    """Parts that end behind a NUL and are small enough for the processor's near memory, as far as the segments allow."""
    wanted = np.arange(BLOCK, size, BLOCK)
    cuts = np.unique(nul_S[np.searchsorted(nul_S, wanted).clip(max=max(len(nul_S) - 1, 0))]) + 1 if len(nul_S) and len(wanted) else np.zeros(0, dtype=np.int64)
    edges = [0, *(cut for cut in cuts.tolist() if cut < size), size]
    return list(zip(edges[:-1], edges[1:]))


def hashes_of(bytes_B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The hash of every word of a text in UTF-8, and where each begins."""
    edges = np.flatnonzero(np.diff(WORD_BYTES[bytes_B], prepend=False, append=False))
    starts, ends = edges[::2], edges[1::2]
    power_B, inverse_B = powers(len(bytes_B) + 1)
    sums_B = np.zeros(len(bytes_B) + 1, dtype=np.uint64)
    np.cumsum(bytes_B * power_B[:-1], out=sums_B[1:])
    return scatter((sums_B[ends] - sums_B[starts]) * inverse_B[starts] + (ends - starts).astype(np.uint64)), starts


def codes_of(text: str) -> np.ndarray:
    """The characters of a text as numbers: uint8 where all are ASCII, else uint32."""
    if text.isascii():
        return np.frombuffer(text.encode(), dtype=np.uint8)
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


def letters_only(text: str) -> str:
    """A text whose characters beyond ASCII are letters and digits only, with spaces around ideographs, each of which is a word."""
    code_C = codes_of(text)
    far = np.flatnonzero(code_C > 127)
    kinds, inverse = np.unique(code_C[far], return_inverse=True)
    letter = np.array([chr(code).isalnum() and not 0xD800 <= code < 0xE000 for code in kinds.tolist()], dtype=bool)
    alone = letter & np.array([bool(IDEOGRAPH.match(chr(code))) for code in kinds.tolist()], dtype=bool)
    code_C = code_C.copy()
    code_C[far[~letter[inverse]]] = 32
    if alone.any():
        places = far[alone[inverse]]
        code_C = np.insert(code_C, np.concatenate([places, places + 1]), 32)
    return code_C.astype("<u4").tobytes().decode("utf-32-le")


class Lookup:
    """Known words with a number each: which of many words are known, found through a table by the first 16 bits of the hash, small enough to stay near the processor."""

    def __init__(self, hashes, numbers):
        self.known = np.asarray(hashes, dtype=np.uint64)
        self.numbers = np.asarray(numbers)
        self.table = np.zeros(1 << 16, dtype=np.int32)
        slots = (self.known >> np.uint64(48)).astype(np.int64)
        self.table[slots] = np.arange(1, len(slots) + 1)
        # of words that share a slot the last stands in the table; the others are looked for one by one
        self.others = np.flatnonzero(self.table[slots] != np.arange(1, len(slots) + 1))

    def find(self, hash_W: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Places of known words, and their numbers; a word that is known twice comes twice."""
        entry = self.table[hash_W >> np.uint64(48)]
        likely = np.flatnonzero(entry)
        at = entry[likely] - 1
        good = self.known[at] == hash_W[likely]
        places, numbers = [likely[good]], [self.numbers[at[good]]]
        slots = set((self.known[self.others] >> np.uint64(48)).tolist())
        if slots and len(likely):
            maybe = likely[np.isin(hash_W[likely] >> np.uint64(48), np.array(sorted(slots), dtype=np.uint64))]
            for other in self.others if len(maybe) else ():
                hit = maybe[hash_W[maybe] == self.known[other]]
                places.append(hit)
                numbers.append(np.full(len(hit), self.numbers[other]))
        return np.concatenate(places), np.concatenate(numbers)


def places_of(text: str, needle: str) -> list[int]:
    """Where a phrase stands in a text."""
    found = []
    at = text.find(needle)
    while at >= 0:
        found.append(at)
        at = text.find(needle, at + len(needle))
    return found


_powers: list[np.ndarray] = [np.zeros(0, dtype=np.uint64)] * 2


def powers(count: int) -> tuple[np.ndarray, np.ndarray]:
    """BASE to the power of 0, 1, 2 ... modulo 2^64, and of its inverse; kept, and made longer when needed."""
    if len(_powers[0]) < count:
        size = max(count, MOST_CHARACTERS)
        for at, base in enumerate((BASE, pow(BASE, -1, 1 << 64))):
            factors = np.full(size, base, dtype=np.uint64)
            factors[0] = 1
            _powers[at] = np.multiply.accumulate(factors)
    return _powers[0][:count], _powers[1][:count]


def scatter(x: np.ndarray) -> np.ndarray:
    """Spread numbers over 64 bits (the finaliser of splitmix64, public domain)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def pairs_of(hash_W: np.ndarray) -> np.ndarray:
    """The hash of each word and the one after it; the last is left out."""
    return scatter(hash_W[:-1] * np.uint64(0xD6E8FEB86659FD93) + hash_W[1:])


@cache
def hash_word(word: str) -> int:
    """The hash of one word as `words_of` computes it; of a phrase, that of its first two words as a pair."""
    found = words_of(word.lower() + "\0").hash_W
    return int(found[0]) if len(found) == 1 else int(pairs_of(found)[0])
