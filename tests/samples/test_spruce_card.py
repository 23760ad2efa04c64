"""The card's figures are computed as they are said to be and land between their markers; the recipe is one that Luthier reads."""

import json
import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from luthier.verbs.recipe import load
from recipes.spruce import card

ROOT = Path(__file__).resolve().parents[2]


def test_a_section_is_replaced_and_nothing_else():
    mark = card.MARK.format(name="figures")
    text = f"before\n{mark}\nold\n{mark}\nafter"
    assert card.section(text, "figures", "new\n") == f"before\n{mark}\nnew\n{mark}\nafter"
    assert card.section(card.section(text, "figures", "new"), "figures", "old") == text
    with pytest.raises(KeyError, match="exactly two lines"):
        card.section("no marks", "figures", "new")


def test_the_shipped_card_has_every_section_and_the_hubs_fields():
    text = (ROOT / "luthier/models/spruce/README.md").read_text()
    for name in ("corpus", "pretraining", "figures", "samples"):
        card.section(text, name, "x")
    for field in ("license:", "language:", "library_name: transformers", "pipeline_tag: text-generation", "tags:"):
        assert field in text.split("---")[1]


def test_each_token_is_predicted_once_whatever_the_context():
    def evenly(tokens):
        return SimpleNamespace(logits=torch.zeros(*tokens.shape, 8))

    for count, context in ((1, 4), (3, 4), (4, 4), (10, 4), (10, 100)):
        assert card.nats(evenly, [i % 8 for i in range(count)], 0, context) == pytest.approx(count * math.log(8))
    assert list(card.windows([1, 2, 3, 4, 5], 0, 3)) == [[0, 1, 2], [0, 3, 4], [0, 5]]


def test_nats_are_those_of_the_right_tokens():
    logits = torch.zeros(1, 3, 4)
    logits[0, 0, 2], logits[0, 1, 3] = 2.0, -1.0
    expected = sum(torch.logsumexp(logits[0, i], -1).item() - logits[0, i, t].item() for i, t in ((0, 2), (1, 3)))
    assert card.nats(lambda tokens: SimpleNamespace(logits=logits[:, : tokens.shape[1]]), [2, 3], 0, 10) == pytest.approx(expected)


def test_what_the_card_says_of_earlier_stages_can_be_kept():
    mark = card.MARK.format(name="pretraining")
    text = f"before\n\n{mark}\nStage 1: one.\n\nStage 2: two.\n{mark}\n\nafter"
    assert card.paragraphs(text, "pretraining") == ["Stage 1: one.", "Stage 2: two."]
    assert [line[:8] for line in card.paragraphs((ROOT / "luthier/models/spruce/README.md").read_text(), "pretraining")] == [f"Stage {n}:" for n in (1, 2, 3, 4)]


def test_samples_of_its_writing_are_what_the_shipped_weights_write(monkeypatch):
    """A row for each beginning, and none of them empty or a repetition of what was given."""
    monkeypatch.chdir(ROOT)
    rows = [line.split(" | ") for line in card.samples().splitlines()[2:]]
    assert [row[0].removeprefix("| ") for row in rows] == [text for _, text in card.BEGINNINGS]
    assert all(len(written) > 20 and given.strip("| ") not in written for given, written in rows)


def test_a_dialogue_is_bared_of_its_control_tokens():
    assert card.bare("<|system|>You help.<|end|><|user|>Hi<|end|><|assistant|>Hello") == "You help.\nHi\nHello"


def test_the_log_is_told_in_a_sentence(tmp_path):
    rows = [{"step": 10, "loss": 7.0, "tokens": 100.0}, {"step": 100, "loss": 5.0, "tokens": 1000.0, "validation_loss": 5.1}]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    told = card.learning([tmp_path, tmp_path], [])
    assert card.learning([tmp_path], ["Stage 1: long ago."]).startswith("Stage 1: long ago.\n\nStage 2: 100 optimizer steps")
    assert "Stage 1: 100 optimizer steps over 1,000 tokens" in told and "Stage 2: 100" in told and "5.100 after step 100" in told


def test_the_recipe_is_read(monkeypatch):
    monkeypatch.chdir(ROOT)
    recipe, _ = load("recipes/spruce/spruce.yaml")
    assert (recipe.model, recipe.task.name, recipe.task.control_tokens, recipe.method.name) == ("spruce", "causal_lm", True, "full")
    assert recipe.training.learning_rate == 5e-4
