"""Rows that come and go while others run: each text is the text of its row alone, with its own adapter, whatever its company."""
import random

import pytest
import torch
from saved_adapters import saved_adapter

from luthier.generation.batcher import Batcher, Seat
from luthier.generation.choosing import Choosing, drawn, sample
from luthier.generation.local import generate
from luthier.generation.text import Writer
from luthier.methods.bank import Bank
from luthier.methods.lora import LoRA
from luthier.models.load import load


def seat(language_model, prompt, budget, **more) -> Seat:
    return Seat(list(prompt), budget, Writer(language_model.tokenizer, prompt, (), None), stops=frozenset(language_model.stop_tokens), **more)


def run_all(batcher: Batcher, waiting: list[Seat], chance: random.Random) -> None:
    """Let rows join at random moments until all have ended."""
    while waiting or batcher.seats:
        size = min(batcher.free, len(waiting), chance.randint(0, 3) if batcher.seats else 1)
        if size:
            batcher.join([waiting.pop() for _ in range(size)])
        batcher.step()


@pytest.mark.parametrize("family", ["llama", "mistral", "gpt2", "gemma2", "gpt_neox"])
def test_a_text_does_not_depend_on_its_company(tiny_model, family):
    language_model = load(str(tiny_model(family)))
    chance = random.Random(1)
    prompts = [[chance.randrange(10, 260) for _ in range(chance.choice((1, 3, 17, 90)))] for _ in range(24)]
    budgets = [chance.choice((1, 5, 40)) for _ in prompts]
    wanted = [generate(language_model, [prompt], max_new_tokens=budget)[0].tokens for prompt, budget in zip(prompts, budgets, strict=True)]
    batcher = Batcher(language_model, None, max_rows=6)
    seats = [seat(language_model, prompt, budget) for prompt, budget in zip(prompts, budgets, strict=True)]
    run_all(batcher, list(seats), chance)
    assert [found.tokens for found in seats] == wanted
    assert batcher.free == 6 and batcher.slots.board.end == 0


def test_columns_are_used_again_and_grow(tiny_llama, monkeypatch):
    from luthier.generation import slots

    monkeypatch.setattr(slots, "FIRST_COLUMNS", 8)
    language_model = load(str(tiny_llama))
    chance = random.Random(2)
    prompts = [[chance.randrange(10, 260) for _ in range(chance.choice((2, 30)))] for _ in range(20)]
    wanted = [generate(language_model, [prompt], max_new_tokens=25)[0].tokens for prompt in prompts]
    batcher = Batcher(language_model, None, max_rows=3)
    batcher.slots.board.columns = 8
    seats = [seat(language_model, prompt, 25) for prompt in prompts]
    run_all(batcher, list(seats), chance)
    assert [found.tokens for found in seats] == wanted
    assert batcher.slots.board.columns < 300


def test_adapters_mixed_in_one_batch_write_what_each_writes_alone(tiny_llama, tmp_path):
    chance = random.Random(3)
    for number in range(5):
        saved_adapter(tiny_llama, tmp_path / str(number), 2 + number, number)
    prompts = [[chance.randrange(10, 260) for _ in range(chance.randint(1, 20))] for _ in range(30)]
    owners = [chance.randrange(-1, 5) for _ in prompts]
    wanted = []
    for owner in range(-1, 5):
        alone = load(str(tiny_llama))
        if owner >= 0:
            alone.network = LoRA().load(alone, tmp_path / str(owner)).eval()
        mine = [at for at, other in enumerate(owners) if other == owner]
        wanted += zip(mine, generate(alone, [prompts[at] for at in mine], max_new_tokens=12), strict=True)
    language_model = load(str(tiny_llama))
    bank = Bank(language_model)
    places = [bank.add(tmp_path / str(number)) for number in range(5)]
    batcher = Batcher(language_model, bank, max_rows=8)
    seats = [seat(language_model, prompt, 12, adapter=places[owner] if owner >= 0 else 0) for prompt, owner in zip(prompts, owners, strict=True)]
    run_all(batcher, list(seats), chance)
    assert [seats[at].tokens for at, _ in wanted] == [found.tokens for _, found in wanted]
    assert len({tuple(found.tokens) for found in seats}) > 20


