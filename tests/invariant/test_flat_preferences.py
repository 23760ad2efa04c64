"""Objectives over pairs and ratings draw the same loss curve as their flat scripts, and micro-batches change nothing."""
import copy
from types import SimpleNamespace

import pytest
import torch
from preference_world import answers_store, flat, losses, materials, row, small_llama
from transformers import LlamaConfig, LlamaForSequenceClassification

from luthier.models.heads import SequenceClassHead
from luthier.objectives.dpo import DPO, pair_losses
from luthier.objectives.kto import KTO
from luthier.objectives.orpo import ORPO
from luthier.objectives.reward import PreparedReward, Reward
from luthier.objectives.sequences import Pairs, Strangers


@pytest.fixture
def stores(tmp_path):
    return {"train": answers_store(tmp_path / "train", 40), "validation": answers_store(tmp_path / "validation", 10, seed=2)}


def test_dpo_equals_the_flat_script(stores):
    network = small_llama()
    twin, given = copy.deepcopy(network), materials(network, stores, budget=256)
    steps = [[{"chosen": row(stores["train"], 2 * pair), "rejected": row(stores["train"], 2 * pair + 1)} for rows in Pairs(given).order.step(number) for one in rows for pair in one] for number in range(30)]
    ours, theirs = losses(DPO(), given, steps=30), list(flat("dpo").train(twin, steps, peak=1e-3, warmup=5))
    print(f"largest difference over 30 steps: {max(abs(a - b) for a, b in zip(ours, theirs, strict=True)):.2e}")
    assert ours == pytest.approx(theirs, abs=1e-5)
    assert ours[0] == pytest.approx(0.693147, abs=1e-5) and ours[-1] < 0.68


@pytest.mark.parametrize("objective", [DPO(), DPO(loss="ipo"), DPO(label_smoothing=0.1), KTO(), ORPO(), ORPO(learn="everything")], ids=repr)
def test_micro_batches_change_nothing(stores, objective):
    whole = losses(objective, materials(small_llama(), stores, budget=8192), steps=12)
    single = losses(objective, materials(small_llama(), stores, budget=1), steps=12)
    assert single == pytest.approx(whole, abs=1e-5)


def test_kto_equals_the_flat_script(stores):
    network = small_llama()
    twin, given = copy.deepcopy(network), materials(network, stores, budget=256)
    strangers, order, store = Strangers(given, "train"), given.plain_order, stores["train"]
    steps = [[{"answer": row(store, at), "stranger": dict(zip(("tokens", "weights"), strangers.row(at), strict=True)), "good": store[at].label == 1} for rows in order.step(number) for one in rows for at in one] for number in range(30)]
    ours, theirs = losses(KTO(desirable=1.3), given, steps=30), list(flat("kto").train(twin, steps, peak=1e-3, warmup=5, desirable=1.3))
    print(f"largest difference over 30 steps: {max(abs(a - b) for a, b in zip(ours, theirs, strict=True)):.2e}")
    assert ours == pytest.approx(theirs, abs=1e-5) and ours[0] == pytest.approx(0.575, abs=0.08) and ours[-1] < ours[0]


def test_no_prompt_meets_its_own_answer(stores):
    strangers, store = Strangers(materials(small_llama(), stores, budget=256), "train"), stores["train"]
    assert sorted(strangers.ring) == list(range(len(store))) and all(other != at for at, other in enumerate(strangers.ring))
    for at in range(len(store)):
        tokens, weights = strangers.row(at)
        other = store[strangers.ring[at]]
        assert [token for token, weight in zip(tokens, weights, strict=True) if weight] == other.tokens[other.weights > 0].tolist()
        assert tokens[: weights.index(1.0)] == store[at].tokens[store[at].weights == 0].tolist()


