"""Order: a pure function of (seed, epoch, index) in which every example comes exactly once per epoch, grouped by length, drawn by lot or packed."""
import itertools

import numpy as np
import pytest
from hypothesis import given, settings, strategies

from luthier.errors import DataError
from luthier.preparation.order import Order, pack, permutation, told_by_length, unevenness


def make(lengths, **changes):
    settings = {"batch_size": 4, "tokens_per_micro_batch": 64, "seed": 3, "packing": False, "context": 32, **changes}
    return Order(lengths, **settings)


def flat(step):
    return [index for batch in step for row in batch for index in row]


def some_lengths(count=203, longest=32, seed=0):
    return np.random.default_rng(seed).integers(1, longest + 1, count)


@pytest.mark.parametrize("layout", [{}, {"packing": True}, {"group_by_length": False}], ids=["grouped", "packed", "drawn"])
@given(lengths=strategies.lists(strategies.integers(1, 32), min_size=1, max_size=120), batch_size=strategies.integers(1, 9), budget=strategies.integers(1, 200), seed=strategies.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_every_example_exactly_once_per_epoch(layout, lengths, batch_size, budget, seed):
    order = make(lengths, **layout, batch_size=batch_size, tokens_per_micro_batch=budget, seed=seed)
    for epoch in (0, 1, 7):
        steps = [order.step(epoch * order.steps_per_epoch + at) for at in range(order.steps_per_epoch)]
        assert sorted(index for step in steps for index in flat(step)) == list(range(len(lengths)))
        assert all(step and all(batch and all(row for row in batch) for batch in step) for step in steps)
        for batch in (batch for step in steps for batch in step):
            widths = [sum(lengths[index] for index in row) for row in batch]
            assert max(widths) <= 32
            assert len(batch) == 1 or len(batch) * max(widths) <= budget


@pytest.mark.parametrize("grouped", [True, False])
def test_a_step_holds_exactly_batch_size_examples_and_the_short_last_one_is_kept(grouped):
    order = make(some_lengths(203), batch_size=8, group_by_length=grouped)
    sizes = [len(flat(order.step(at))) for at in range(order.steps_per_epoch)]
    assert sizes == [8] * 25 + [3]


def test_packed_steps_hold_a_fixed_number_of_rows_worth_batch_size_examples_on_average():
    lengths = some_lengths(400, longest=10)
    order = make(lengths, packing=True, batch_size=16)
    rows = [sum(map(len, order.step(at))) for at in range(order.steps_per_epoch)]
    assert set(rows[:-1]) == {order.rows_per_step} and 1 <= rows[-1] <= order.rows_per_step
    assert abs(400 / order.steps_per_epoch - 16) < 4


def test_the_order_is_a_function_of_seed_and_step_alone():
    lengths = some_lengths()
    for layout in ({}, {"packing": True}, {"group_by_length": False}):
        one, two = make(lengths, **layout), make(lengths, **layout)
        numbers = [9, 2, 150, 0, 149, 77]
        assert [one.step(n) for n in numbers] == [two.step(n) for n in reversed(numbers)][::-1]
        assert [make(lengths, **layout).step(n) for n in numbers] == [one.step(n) for n in numbers]
        assert [one.step(n) for n in range(5)] != [make(lengths, **layout, seed=4).step(n) for n in range(5)]
        assert [one.step(n) for n in range(5)] != [one.step(n + one.steps_per_epoch) for n in range(5)]


def test_the_shuffle_is_pinned():
    """These are the raw Philox bits: another NumPy or machine that gave others would make resumed runs learn other rows."""
    assert permutation(8, 17, 0, 1).tolist() == PINNED


def test_bucketing_saves_padding_and_packing_saves_nearly_all():
    lengths = some_lengths(4000, longest=200, seed=1)
    bucketed = Order(lengths, batch_size=16, tokens_per_micro_batch=4096, seed=0, context=512)
    packed = Order(lengths, batch_size=16, tokens_per_micro_batch=4096, seed=0, packing=True, context=512)
    plain = lengths.mean() / np.mean([lengths[start:start + 16].max() for start in range(0, 4000, 16)])
    assert plain < 0.6 and bucketed.filled() > 0.9 and packed.filled() > 0.98


def test_a_step_drawn_by_lot_is_like_the_whole_and_its_micro_batches_go_by_length():
    """Two kinds of rows, short and long: grouped steps hold one kind alone, drawn ones both; padding stays rare, since a step's rows are cut by length."""
    lengths = np.array([8] * 400 + [90] * 400)
    grouped, drawn = (Order(lengths, batch_size=20, tokens_per_micro_batch=2048, seed=0, context=512, group_by_length=how) for how in (True, False))
    mixed = {how: sum(len({int(lengths[index]) for batch in order.step(at) for row in batch for index in row}) > 1 for at in range(40)) for how, order in (("grouped", grouped), ("drawn", drawn))}
    assert mixed["grouped"] <= 2 and mixed["drawn"] == 40 and drawn.filled() == 1.0
    assert sorted(index for at in range(40) for batch in drawn.step(at) for row in batch for index in row) == list(range(800))
    assert [drawn.step(at) for at in range(3)] != [drawn.step(at + 40) for at in range(3)]


def test_unevenness_is_the_spread_of_what_grouped_steps_teach():
    lengths = np.array([1, 2, 3, 4, 5, 6, 7, 8])
    assert unevenness(lengths, np.ones(8), 2) == 0 and unevenness(lengths, np.zeros(8), 2) == 0 and unevenness(lengths[:1], np.ones(1), 2) == 0
    assert unevenness(lengths[::-1], np.array([3, 3, 3, 3, 1, 1, 1, 1]), 2) == pytest.approx(0.5)
    assert unevenness(lengths, np.array([3, 1, 3, 1, 3, 1, 3, 1]), 2) == 0, "uneven rows whose lengths do not tell of it"


def test_what_length_gives_away_of_labels_and_numbers():
    """All where they are the length, nothing where they are chance, and the share that is mixed in."""
    draw = np.random.default_rng(0)
    lengths, none = draw.integers(5, 60, 4000), np.full(4000, -1)
    chance = draw.integers(5, 60, 4000)
    assert told_by_length(lengths, none, lengths[:, None], 16) > 0.99 and told_by_length(lengths, lengths // 10, None, 16) > 0.9
    assert told_by_length(lengths, none, chance[:, None], 16) < 0.03 and told_by_length(lengths, chance // 10, None, 16) < 0.03
    half = np.where(draw.random(4000) < 0.5, lengths, chance) // 10
    assert 0.1 < told_by_length(lengths, half, None, 16) < 0.5
    assert told_by_length(lengths, none, None, 16) == 0 and told_by_length(lengths, np.zeros(4000), None, 16) == 0 and told_by_length(lengths[:3], none[:3], None, 16) == 0


def test_packing_draws_new_company_each_epoch():
    order = make(some_lengths(300, longest=16), packing=True)

    def together(epoch):
        steps = [order.step(epoch * order.steps_per_epoch + at) for at in range(order.steps_per_epoch)]
        return {tuple(sorted(row)) for step in steps for batch in step for row in batch if len(row) > 1}

    assert len(together(0) & together(1)) < len(together(0)) / 2


def test_pack_fills_rows_by_hand():
    assert pack(np.array([3, 7, 5, 5, 10]), 10) == [[10], [7, 3], [5, 5]]


def test_nothing_to_learn_is_told():
    with pytest.raises(DataError) as told:
        make([])
    assert told.value.code == "D411"


def test_rows_longer_than_the_context_never_get_here():
    with pytest.raises(ValueError, match="1 to 32"):
        make([33])


def test_a_million_examples_are_ordered_in_seconds():
    order = make(some_lengths(200_000), packing=True, batch_size=32)
    assert flat(order.step(order.steps_per_epoch - 1))


PINNED = [2, 5, 1, 6, 3, 7, 0, 4]


def cost(widths, bounds, start) -> int:
    return sum((end - begin) * widths[begin] + start for begin, end in bounds)


def test_rows_are_cut_where_it_costs_least():
    """Against every way to cut, on small cases; a start that costs nothing puts each row alone, one that costs much fills the budget."""
    from luthier.preparation.order import cut

    draw = np.random.default_rng(4)
    for _ in range(60):
        widths = np.sort(draw.integers(1, 30, draw.integers(1, 9)))[::-1]
        budget, start = int(draw.integers(10, 90)), int(draw.integers(0, 25))
        found = cut(widths, budget, start)
        assert [begin for begin, _ in found] == [0, *(end for _, end in found[:-1])] and found[-1][1] == len(widths)
        ways = []
        for cuts in itertools.product((False, True), repeat=len(widths) - 1):
            edges = [0, *(at for at, chosen in enumerate(cuts, 1) if chosen), len(widths)]
            bounds = list(itertools.pairwise(edges))
            if all(end - begin == 1 or (end - begin) * widths[begin] <= budget for begin, end in bounds):
                ways.append(cost(widths, bounds, start))
        assert cost(widths, found, start) == min(ways)
        assert all(end - begin == 1 or (end - begin) * widths[begin] <= budget for begin, end in found)
    assert len(cut(np.array([9, 8, 7, 6]), 100, 0)) == 4 and len(cut(np.array([9, 8, 7, 6]), 100, 50)) == 1


def test_rows_of_unlike_length_are_not_padded_to_the_longest():
    lengths = [200, 20, 20, 20, 20, 20, 20, 20]
    order = Order(lengths, batch_size=8, tokens_per_micro_batch=2048, seed=0, context=512)
    assert sorted(map(len, order.step(0))) == [1, 7] and order.filled() == 1.0
