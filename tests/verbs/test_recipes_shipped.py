"""Recipes that ship: each is read strictly, names a base of the catalogue, a pair that goes together, and is copied as it is."""
import pytest

from luthier.errors import RecipeError
from luthier.models.catalogue import entries
from luthier.models.families import family_of
from luthier.verbs import recipe as reading
from luthier.verbs.pairs import legal_methods
from luthier.verbs.recipes import cp, ls, shipped

KIND = {"decoder": "qwen3", "encoder": "bert", "encoder_decoder": "t5"}


@pytest.mark.parametrize("name", sorted(shipped()))
def test_every_recipe_can_be_read_and_its_parts_go_together(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cp(name)
    made, _ = reading.load("luthier.yaml")
    entry = next(entry for entry in entries() if entry.name == made.model)
    assert made.task.name in entry.tasks and made.method.name in legal_methods(made.task, family_of(KIND[entry.kind])) and (made.data.train or made.data.sources)


def test_recipes_are_listed_with_what_they_are_for():
    found = ls().to_dict()["recipes"]
    assert len(found) >= 8 and all(row["sentence"].endswith(".") and len(row["sentence"]) < 100 for row in found)


def test_a_copy_never_overwrites_and_a_wrong_name_offers_the_nearest(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cp("spans", "a.yaml")
    with pytest.raises(RecipeError, match="exists"):
        cp("summaries", "a.yaml")
    assert cp("summaries", "a.yaml", replace=True).to_dict()["file"] == "a.yaml" and "seq2seq" in (tmp_path / "a.yaml").read_text()
    with pytest.raises(RecipeError, match="spans") as caught:
        cp("span")
    assert caught.value.code == "R175" and "spans" in caught.value.hint
