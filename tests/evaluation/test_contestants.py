"""Each contestant learns from training rows only, answers in order, and is as good as it should be."""
import csv
import os
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score

from luthier.data.records import Conversation, Labelled, Message, Text
from luthier.errors import RecipeError
from luthier.evaluation import contestants
from luthier.evaluation.contestants.linear import LinearClassifier
from luthier.tasks.answers import Answer

TRAIN = [
    Labelled("the bow hair is worn", "repair"),
    Labelled("please repair the cracked top", "repair"),
    Labelled("my bridge fell over", "repair"),
    Labelled("what does a viola cost", "price"),
    Labelled("price of a cello case", "price"),
]
TEST = [Labelled("price of a viola", "price"), Labelled("a crack in the top", "repair"), Labelled("bow hair", "repair")]
ALL_KINDS = [name for name, kind in contestants.CONTESTANTS.items() if "labelled" in kind.records]


def talk(*turns, weights=()):
    roles = ["user", "assistant"] * len(turns)
    return Conversation(tuple(Message(role, turn, 1.0) for role, turn in zip(roles, turns)))


def embed(texts):
    words = sorted({word for record in TRAIN for word in record.text.split()})
    return np.array([[text.split().count(word) for word in words] for text in texts], dtype=float)


def respond(records, shots):
    return [Answer("repair", label="repair", tokens_in=5 + 7 * len(shots[index] if shots else []), tokens_out=1) for index in range(len(records))]


MATERIALS = {
    "train": TRAIN, "base": respond, "tuned": respond, "embed": embed, "seed": 1, "shots": "auto", "endpoint": respond, "scratch": lambda: respond, "validation": TRAIN[:2],
    "score": lambda answers, records: 0.0, "search": lambda questions: [["a passage"] for _ in questions], "lengths": lambda records: [1] * len(records), "room": 5,
}


@pytest.mark.parametrize("name", ALL_KINDS)
def test_every_contestant_answers_every_row_with_a_known_label(name):
    one = contestants.make(name, **MATERIALS)
    answers = one.answer(TEST)
    assert one.name == name and len(answers) == 3
    assert all(answer.label in ("repair", "price") and answer.text == answer.label and answer.seconds > 0 for answer in answers)


@pytest.mark.parametrize("name", ["nearest", "tfidf", "nearest_embedding", "probe"])
def test_those_who_learn_get_the_easy_rows_right(name):
    assert [answer.label for answer in contestants.make(name, **MATERIALS).answer(TEST)][0] == "price"
    assert [answer.label for answer in contestants.make(name, **MATERIALS).answer(TEST)][2] == "repair"


@pytest.mark.parametrize("name", ["majority", "nearest", "tfidf", "nearest_embedding", "probe"])
def test_targets_of_the_test_rows_are_never_read(name):
    hidden = [Labelled(record.text, "unknown") for record in TEST]
    one = contestants.make(name, **MATERIALS)
    assert [a.label for a in one.answer(hidden)] == [a.label for a in one.answer(TEST)]


def test_majority_says_the_most_frequent_with_shares():
    answer = contestants.make("majority", train=TRAIN).answer(TEST[:1])[0]
    assert answer.label == "repair" and answer.probabilities == {"price": 0.4, "repair": 0.6}


def test_majority_of_chat_is_the_most_frequent_answer_or_the_most_typical():
    twice = [talk("hello", "Good day."), talk("hi", "Good day."), talk("bye", "See you.")]
    assert contestants.make("majority", train=twice).answer([twice[2]])[0].text == "Good day."
    once = [talk("a", "strings cost 20"), talk("b", "strings cost 30"), talk("c", "strings cost 40 today"), talk("d", "we close at six")]
    answer = contestants.make("majority", train=once).answer(once[:1])[0]
    assert answer.text.startswith("strings cost") and answer.label is None


def test_nearest_of_chat_copies_the_answer_of_the_most_similar_prompt():
    train = [talk("when do you open", "At nine."), talk("do you rent cellos", "Yes, by the month."), talk("hello", "Hi.", "who are you", "A shop.")]
    answers = contestants.make("nearest", train=train).answer([talk("do you rent violins", "?"), talk("hello", "Hi.", "and who are you", "?")])
    assert [answer.text for answer in answers] == ["Yes, by the month.", "A shop."]


def test_turns_with_weight_zero_are_context_only():
    record = Conversation((Message("user", "q"), Message("assistant", "wrong", 0.0), Message("user", "again"), Message("assistant", "right")))
    assert contestants.inputs.pairs_of(record) == [("q\nwrong\nagain", "right")]


def test_few_shot_shows_training_rows_most_similar_first():
    seen = {}

    def base(records, shots):
        seen.update(zip([record.text for record in records], shots))
        return respond(records, shots)

    answers = contestants.make("few_shot", train=TRAIN, base=base, shots=2).answer(TEST)
    assert [len(shots) for shots in seen.values()] == [2, 2, 2]
    assert seen["bow hair"][0] is TRAIN[0] and all(shot in TRAIN for shots in seen.values() for shot in shots)
    assert answers[0].tokens_in == 5 + 2 * 7


def test_base_and_tuned_get_no_shots():
    for name in ("base", "tuned"):
        assert contestants.make(name, **{**MATERIALS, name: respond}).answer(TEST)[0].tokens_in == 5


def test_tfidf_gives_probabilities_and_copes_with_odd_texts():
    odd = [Labelled("?!", "a"), Labelled("...", "b"), Labelled("👍👍", "b")]
    answers = contestants.make("tfidf", train=odd).answer([Labelled("?!", "a"), Labelled("", "a"), Labelled("𝔘", "a")])
    assert all(sum(answer.probabilities.values()) == pytest.approx(1) for answer in answers)
    one = contestants.make("tfidf", train=[Labelled("x", "only")]).answer([Labelled("y", "only")])[0]
    assert one.label == "only" and one.probabilities == {"only": 1.0}


def test_the_linear_model_with_many_labels_does_learn():
    random = np.random.default_rng(0)
    centres = random.normal(0, 1, (150, 20))
    label = np.repeat(np.arange(150), 4)
    vectors = centres[label] + random.normal(0, 0.1, (600, 20))
    model = LinearClassifier(vectors / 5, [str(number) for number in label], strength=30.0)
    assert np.mean([a.label == str(b) for a, b in zip(model.answers(vectors / 5), label)]) > 0.9


def test_wrong_names_and_missing_needs_are_told():
    with pytest.raises(RecipeError, match="no contestant 'tfdif'") as error:
        contestants.make("tfdif", train=TRAIN)
    assert "tfidf" in error.value.hint
    with pytest.raises(RecipeError, match="probe needs embed"):
        contestants.make("probe", train=TRAIN)
    with pytest.raises(RecipeError, match="no training rows"):
        contestants.make("majority", train=[])
    with pytest.raises(RecipeError, match="asks nothing"):
        contestants.make("majority", train=[Text("a book")])


@pytest.mark.nightly
def test_tfidf_on_banking77():
    root = Path(os.environ.get("LUTHIER_TEST_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
    folder = root / "classification" / "PolyAI-LDN__task-specific-datasets" / "banking_data"
    if not folder.exists():
        pytest.skip(f"banking77 is not in {root}")
    train, test = ([Labelled(r["text"], r["category"]) for r in csv.DictReader(open(folder / name))] for name in ("train.csv", "test.csv"))
    answers = contestants.make("tfidf", train=train).answer(test)
    assert f1_score([r.label for r in test], [a.label for a in answers], average="macro") > 0.89