def test_orpo_equals_the_flat_script(stores):
    network = small_llama()
    twin, given = copy.deepcopy(network), materials(network, stores, budget=256)
    steps = [[{"chosen": row(stores["train"], 2 * pair), "rejected": row(stores["train"], 2 * pair + 1)} for rows in Pairs(given).order.step(number) for one in rows for pair in one] for number in range(30)]
    ours, theirs = losses(ORPO(beta=0.5), given, steps=30), list(flat("orpo").train(twin, steps, peak=1e-3, warmup=5, beta=0.5))
    print(f"largest difference over 30 steps: {max(abs(a - b) for a, b in zip(ours, theirs, strict=True)):.2e}")
    assert ours == pytest.approx(theirs, abs=1e-5) and ours[-1] < ours[0]


def test_a_reward_model_equals_the_flat_script(stores):
    torch.manual_seed(3)
    network = LlamaForSequenceClassification(LlamaConfig(vocab_size=97, hidden_size=48, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64, num_labels=1, pad_token_id=0))
    twin, given = copy.deepcopy(network), materials(network, stores, budget=256, head=SequenceClassHead())
    tokens = lambda at: stores["train"][at].tokens.tolist()
    steps = [[{"chosen": tokens(2 * pair), "rejected": tokens(2 * pair + 1)} for rows in Pairs(given).order.step(number) for one in rows for pair in one] for number in range(30)]
    ours, theirs = losses(Reward(center=0.1), given, steps=30), list(flat("reward").train(twin, steps, peak=1e-3, warmup=5, center=0.1))
    print(f"largest difference over 30 steps: {max(abs(a - b) for a, b in zip(ours, theirs, strict=True)):.2e}")
    assert ours == pytest.approx(theirs, abs=1e-5) and ours[-1] < ours[0]


def test_reward_against_numbers_worked_by_hand():
    """Scores 2 and 0.5 cost log(1 + exp(-1.5)) = 0.201413; the centre adds 0.1 * 2.5^2."""
    head = SimpleNamespace(logits=lambda network, tokens, attend: torch.tensor([[2.0], [0.5]]))
    batch = SimpleNamespace(tokens_BT=torch.zeros(2, 3), attend_BT=None)
    plain, centred = (PreparedReward(Reward(center=center), None, head).loss(None, SimpleNamespace(batch=batch)) for center in (0.0, 0.1))
    assert plain.total.item() == pytest.approx(0.201413, abs=1e-6) and plain.count == 1
    assert centred.total.item() == pytest.approx(0.201413 + 0.625, abs=1e-6)
    assert plain.figures["reward/margin"] == (1.5, 1.0) and plain.figures["reward/accuracy"] == (1, 1.0)


@pytest.mark.parametrize(("settings", "wanted"), [
    (DPO(beta=0.5), 0.313262), (DPO(beta=0.5, label_smoothing=0.1), 0.413262), (DPO(beta=0.5, loss="ipo"), 0.25),
])  # fmt: skip
def test_dpo_against_numbers_worked_by_hand(settings, wanted):
    """Log-ratios 1.5 and -0.5 over 3 and 1 tokens: margin 1, so log(1 + exp(-1)); turned round 1 nat more; ipo (0.5 + 0.5 - 1)^2 = 0 moved to beta."""
    ratio, length = torch.tensor([1.5, -0.5]), torch.tensor([3.0, 1.0])
    if settings.loss == "ipo":
        ratio = torch.tensor([3.0, 0.5])  # 1 and 0.5 a token: (0.5 - 1)^2
    assert pair_losses(ratio, length, settings).item() == pytest.approx(wanted, abs=1e-5)


def test_the_starting_model_is_asked_once_and_kept(stores, tmp_path):
    from luthier.objectives import sequences

    asked = []
    given = materials(small_llama(), stores, budget=512, kept=tmp_path / "kept")
    first = sequences.references(given)
    original = sequences.of_examples
    sequences.of_examples = lambda *arguments: asked.append(arguments) or original(*arguments)
    try:
        again = sequences.references(given)
        assert not asked and all((first[split] == again[split]).all() for split in first)
        given.language_model.fingerprint = "another base"
        sequences.references(given)
        assert len(asked) == 2
    finally:
        sequences.of_examples = original
