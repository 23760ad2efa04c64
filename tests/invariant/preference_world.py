"""A small network and prepared answers for the objectives that compare or rate them, and the loop over one objective."""
import contextlib
import copy
import importlib.util
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from luthier.models.heads import CausalHead
from luthier.objectives.materials import Materials
from luthier.preparation.examples import Example, example
from luthier.preparation.store import TokenStore
from luthier.training.loop import train
from luthier.training.optimizer import adamw
from luthier.training.schedule import Schedule

RECIPES = Path(__file__).resolve().parents[2] / "recipes" / "flat"
SEED, CONTEXT, VOCABULARY = 5, 64, 97


def flat(name: str):
    """A script of recipes/flat as a module."""
    spec = importlib.util.spec_from_file_location(f"flat_{name}", RECIPES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def small_llama() -> LlamaForCausalLM:
    torch.manual_seed(3)
    return LlamaForCausalLM(LlamaConfig(vocab_size=VOCABULARY, hidden_size=48, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=CONTEXT, tie_word_embeddings=True))


def answers_store(folder: Path, pairs: int, seed: int = 1) -> TokenStore:
    """Examples 2 k and 2 k + 1 share a prompt and differ in the answer."""
    draw, rows = np.random.default_rng(seed), []
    for record in range(pairs):
        prompt = draw.integers(3, VOCABULARY, draw.integers(2, 20)).tolist()
        for label in (1, 0):
            answer = draw.integers(3, VOCABULARY, draw.integers(1, 20)).tolist()
            made = example(prompt + answer, [0.0] * len(prompt) + [1.0] * len(answer), label=label)
            rows.append(Example(made.tokens, made.weights, made.label, made.cut, record))
    return TokenStore.build(folder, rows, f"answers {pairs} {seed}")


def materials(network, stores: dict, *, budget: int, batch_size: int = 8, head=None, **more) -> Materials:
    """What an objective needs, on a network that never lay on a disk."""
    model = SimpleNamespace(network=network, head=head or CausalHead(), context=CONTEXT, pad_token=0, device=torch.device("cpu"), fingerprint="test", num_parameters=1, stop_tokens={2})
    twin = copy.deepcopy(network).requires_grad_(False).eval()
    return Materials(model, stores, batch_size=batch_size, tokens_per_micro_batch=budget, seed=SEED, reference=lambda ahead=False: contextlib.nullcontext(twin), **more)


def losses(objective, given: Materials, *, steps: int, rate: float = 1e-3) -> list[float]:
    """The loss of each step of the real loop."""
    network = given.network
    prepared = objective.prepared(given)
    optimizer = adamw(dict(network.named_parameters()), weight_decay=0.0, beta1=0.9, beta2=0.999, epsilon=1e-8)
    return [step.loss for step in train(network, prepared, optimizer, Schedule(rate, steps, 5, "cosine"), steps=steps, seed=SEED)]


def row(store: TokenStore, index: int) -> dict:
    return {"tokens": store[index].tokens.tolist(), "weights": store[index].weights.tolist()}
