"""The split is read off the content: adding rows moves none, equal inputs and groups stay together, small files get the exact share."""
import random

import numpy as np
import pytest

from luthier.data.records import Conversation, Labelled, Message
from luthier.data.settings import DataSettings, share
from luthier.data.split import TEST, VALIDATION, Shares, assign, hash_of, identity_of, normalise, overlapping, units

SHARES = Shares(0.1, 0.2)


def hashes(*texts):
    return np.array([hash_of(text) for text in texts], dtype=np.uint64)


def none(count):
    return np.zeros(count, dtype=np.uint64)


def test_adding_rows_moves_no_row():
    texts = [f"text {number}" for number in range(5000)]
    few, all_ = hashes(*texts[:700]), hashes(*texts)
    assert (assign(few, SHARES) == assign(all_, SHARES)[:700]).all()
    order = np.random.default_rng(0).permutation(5000)
    assert (assign(all_[order], SHARES) == assign(all_, SHARES)[order]).all()


def test_large_files_come_close_to_the_share_and_small_ones_reach_it():
    side = assign(hashes(*(f"text {number}" for number in range(20_000))), SHARES)
    assert abs((side == TEST).mean() - 0.2) < 0.01 and abs((side == VALIDATION).mean() - 0.1) < 0.01
    for count in (10, 37, 99, 250, 499):
        side = assign(hashes(*(f"text {number}" for number in range(count))), SHARES)
        assert (side == TEST).sum() == round(0.2 * count) and (side == VALIDATION).sum() == max(round(0.1 * count), 1)


def test_the_hash_is_pinned():
    """Another value would silently split every user's data anew; change `VERSION` with it."""
    assert hash_of("one") == 387427778120679932


def test_groups_and_equal_inputs_stay_on_one_side():
    draw = random.Random(3)
    texts = [f"text {draw.randrange(800)}" for _ in range(3000)]
    groups = [f"g{draw.randrange(400)}" if draw.random() < 0.3 else None for _ in texts]
    identity = hashes(*texts)
    group = np.array([hash_of(each) if each else 0 for each in groups], dtype=np.uint64)
    side = assign(units(identity, group), SHARES)
    for values in (texts, groups):
        for value in set(values) - {None}:
            assert len({int(side[at]) for at, each in enumerate(values) if each == value}) == 1
    plain = assign(units(identity, none(3000)), SHARES)
    assert 0 < (plain == TEST).mean() < 0.4 and (plain != side).any()


def test_overlap_leaves_the_earlier_split():
    identity, group = hashes("a", "b", "c", "a", "c", "d"), none(6)
    side = np.array([0, 0, 0, 2, 1, 0], dtype=np.int8)
    assert overlapping(identity, group, side).tolist() == [True, False, True, False, False, False]
    side = np.array([0, 0, 1, 2, 2, 0], dtype=np.int8)
    assert overlapping(identity, group, side).tolist() == [True, False, True, False, False, False]
    group = np.array([7, 8, 8, 0, 8, 7], dtype=np.uint64)
    assert overlapping(hashes(*"uvwxyz"), group, np.array([0, 0, 1, 2, 2, 0], dtype=np.int8)).tolist() == [False, True, True, False, False, False]


def test_the_identity_is_the_input():
    assert normalise(identity_of(Labelled("  Hello\tWORLD ", "a"))) == normalise(identity_of(Labelled("hello world", "b")))
    first, second = (Conversation((Message("user", "Hi"), Message("assistant", answer))) for answer in ("one", "two"))
    assert identity_of(first) == identity_of(second) != identity_of(Conversation((Message("user", "Ho"), Message("assistant", "one"))))
    assert normalise("Cafe\u0301 STRASSE") == normalise("CAFÉ straße")


@pytest.mark.parametrize("value, expected", [(0.1, 0.1), ("10%", 0.1), ("0.25", 0.25), ("12.5 %", 0.125), (0, 0), ("", 0), ("none", 0), ("valid.csv", None), ("data/10%.csv", None)])
def test_shares_are_read(value, expected):
    assert share(value) == expected


@pytest.mark.parametrize("wrong", [{"validation": 1.5}, {"test": -0.1}, {"validation": 0.5, "test": 0.5}, {"max_rows": 0}, {"max_line_bytes": 1}, {"test": "120%"}, {"min_learned_share": 2}])
def test_settings_that_cannot_be_meant_are_refused(wrong):
    with pytest.raises(ValueError):
        DataSettings(**wrong)
