"""The support conversations: the same for the same seed, no row answerable from another, right and wrong told exactly."""

import json

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from luthier.data.samples import correct, generate, key, measured, read, write
from luthier.data.samples.shop import facts_in, open_shop
from luthier.errors import RecipeError

SEEDS = (1, 2, 3)


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    return generate("chat", rows=1200, seed=1)


def answer(row: dict) -> str:
    return row["messages"][-1]["content"]


def prompt(row: dict) -> str:
    return "\n".join(message["content"] for message in row["messages"][:-1])


def test_a_sample_is_a_function_of_its_seed():
    assert generate("chat", rows=60, seed=5) == generate("chat", rows=60, seed=5)
    assert generate("chat", rows=60, seed=5) != generate("chat", rows=60, seed=6)
    assert generate("chat", rows=30, seed=5) == generate("chat", rows=60, seed=5)[:30]


def test_the_drawn_rows_never_change():
    """Pinned: the first row of seed 1. Change VERSION when the world changes on purpose."""
    assert [m["content"] for m in generate("chat", rows=1, seed=1)[0]["messages"]] == [
        "My first cello lesson should be on Tuesday at 5 pm, please. Best wishes, Ada",
        "Hello Ada, your cello lesson with Mrs. King is booked for Tuesday at 5 pm.",
    ]


def test_roles_alternate_and_some_rows_have_two_exchanges(rows):
    for row in rows:
        assert [m["role"] for m in row["messages"]] == ["user", "assistant"] * (len(row["messages"]) // 2)
    assert 0.03 < np.mean([len(row["messages"]) == 4 for row in rows]) < 0.15


def test_no_two_rows_share_intent_and_slot_values_whatever_the_template(rows):
    marks = [(row["template"].split("/")[0], *row["slots"].values()) for row in rows]
    assert len(set(marks)) == len(rows)
    assert len({key(row["messages"]) for row in rows}) == len(rows)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_tenth_shares_few_13_grams_with_the_rest(seed):
    assert measured("chat", generate("chat", rows=1200, seed=seed)) <= 0.05


def test_every_reference_is_right_and_every_other_answer_wrong(rows):
    assert all(correct(answer(row), row["truth"]) for row in rows)
    assert not any(correct(answer(other), row["truth"]) for row in rows[:100] for other in rows[:400] if other is not row)


def test_a_changed_fact_a_missing_fact_and_an_invented_fact_are_wrong(rows):
    for row in rows[:200]:
        for fact in row["truth"]["facts"]:
            low = answer(row).lower()
            assert not correct(low.replace(fact, "something"), row["truth"])
            assert not correct(low.replace(fact, "77"), row["truth"])
        assert not correct(answer(row) + " See you on Monday in Napa.", row["truth"])


def test_the_wrong_side_is_wrong():
    rows = generate("chat", rows=1200, seed=1)
    sides = {side for row in rows for side in row["truth"]["says"]}
    assert sides == {"in the shop", "sold out", "you can try", "closed", "you can return", "too late"}
    for row in rows:
        for side, other in (("you can return", "too late"), ("in the shop", "sold out"), ("you can try", "closed")):
            if side in answer(row):
                assert not correct(answer(row).replace(side, other), row["truth"])


def test_another_wording_with_the_same_facts_is_right(rows):
    row = next(row for row in rows if row["template"].startswith("cancel"))
    name, order, instrument = (row["slots"][slot] for slot in ("name", "order", "instrument"))
    assert correct(f"{name}, in 5 days you get back what you paid for the {instrument} of {order}.", row["truth"])


def test_truth_follows_from_the_catalogue():
    shop = open_shop()
    for row in generate("chat", rows=400, seed=9):
        facts = shop.following(row["slots"])
        intent = row["template"].split("/")[0]
        if intent == "price":
            assert {facts["maker"].lower(), facts["price"], row["slots"]["instrument"]} <= set(row["truth"]["facts"])
        if intent == "return":
            assert row["truth"]["says"] == (["you can return"] if int(row["slots"]["age"]) <= 30 else ["too late"])
        assert row["slots"]["name"].lower() in row["truth"]["facts"]


@pytest.mark.parametrize("words", [(1, 1), (1, 2)])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_most_similar_question_does_not_give_the_answer(seed, words):
    rows = generate("chat", rows=1200, seed=seed)
    test, train = rows[::10], [row for i, row in enumerate(rows) if i % 10]
    space = TfidfVectorizer(ngram_range=words)
    known = space.fit_transform(map(prompt, train))
    nearest = np.asarray((space.transform(map(prompt, test)) @ known.T).argmax(axis=1)).ravel()
    share = np.mean([correct(answer(train[j]), row["truth"]) for row, j in zip(test, nearest, strict=True)])
    assert share <= 0.25


def test_files_hold_the_rows_and_their_truth(tmp_path, rows):
    path = write(tmp_path, kind="chat", rows=1200, seed=1)
    written = [json.loads(line) for line in path.read_text().splitlines()]
    assert written == [{"messages": row["messages"]} for row in rows]
    truths = read(tmp_path)
    assert all(truths[key(row["messages"])] == row["truth"] for row in rows)
    assert truths[key(rows[0]["messages"][:-1])] == rows[0]["truth"], "the prompt alone finds it too"
    assert json.loads((tmp_path / "sample.json").read_text())["overlap_13_grams"] <= 0.05
    assert sorted(p.name for p in tmp_path.iterdir()) == ["chat.jsonl", "papers.md", "sample.json", "truth.jsonl"]


def test_the_papers_say_what_answers_say(tmp_path, rows):
    """Retrieval can help: nearly every fact of an answer that its question does not hold stands in the papers."""
    write(tmp_path, kind="chat", rows=60, seed=1)
    papers = (tmp_path / "papers.md").read_text().lower()
    missing = [fact for row in rows[:300] for fact in row["truth"]["facts"] if fact not in prompt(row).lower() and fact not in papers]
    assert len(missing) <= 30, missing[:5]
    assert "our violin is made by hill and costs 340 dollars" in papers


def test_facts_are_whole_words():
    assert facts_in("The Violins of Annabel, 12.50 dollars") == {"12", "50"}
    assert facts_in("a violin for anna") == {"violin", "anna"}


def test_unknown_kinds_and_impossible_sizes_get_a_sentence():
    with pytest.raises(RecipeError, match="no samples of kind 'poems'"):
        generate("poems", rows=10, seed=1)
    with pytest.raises(RecipeError, match="too few"):
        generate("chat", rows=0, seed=1)
