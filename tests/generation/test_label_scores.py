"""Labels scored over a trie in one pass equal the plain computation, label by label, for rotary and absolute positions."""
import numpy as np
import pytest
import torch

from luthier.errors import RecipeError
from luthier.generation import labels as scoring
from luthier.generation.labels import build_trie, score_labels
from luthier.models.load import load

LABELS = [[10, 11, 12, 2], [10, 11, 13, 2], [10, 20, 2], [10, 2], [30, 31, 32, 33, 34, 2], [40, 2], [41, 2]]


def plain(language_model, prompts, labels):
    """Sum of log-probabilities of each label's tokens after each prompt, one full pass for each pair."""
    found = np.zeros((len(prompts), len(labels)))
    for row, prompt in enumerate(prompts):
        for column, label in enumerate(labels):
            tokens = torch.tensor([[*prompt, *label]])
            with torch.no_grad():
                logprobs = language_model.network(input_ids=tokens).logits[0].double().log_softmax(-1)
            found[row, column] = sum(logprobs[len(prompt) + at - 1, token].item() for at, token in enumerate(label))
    return found


def prompts_of(count):
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(7, 263, (int(torch.randint(1, 30, (1,), generator=generator)),), generator=generator).tolist() for _ in range(count)]


@pytest.mark.parametrize("family", ["llama", "llama_untied", "gpt2", "qwen3", "gemma", "granite", "gpt_neox", "phi"])
def test_equals_the_plain_computation(family, tiny_model):
    language_model = load(str(tiny_model(family)))
    prompts = prompts_of(6)
    found = score_labels(language_model, prompts, LABELS)
    assert found.shape == (6, 7) and np.abs(found - plain(language_model, prompts, LABELS)).max() < 1e-4


def test_batches_change_nothing(tiny_llama):
    language_model = load(str(tiny_llama))
    prompts = prompts_of(20)
    together, alone = score_labels(language_model, prompts, LABELS), score_labels(language_model, prompts, LABELS, tokens_at_once=1)
    assert np.abs(together - alone).max() < 1e-4


def test_other_labels_do_not_change_a_label(tiny_llama):
    """The probability of a label is its own: nodes see their ancestors and the prompt only."""
    language_model = load(str(tiny_llama))
    prompts = prompts_of(3)
    everyone, alone = score_labels(language_model, prompts, LABELS), score_labels(language_model, prompts, LABELS[4:5])
    assert np.abs(everyone[:, 4] - alone[:, 0]).max() < 1e-4


@pytest.mark.parametrize("family", ["gemma2", "mistral"])
def test_short_attention_windows_take_the_plain_way(family, tiny_model):
    language_model = load(str(tiny_model(family)))
    prompts = [prompts_of(1)[0] * 8][:1]
    prompts = [(prompts_of(5)[2] * 20)[:90]]
    found = score_labels(language_model, prompts, LABELS)
    assert np.abs(found - plain(language_model, prompts, LABELS)).max() < 1e-4


def test_networks_that_nothing_explains_take_the_plain_way(tiny_llama):
    language_model = load(str(tiny_llama))
    language_model.head.whole_logits = True
    prompts = prompts_of(2)
    assert np.abs(score_labels(language_model, prompts, LABELS) - plain(language_model, prompts, LABELS)).max() < 1e-4


def test_each_prompt_runs_once_and_shared_beginnings_once(tiny_llama, monkeypatch):
    language_model = load(str(tiny_llama))
    run = []
    real = scoring.body_of
    monkeypatch.setattr(scoring, "supports_trees", lambda *inputs: True)
    monkeypatch.setattr(scoring, "body_of", lambda network: lambda **inputs: run.append(tuple(inputs["input_ids"].shape)) or real(network)(**inputs))
    prompts = [prompt for prompt in prompts_of(9) if len(prompt) > 3]
    score_labels(language_model, prompts, LABELS)
    inner = {tuple(label[:end]) for label in LABELS for end in range(1, len(label))}
    assert run == [(len(prompts), max(map(len, prompts))), (len(prompts), len(inner))]


@pytest.mark.parametrize("nodes", [1, 3, 5])
def test_parts_of_a_large_trie_change_nothing(nodes, tiny_llama, monkeypatch):
    language_model = load(str(tiny_llama))
    prompts = prompts_of(5)
    whole = score_labels(language_model, prompts, LABELS)
    monkeypatch.setattr(scoring, "PART_NODES", nodes)
    assert len(scoring.parts_of(LABELS, nodes)) > 1
    assert np.abs(score_labels(language_model, prompts, LABELS) - whole).max() < 1e-4


def test_parts_hold_every_label_once_and_few_nodes():
    parts = scoring.parts_of(LABELS, 3)
    assert sorted(number for part in parts for number in part) == list(range(len(LABELS)))
    assert all(len(part) == 1 or len(build_trie([LABELS[number] for number in part]).tokens) <= 3 for part in parts)


@pytest.mark.parametrize("broken", ["positions", "mask"])
def test_a_network_that_places_nodes_otherwise_takes_the_plain_way(broken, tiny_llama, monkeypatch):
    """A family that counts positions by itself or reads the mask otherwise must not be scored by tree: the trial before scoring sees it."""
    language_model = load(str(tiny_llama))
    prompts = prompts_of(4)
    right = plain(language_model, prompts, LABELS)
    real = scoring.node_inputs

    def wrong(*inputs):
        tokens, positions, attend = real(*inputs)
        return (tokens, positions + 3, attend) if broken == "positions" else (tokens, positions, torch.ones_like(attend))

    monkeypatch.setattr(scoring, "node_inputs", wrong)
    assert np.abs(score_labels(language_model, prompts, LABELS) - right).max() < 1e-4
    monkeypatch.setattr(scoring, "supports_trees", lambda *inputs: True)
    assert np.abs(score_labels(language_model, prompts, LABELS) - right).max() > 1e-2


def test_the_trie_holds_every_label():
    trie = build_trie(LABELS)
    for label, path in zip(LABELS, trie.paths, strict=True):
        assert [trie.targets[edge] for edge in path] == label
    assert trie.sources == sorted(trie.sources) and all(parent < node for node, parent in enumerate(trie.parents))


def test_what_cannot_be_scored_is_a_sentence(tiny_llama):
    language_model = load(str(tiny_llama))
    for prompts, labels in (([[7]], [[8], [8]]), ([[7]], [[8], []]), ([[]], [[8]]), ([[7] * 256], [[8, 9]])):
        with pytest.raises(RecipeError):
            score_labels(language_model, prompts, labels)
    assert score_labels(language_model, [[7] * 255], [[8, 9]]).shape == (1, 1)
    assert score_labels(language_model, [], [[8]]).shape == (0, 1)
