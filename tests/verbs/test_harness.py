"""The door to lm-evaluation-harness: both models go there as stock folders, its accuracies come back as figures with gates, and without it a sentence says how to get it."""
import importlib.machinery
import sys
import types

import pytest
import torch

import luthier
from luthier.errors import RecipeError
from luthier.files import read_json

QUICK = {"training.threads": 1, "training.precision": "fp32", "evaluation.resamples": 200, "training.validation_rows": 4, "training.max_steps": 2, "evaluation.contestants": ["base", "tuned"], "evaluation.max_rows": 5}


def test_the_harness_is_asked_of_both(base, chats, here, monkeypatch):
    torch.set_num_threads(1)
    monkeypatch.setattr("luthier.verbs.work.fresh_check", lambda *_, **__: {"ok": True, "sentence": "not checked here"})
    luthier.train(chats, {"model": str(base), **QUICK, "method": "lora"}, name="asked")
    monkeypatch.setattr("luthier.verbs.harness.PACKAGE", "no_such_package")
    with pytest.raises(RecipeError, match="not installed") as error:
        luthier.evaluate("asked", harness=["lambada_openai"])
    assert "pip install lm-eval" in error.value.hint
    calls = []

    def simple_evaluate(**given):
        calls.append(given)
        right = 0.5 if "peft" not in given["model_args"] else 0.4
        return {"results": {"lambada_openai": {"acc,none": right, "acc_stderr,none": 0.01, "perplexity,none": 9.0}, "wikitext": {"word_perplexity,none": 3.0}}}

    monkeypatch.setattr("luthier.verbs.harness.PACKAGE", "lm_eval")
    module = types.ModuleType("lm_eval")
    module.__spec__ = importlib.machinery.ModuleSpec("lm_eval", None)
    module.simple_evaluate = simple_evaluate
    monkeypatch.setitem(sys.modules, "lm_eval", module)
    found = luthier.evaluate("asked", harness=["lambada_openai", "wikitext"])
    assert [call["model_args"]["pretrained"] for call in calls] == [str(base)] * 2 and calls[1]["model_args"]["peft"].endswith("asked/model")
    assert all(call["model_args"]["trust_remote_code"] is False and call["tasks"] == ["lambada_openai", "wikitext"] and call["limit"] == 5 for call in calls)
    one = next(one for one in found.more["probes"] if one["name"] == "harness_lambada_openai")
    assert one["value"] == pytest.approx(0.1) and one["low"] == pytest.approx(0.1 - 1.96 * 0.01414, abs=1e-4) and one["crossed"]
    assert "harness_lambada_openai" in read_json(here / "runs" / "asked" / "evaluation" / "probes.json") and "harness lambada openai" in (here / "runs" / "asked" / "report.md").read_text()
    result = luthier.evaluate("asked", harness=["lambada_openai"], gates_max=["harness_lambada_openai=0.02"])
    assert not result.more["gates"][0]["passed"]
