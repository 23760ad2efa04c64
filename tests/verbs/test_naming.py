"""Names and places by a model that the user names: a run of one's own, or its folder; found, masked, and the same person by one pseudonym."""
import json

import pytest
import torch

import luthier
from luthier.data.private import Span, found_by
from luthier.errors import RecipeError
from luthier.verbs import fix as fixing
from luthier.verbs.naming import finder

QUICK = {"training.threads": 1, "training.precision": "fp32", "evaluation.resamples": 200, "training.validation_rows": 20, "evaluation.contestants": ["dictionary", "tuned"]}


def letter(number: int) -> tuple[str, str, str]:
    name, place = f"q{number:03d}", f"z{number:03d}"
    return (f"for {name} please, to {place}" if number % 2 else f"to {place} now for {name}"), name, place


@pytest.fixture
def named(tiny_bert, here):
    """A run that has learned names after "for" and places after "to"."""
    torch.set_num_threads(1)
    rows = []
    for text, name, place in map(letter, range(160)):
        rows.append({"text": text, "spans": [{"start": text.index(word), "end": text.index(word) + 4, "label": label} for word, label in ((name, "PER"), (place, "LOC"))]})
    (here / "letters.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    luthier.train("letters.jsonl", {"model": str(tiny_bert), "method": "full", "training.epochs": 12, "training.learning_rate": 1e-2, **QUICK}, name="names")
    return here


def test_names_are_found_masked_and_kept_apart(named):
    run, folder = finder("names"), finder(str(named / "runs" / "names" / "model"))
    texts = ["for q777 please, to z888", "", "to z111 now for q222"]
    assert run(texts) == folder(texts) == [[(4, 8, "PER"), (20, 24, "LOC")], [], [(3, 7, "LOC"), (16, 20, "PER")]]
    rows = [{"text": letter(number % 40 + 300)[0] + f" at {number}", "label": "ab"[number % 2]} for number in range(80)]
    (named / "notes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    told = lambda **more: {one["message"].split(" in ")[0] for one in luthier.check("notes.jsonl", {"model": "spruce"}, **more).to_dict()["findings"] if one["code"] == "D501"}
    assert told(names="names") == {"a name", "an address or place"} and told() == set()
    read = lambda made: [json.loads(line)["text"] for line in open(made["file"])]
    masked = read(fixing.fix("notes.jsonl", fixes="pii", names="names", output="m.jsonl").to_dict())
    assert all("[name]" in text and "[address]" in text and "q3" not in text for text in masked)
    made = fixing.fix("notes.jsonl", fixes="pii", names="names", pii="pseudonym", output="p.jsonl").to_dict()
    hidden = read(made)
    assert hidden[0].split()[:6] == hidden[40].split()[:6] and hidden[0].split()[:6] != hidden[1].split()[:6], "the same person, the same pseudonym"
    assert not any("q3" in text or "z3" in text for text in hidden) and "q300" in open(made["key"]).read()
    assert fixing.fix("p.jsonl", fixes="pii", names="names").to_dict()["file"] is None, "what was replaced is not a name again"
    with pytest.raises(RecipeError, match="pii is not among the fixes"):
        fixing.fix("notes.jsonl", fixes="duplicates", names="names")


def test_what_is_no_such_model_is_told(tiny_bert, base, here):
    with pytest.raises(RecipeError) as told:
        finder(str(tiny_bert))
    assert told.value.code == "R147" and "no trained head" in told.value.message


def test_foreign_words_for_types_and_what_was_replaced():
    find = lambda texts: [[(0, 3, "B-X"[2:]), (0, 3, "per"), (4, 8, "ORG"), (9, 15, "GPE")] for _ in texts]
    assert found_by(find, ["Ann Acme Berlin"]) == [[Span(0, 3, "name"), Span(9, 15, "address")]]
    assert found_by(lambda texts: [[(4, 10, "PER")]], ["for [name] please"]) == [[]] and found_by(lambda texts: [[(0, 22, "PER")]], ["[name-0123456789] said"]) == [[]]
