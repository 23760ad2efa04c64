"""Train, validation and test, told apart by the content of each row: the same row lands on the same side whatever else is in the file.

The side of a row is read off a hash of its normalised *input* (not of its label or answer), or of its group. From 500 rows on, a row is test
where the hash, as a fraction of its range, lies below the share asked for; so adding rows moves no other row. Below 500 rows the rows are ranked by the
same hash and the first are test, so that the share is exact. Rows of one group, and rows of one input, are one unit and stay together;
groups that share an input become one unit.
"""
import hashlib
import unicodedata
from dataclasses import dataclass

import numpy as np

from luthier.data.records import Asked, Conversation, Record

VERSION = "1"
RANKED_BELOW = 500
TRAIN, VALIDATION, TEST, LEFT_OUT = 0, 1, 2, 3
SPLITS = ("train", "validation", "test")


def normalise(text: str) -> str:
    """A text as the split sees it: Unicode NFC, case folded, runs of white space as one space."""
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    return " ".join(text.casefold().split())


def identity_of(record: Record) -> str:
    """The input of a record: its text, or of a conversation all that the assistant did not say. It is normalised before it is hashed."""
    if isinstance(record, Asked | Conversation):
        return "\x1f ".join(f"{message.role} {message.content}" for message in record.messages if message.role != "assistant")
    return record.text


def hash_of(text: str) -> int:
    """64 bits of a keyed hash; the key is the version, so that another version splits anew."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8, person=b"split-" + VERSION.encode()).digest(), "little")


@dataclass(frozen=True)
class Shares:
    """How much of the rows validation and test take; 0 where a file gives them, or none are wanted."""

    validation: float
    test: float


def units(identity_N: np.ndarray, group_N: np.ndarray) -> np.ndarray:
    """The unit of each row, as a hash: its group (0 = none), else its input; units that share an input are joined under the smallest.

    Both arguments are uint64 of one length N, as is the result.
    """
    key_N = np.where(group_N != 0, group_N, identity_N)
    if not group_N.any():
        return key_N
    order = np.lexsort((key_N, identity_N))
    same = (identity_N[order][1:] == identity_N[order][:-1]) & (key_N[order][1:] != key_N[order][:-1])
    parent: dict[int, int] = {}

    def root(key: int) -> int:
        while parent.get(key, key) != key:
            parent[key] = parent.get(parent[key], parent[key])
            key = parent[key]
        return key

    for at in np.flatnonzero(same):
        first, second = sorted((root(int(key_N[order[at]])), root(int(key_N[order[at + 1]]))))
        parent[second] = first
        parent.setdefault(first, first)
    if parent:
        unique, inverse = np.unique(key_N, return_inverse=True)
        key_N = np.array([root(int(key)) if int(key) in parent else int(key) for key in unique], dtype=np.uint64)[inverse]
    return key_N


def assign(unit_N: np.ndarray, shares: Shares) -> np.ndarray:
    """The side of each row (int8: 0 train, 1 validation, 2 test) from the hash of its unit."""
    if len(unit_N) < RANKED_BELOW:
        return _by_rank(unit_N, shares)
    fraction_N = unit_N / float(1 << 64)
    side_N = np.zeros(len(unit_N), dtype=np.int8)
    side_N[fraction_N < shares.test + shares.validation] = VALIDATION
    side_N[fraction_N < shares.test] = TEST
    return side_N


def _by_rank(unit_N: np.ndarray, shares: Shares) -> np.ndarray:
    """Whole units in the order of their hash until each share is reached; a share above 0 gets at least one row where there are three units."""
    unique, inverse, counts = np.unique(unit_N, return_inverse=True, return_counts=True)
    total, at = len(unit_N), 0
    side_U = np.zeros(len(unique), dtype=np.int8)
    for side, share in ((TEST, shares.test), (VALIDATION, shares.validation)):
        wanted = max(round(share * total), 1) if share > 0 and len(unique) >= 3 else 0
        taken = 0
        while at < len(unique) - 1 and taken < wanted:
            taken += counts[at]
            side_U[at] = side
            at += 1
    return side_U[inverse]


def overlapping(identity_N: np.ndarray, group_N: np.ndarray, side_N: np.ndarray) -> np.ndarray:
    """Which rows must leave their side because test, or for training rows validation, holds the same input or group (bool, N)."""
    leaves_N = np.zeros(len(side_N), dtype=bool)
    for stays in (TEST, VALIDATION):
        keeper_N = (side_N == stays) & ~leaves_N
        lower_N = (side_N < stays) & ~leaves_N
        same_N = np.isin(identity_N, identity_N[keeper_N]) | ((group_N != 0) & np.isin(group_N, group_N[keeper_N & (group_N != 0)]))
        leaves_N |= lower_N & same_N
    return leaves_N
