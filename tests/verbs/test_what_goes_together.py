"""Legal pairs are told by the code, printed in the docs, and every other pair fails before anything is read, with the legal ones listed."""
import sys
from pathlib import Path

import pytest

from luthier.errors import RecipeError
from luthier.methods import METHODS
from luthier.models.families import FAMILIES, family_of
from luthier.tasks import TASKS
from luthier.verbs import pairs
from luthier.verbs.check import check
from luthier.verbs.plan import plan
from luthier.verbs.train import train


def test_the_page_is_the_codes():
    path = Path(__file__).resolve().parents[2] / "docs" / "pairs.md"
    assert path.read_text(encoding="utf-8") == pairs.page(), "run python scripts/pairs.py"


def test_every_member_of_every_axis_stands_in_a_triple():
    found = pairs.triples()
    assert len(found) == len(set(found)) > 900
    for axis, members in enumerate((TASKS, METHODS, FAMILIES)):
        assert {triple[axis] for triple in found} == set(members)


def test_no_refusal_is_empty_and_none_names_two_methods():
    for method in METHODS.values():
        for family in {family.name: family for family in FAMILIES.values()}.values():
            reason = method().refusal("causal", family)
            assert reason is None or (len(reason) > 20 and not reason.endswith("."))


@pytest.mark.parametrize("verb", [check, plan])
def test_a_method_that_does_not_go_with_the_base_lists_those_that_do(verb, tiny_model, here):
    (here / "rows.csv").write_text("text,label\n" + "\n".join(f"row {number},{'ab'[number % 2]}" for number in range(40)) + "\n")
    words = {"model": str(tiny_model("distilbert")), "task": "classification", "method": "prefix", "data.train": str(here / "rows.csv")}
    with pytest.raises(RecipeError) as caught:
        verb(here / "rows.csv", words)
    assert caught.value.code == "R174" and caught.value.field == "method" and "distilbert" in caught.value.message
    listed = caught.value.hint.removeprefix("methods that do: ").split(", ")
    assert listed == pairs.legal_methods(TASKS["classification"](), family_of("distilbert")) and "lora" in listed and "prefix" not in listed


@pytest.mark.parametrize("verb", [check, plan])
def test_a_task_that_the_base_cannot_learn_lists_those_it_can(verb, tiny_model, here):
    (here / "rows.jsonl").write_text('{"text": "some words here"}\n' * 40)
    with pytest.raises(RecipeError) as caught:
        verb(here / "rows.jsonl", {"model": str(tiny_model("bert")), "task": "causal_lm"})
    assert caught.value.code == "R154" and "classification" in caught.value.hint and "causal_lm" not in caught.value.hint


def test_a_base_that_cannot_be_had_is_still_a_finding(here):
    (here / "rows.csv").write_text("text,label\n" + "\n".join(f"row {number},{'ab'[number % 2]}" for number in range(40)) + "\n")
    found = check(here / "rows.csv", {"model": "./nowhere"}).to_dict()
    assert any("tokens were not checked" in finding["message"] for finding in found["findings"])


def test_what_a_method_lacks_is_told_before_anything_is_read(here, monkeypatch):
    """A package that is not installed is no reason to let every baseline answer first."""
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    (here / "t.csv").write_text("text,label\n" + "".join(f"the {colour} thing {number},{colour}\n" for number in range(30) for colour in ("red", "blue")))
    for verb in (check, train):
        with pytest.raises(RecipeError, match="needs bitsandbytes") as error:
            verb("t.csv", {"method": "qlora"})
        assert error.value.code == "R173"
    (run,) = (here / "runs").iterdir()
    assert not (run / "data").exists()