def test_the_same_seed_writes_the_same_text_in_any_company(tiny_llama):
    language_model = load(str(tiny_llama))
    texts = set()
    for company in range(4):
        batcher = Batcher(language_model, None, max_rows=8)
        mine = seat(language_model, range(40, 60), 20, choosing=Choosing(temperature=0.9, top_p=0.8, seed=5))
        others = [seat(language_model, range(30, 35 + at), 9, choosing=Choosing(temperature=1.0, seed=at)) for at in range(company)]
        batcher.join([*others, mine])
        while batcher.seats:
            batcher.step()
        texts.add(tuple(mine.tokens))
    assert len(texts) == 1
    answers = [seat(language_model, range(40, 60), 20, choosing=Choosing(temperature=0.9, seed=5, choice=choice)) for choice in range(3)]
    batcher.join(answers)
    while batcher.seats:
        batcher.step()
    assert len({tuple(answer.tokens) for answer in answers}) == 3


def test_a_cancelled_row_leaves_before_the_next_step(tiny_llama):
    language_model = load(str(tiny_llama))
    batcher = Batcher(language_model, None, max_rows=4)
    seats = [seat(language_model, range(40, 50 + at), 50) for at in range(3)]
    for each in seats:
        each.stops = frozenset()
    batcher.join(seats)
    seats[1].cancelled = True
    assert batcher.sweep() == [seats[1]] and len(seats[1].tokens) == 1
    batcher.step()
    assert len(seats[1].tokens) == 1 and len(seats[0].tokens) == 2 and batcher.free == 2


def test_rows_drawn_together_get_what_each_draws_alone():
    """And at the frequencies of the distribution: the noise of a step is one number for a row, whoever is beside it."""
    logits = torch.randn(64, 300, generator=torch.Generator().manual_seed(1)) * 3
    ways = [Choosing(temperature=0.3 + at % 5 / 2, seed=at, choice=at % 3) for at in range(64)]
    steps = [at % 7 for at in range(64)]
    assert drawn(logits, ways, steps) == [sample(row, way, step) for row, way, step in zip(logits, ways, steps, strict=True)]
    few = torch.tensor([0.0, 1.0, 2.0])
    found = torch.bincount(torch.tensor(drawn(few.expand(3000, 3), [Choosing(temperature=2.0, seed=seed) for seed in range(3000)], [0] * 3000)), minlength=3) / 3000
    assert (found - (few / 2).softmax(-1)).abs().max() < 0.03


@pytest.mark.parametrize("choosing", [Choosing(bias={77: 100.0}), Choosing(presence_penalty=2.0, frequency_penalty=2.0)])
def test_bias_and_penalties_change_the_text(tiny_llama, choosing):
    language_model = load(str(tiny_llama))
    batcher = Batcher(language_model, None)
    plain, changed = seat(language_model, range(40, 50), 30), seat(language_model, range(40, 50), 30, choosing=choosing)
    plain.stops = changed.stops = frozenset()
    batcher.join([plain, changed])
    while batcher.seats:
        batcher.step()
    assert plain.tokens != changed.tokens
    if choosing.bias:
        assert set(changed.tokens) == {77}
    else:
        assert len(set(changed.tokens)) > len(set(plain.tokens))


def test_likelihoods_are_the_networks(tiny_llama):
    language_model = load(str(tiny_llama))
    told = []
    row = seat(language_model, range(40, 50), 4, choosing=Choosing(logprobs=3), on_token=lambda token, found: told.append(found))
    batcher = Batcher(language_model, None)
    batcher.join([row])
    while batcher.seats:
        batcher.step()
    with torch.inference_mode():
        logits = language_model.network(input_ids=torch.tensor([[*range(40, 50), *row.tokens]])).logits[0, 9:-1].log_softmax(-1)
    assert [found.token for found in told] == row.tokens
    assert all(abs(found.logprob - logits[at, found.token].item()) < 1e-4 and len(found.top) == 3 and found.top[0][0] == found.token for at, found in enumerate(told))


def test_answers_to_one_prompt_read_it_once_and_equal_prompts_of_two_askers_twice(tiny_llama, monkeypatch):
    """By the time of a shared first pass one asker could tell what another asks."""
    language_model, rows, prompt = load(str(tiny_llama)), [], list(range(40, 60))
    batcher = Batcher(language_model, None, max_rows=8)
    real = batcher.forward
    monkeypatch.setattr(batcher, "forward", lambda tokens, *more: (rows.append(len(tokens)), real(tokens, *more))[1])
    mine, theirs = [seat(language_model, prompt, 5) for _ in range(3)], seat(language_model, list(prompt), 5)
    for one in mine:
        one.prompt = prompt
    batcher.join([*mine, theirs])
    assert rows[0] == 2
    while batcher.seats:
        batcher.step()
    assert {tuple(one.tokens) for one in [*mine, theirs]} == {tuple(theirs.tokens)}
