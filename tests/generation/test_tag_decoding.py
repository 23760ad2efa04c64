"""Decoded tags are legal, and the likeliest legal ones: held against trying them all."""
import itertools

import numpy as np
import pytest
import torch

from luthier.generation.tags import legal, tag_logprobs
from luthier.metrics.spans import chunks, iob2
from luthier.models.load import load
from luthier.preparation.renderer import Renderer

TAGS = ["O", "B-a", "I-a", "B-b", "I-b"]


def is_legal(row):
    return iob2(chunks(row), len(row)) == list(row)


@pytest.mark.parametrize("seed", range(20))
def test_viterbi_finds_the_best_of_all_legal_sequences(seed):
    logprobs = np.log(np.random.default_rng(seed).dirichlet(np.ones(5) * 0.5, size=5))
    best = max((row for row in itertools.product(range(5), repeat=5) if is_legal([TAGS[at] for at in row])), key=lambda row: sum(logprobs[word, at] for word, at in enumerate(row)))
    assert legal(logprobs, TAGS) == list(best)
    assert legal(np.zeros((0, 5)), TAGS) == []


def test_plain_argmax_would_not_be_legal():
    """The guard does something: without it these logits give an I that follows nothing."""
    rng = np.random.default_rng(0)
    wrong = sum(not is_legal([TAGS[at] for at in rng.normal(size=(6, 5)).argmax(1)]) for _ in range(200))
    assert wrong > 50
    assert all(is_legal([TAGS[at] for at in legal(rng.normal(size=(6, 5)), TAGS)]) for _ in range(200))


@pytest.mark.parametrize("name", ["bert", "llama"])
def test_a_row_is_tagged_alike_alone_and_in_company(tiny_model, name):
    torch.manual_seed(0)
    model = load(str(tiny_model(name)), head="token_class", labels=["a", "b"])
    renderer = Renderer(model.tokenizer, None, 48, head="token_class")
    texts = ["ab cd", "a longer text of seven words indeed ok", "x", "many words " * 15]
    items = [(text, [(at, at + 1) for at, sign in enumerate(text) if sign != " "], None) for text in texts]
    items = [(text, places, range(len(places))) for text, places, _ in items]
    prepared = [item.examples for item in renderer.tagged(items)]
    assert len(prepared[3]) > 1, "a text of several windows"
    counts = [len(places) for _, places, _ in items]
    together = tag_logprobs(model, prepared, counts)
    for row, count, found in zip(prepared, counts, together):
        assert found.shape == (count, 5) and np.allclose(np.exp(found).sum(1), 1, atol=1e-4)
        alone, = tag_logprobs(model, [row], [count])
        assert np.abs(alone - found).max() < 1e-4
    renderer.close()
