"""Packed rows in every family that writes: what a network keeps apart is exactly its texts alone, and what it does not keep apart is refused before a step."""
import json

import pytest
import torch

import luthier
from luthier.errors import RecipeError
from luthier.models.families import FAMILIES
from luthier.models.load import load
from luthier.models.packing import keeps_apart

DECODERS = sorted(architecture for architecture, family in FAMILIES.items() if family.kind == "decoder")
LEAKING = {"bloom", "falcon", "gpt_oss", "opt"}
"""Architectures whose bodies make their masks without the positions, and so let packed texts see each other without a word."""


@pytest.mark.parametrize("name", DECODERS)
@torch.no_grad()
def test_texts_in_one_row_are_kept_apart_or_it_is_known(name, tiny_model):
    """The probe says the same as another question: does changing the first text change the second?"""
    language_model = load(str(tiny_model(name)))
    generator = torch.Generator().manual_seed(11)
    first, other, second = (torch.randint(7, 263, (1, length), generator=generator) for length in (10, 10, 14))
    positions = torch.cat([torch.arange(10), torch.arange(14)])[None]
    weight = torch.zeros(1, 24)
    weight[:, 11:] = 1
    found = [language_model.head.token_logprobs(language_model.network, torch.cat([lead, second], 1), weight, position_BT=positions) for lead in (first, other)]
    apart = bool((found[0] - found[1]).abs().max() < 1e-5)
    assert keeps_apart(language_model) == apart == (name not in LEAKING), f"{name}: differs by {(found[0] - found[1]).abs().max():.2g}"


def test_packing_is_refused_where_texts_would_see_each_other(tiny_model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    rows = [{"messages": [{"role": "user", "content": f"where is {number}?"}, {"role": "assistant", "content": f"here {number}"}]} for number in range(30)]
    (tmp_path / "chats.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = {"model": str(tiny_model("bloom")), "task": "chat", "training.packing": True, "training.max_steps": 1, "data.test": 0, "training.threads": 1}
    with pytest.raises(RecipeError, match="see each other") as caught:
        luthier.train("chats.jsonl", words, name="packed")
    assert caught.value.code == "R158"
    monkeypatch.setattr("luthier.verbs.work.fresh_check", lambda *_, **__: {"ok": True, "sentence": "not checked here"})
    luthier.train("chats.jsonl", {**words, "model": str(tiny_model("llama"))}, name="apart")
