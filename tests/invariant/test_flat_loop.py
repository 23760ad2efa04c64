"""The real path (store, order, head, loop) draws the same loss curve as the flat script, and micro-batches change nothing."""
import copy
import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from luthier.models.heads import CausalHead
from luthier.objectives.sft import PreparedSFT
from luthier.preparation.batches import collate
from luthier.preparation.examples import example
from luthier.preparation.order import Order
from luthier.preparation.store import TokenStore
from luthier.training.loop import train
from luthier.training.optimizer import adamw
from luthier.training.schedule import Schedule

FLAT = Path(__file__).resolve().parents[2] / "recipes" / "flat" / "sft.py"
SEED = 5


def flat_script():
    spec = importlib.util.spec_from_file_location("flat_sft", FLAT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def small_llama(tied: bool = True) -> LlamaForCausalLM:
    torch.manual_seed(3)
    config = LlamaConfig(vocab_size=97, hidden_size=48, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64, tie_word_embeddings=tied)
    return LlamaForCausalLM(config)


@pytest.fixture
def store(tmp_path):
    draw = np.random.default_rng(1)
    rows = []
    for _ in range(60):
        length = int(draw.integers(4, 40))
        weights = (np.arange(length) >= draw.integers(1, length)).astype(np.float32)
        weights[0] = 0
        rows.append(example(draw.integers(3, 97, length).tolist(), weights.tolist()))
    return TokenStore.build(tmp_path / "store", rows)


def ours(network, store, *, steps, budget, rate, batch_size=8, seed=SEED):
    order = Order(store.lengths, batch_size=batch_size, tokens_per_micro_batch=budget, seed=seed, context=64)

    def batches(start):
        return ([collate(store, rows, 0) for rows in order.step(number)] for number in range(start, steps))

    objective = PreparedSFT(CausalHead(), batches)
    optimizer = adamw(dict(network.named_parameters()), weight_decay=0.01, beta1=0.9, beta2=0.999, epsilon=1e-8)
    return [step.loss for step in train(network, objective, optimizer, Schedule(rate, steps, 5, "cosine"), steps=steps, seed=seed)], order


@pytest.mark.parametrize("tied", [True, False])
def test_fifty_steps_equal_the_flat_script(store, tied, record_property):
    network = small_llama(tied)
    twin = copy.deepcopy(network)
    losses, order = ours(network, store, steps=50, budget=128, rate=1e-3)
    as_rows = lambda rows: [{"tokens": store[i].tokens.tolist(), "weights": store[i].weights.tolist()} for row in rows for i in row]
    steps = [[as_rows(rows) for rows in order.step(number)] for number in range(50)]
    flat = list(flat_script().train(twin, steps, peak=1e-3, warmup=5, decay=0.01))
    worst = max(abs(a - b) for a, b in zip(losses, flat, strict=True))
    print(f"largest difference over 50 steps: {worst:.2e}")
    assert worst <= 1e-5
    assert losses[-1] < losses[0] - 0.1


def test_micro_batches_change_nothing(store):
    whole, _ = ours(small_llama(), store, steps=20, budget=4096, rate=1e-3)
    single, order = ours(small_llama(), store, steps=20, budget=1, rate=1e-3)
    assert len(order.step(0)) == 8
    assert single == pytest.approx(whole, abs=1e-5)


def test_a_mean_per_micro_batch_would_be_seen(store):
    """Negative control: averaging each micro-batch by itself, the classic mistake, draws another curve."""
    class Wrong(PreparedSFT):
        def loss(self, network, batch):
            loss = super().loss(network, batch)
            loss.total, loss.count = loss.total / loss.count, 1.0
            return loss

    network = small_llama()
    order = Order(store.lengths, batch_size=8, tokens_per_micro_batch=1, seed=SEED, context=64)
    batches = lambda start: ([collate(store, rows, 0) for rows in order.step(number)] for number in range(start, 20))
    optimizer = adamw(dict(network.named_parameters()), weight_decay=0.01, beta1=0.9, beta2=0.999, epsilon=1e-8)
    wrong = [step.loss for step in train(network, Wrong(CausalHead(), batches), optimizer, Schedule(1e-3, 20, 5, "cosine"), steps=20, seed=SEED)]
    whole, _ = ours(small_llama(), store, steps=20, budget=4096, rate=1e-3)
    assert wrong != pytest.approx(whole, abs=1e-3)
