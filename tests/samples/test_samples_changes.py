"""Facts of the shop that change: the new ones are true in the new papers, the questions are new, and the shop that ships stays as it is."""
import json

import pytest

from luthier.data.samples import changes, correct, read
from luthier.data.samples.shop import facts_in, open_shop
from luthier.data.samples.truth import key
from luthier.errors import RecipeError


def test_the_change_is_whole_and_repeatable(tmp_path):
    shipped = json.dumps(open_shop().catalogue)
    found = changes.draw(count=20, seed=3)
    assert json.dumps(open_shop().catalogue) == shipped
    assert len(found.facts) == 20 == len({(fact.kind, fact.of) for fact in found.facts}) and all(fact.new != fact.old for fact in found.facts)
    assert changes.draw(count=20, seed=3) == found and changes.draw(count=20, seed=4).facts != found.facts
    assert len(found.learn) == 80 and len(found.ask) == 40 and not {key(row["messages"]) for row in found.learn} & {key(row["messages"]) for row in found.ask}
    for row in [*found.learn, *found.ask]:
        assert correct(row["messages"][-1]["content"], row["truth"])
    for row in found.ask:
        said = facts_in(row["messages"][-1]["content"])
        assert row["new"] in said and row["old"] not in said - {fact for fact in row["truth"]["facts"]}
    for fact in found.facts:
        assert f"{fact.new} d" in found.papers and any(fact.of in row["messages"][0]["content"] and row["new"] == fact.new for row in found.ask)
    folder = changes.write(tmp_path / "change", count=5, seed=1)
    truths = read(folder)
    assert all(key(json.loads(line)["messages"]) in truths for line in (folder / "ask.jsonl").read_text().splitlines()) and len(json.loads((folder / "facts.json").read_text())) == 5
    with pytest.raises(RecipeError, match="cannot change"):
        changes.draw(count=999)
