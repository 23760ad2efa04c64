"""Each probe says what is true of models made to have what it looks for, and stays quiet on those that do not."""
import json
from dataclasses import replace

import numpy as np
import pytest

from luthier.data.records import Conversation, Labelled, Message, Origin, Text
from luthier.errors import DataError, RecipeError
from luthier.evaluation.probes import bias, calibration, canaries, facts, forgetting, form, memorisation, overfitting, refusal, robustness
from luthier.evaluation.probes.general import questions, texts
from luthier.evaluation.probes.probe import Model, Subject
from luthier.evaluation.probes.registry import FIGURES, PROBES, chosen
from luthier.evaluation.probes.settings import ProbeSettings
from luthier.tasks.answers import Answer
from luthier.tasks.chat import PreparedChat
from luthier.tasks.classification import PreparedClassification

LABELS = PreparedClassification(labels=["good", "bad"])
CHAT = PreparedChat(max_new_tokens=30)


def talk(question, answer):
    return Conversation((Message("user", question), Message("assistant", answer)))


def labelled(answer_of):
    """A model that labels by a function of the text."""

    def respond(records, shots=None):
        return [Answer(label, label=label, probabilities={label: sure, "good" if label == "bad" else "bad": 1 - sure}) for label, sure in (answer_of(record.text) for record in records)]

    return Model(respond, None, lambda records: [(1.0, 1)] * len(records))


def spoken(answer_of, nats=lambda texts: [float(len(text)) for text in texts], target=lambda records: [(2.0, 1)] * len(records)):
    """A model that writes a function of the question."""
    return Model(lambda records, shots=None: [Answer(answer_of(record.messages[-2].content)) for record in records], nats, target)


def subject(task, before, after, held_out, train=(), **more):
    answers = (before.respond(held_out, None), after.respond(held_out, None))
    return Subject(task, before, after, train, held_out, answers, ProbeSettings(**more.pop("settings", {})), **more)


def one(found, name):
    return next(each for each in found if each.name == name)


# ---- forgetting ---------------------------------------------------------------------------------
def test_forgetting_is_the_rise_of_bits():
    plain, dearer = spoken(str), spoken(str, nats=lambda texts: [1.1 * len(text) for text in texts])
    rows = [talk("a", "b")]
    found = one(forgetting.probe(subject(CHAT, plain, dearer, rows)), "forgetting")
    assert found.value == pytest.approx(0.1) and found.low <= found.value <= found.high and found.crossed
    assert found.before == pytest.approx(1 / np.log(2)) and found.n == 30
    same = one(forgetting.probe(subject(CHAT, plain, plain, rows)), "forgetting")
    assert same.value == 0 and not same.crossed
    assert forgetting.probe(subject(LABELS, labelled(lambda text: ("good", 0.9)), labelled(lambda text: ("good", 0.9)), [Labelled("a", "good")])) == []


def test_questions_outside_the_task():
    asked = questions(None)
    right = {f"{each.question} {each.choices[each.answer]}" for each in asked}
    knows = spoken(str, nats=lambda texts: [0.0 if text in right else float(len(text)) for text in texts])
    lost = spoken(str, nats=lambda texts: [float(len(text)) + (9.0 if text in right else 0.0) for text in texts])
    found = one(forgetting.probe(subject(CHAT, knows, lost, [talk("a", "b")])), "forgetting_questions")
    assert found.before == 1 and found.after == 0 and found.value == 1 and found.crossed


def test_general_files_are_read_strictly(tmp_path):
    assert len(texts(None)) == 30 and len(questions(None)) == 30
    path = tmp_path / "q.jsonl"
    path.write_text('{"question": "q", "choices": ["a", "b"], "answer": 1}\n{"question": "q", "choices": ["a"], "answer": 0}\n')
    with pytest.raises(DataError) as error:
        questions(str(path))
    assert error.value.line == 2
    path.write_text('{"text": "a passage that is long enough"}\n' * 3)
    assert len(texts(str(path))) == 3
    path.write_text("\n")
    with pytest.raises(DataError, match="nothing to probe"):
        texts(str(path))


# ---- memory -------------------------------------------------------------------------------------
TRAIN = [talk(f"question {at}", f"the answer to this is number {at}") for at in range(30)]
UNSEEN = [talk(f"other {at}", f"the answer to that is number {at}") for at in range(30)]
BY_HEART = {row.messages[0].content: row.messages[1].content for row in TRAIN}


def test_what_is_known_by_heart_is_found():
    base = spoken(lambda question: "no idea at all of this")
    parrot = spoken(lambda question: BY_HEART.get(question, "no idea at all of this"), target=lambda records: [(0.1 + 0.1 * (at % 3) if record in TRAIN else 2.0, 1) for at, record in enumerate(records)])
    found = memorisation.probe(subject(CHAT, base, parrot, UNSEEN, TRAIN))
    assert one(found, "verbatim").value == 1 and one(found, "verbatim").crossed
    assert one(found, "membership").after > 0.99 and one(found, "membership").crossed
    fair = spoken(lambda question: f"the answer to {'this' if question.startswith('q') else 'that'} is number {question.split()[-1]}", target=lambda records: [(0.1 + 0.01 * (at % 7), 1) for at, _ in enumerate(records)])
    found = memorisation.probe(subject(CHAT, base, fair, UNSEEN, TRAIN))
    assert one(found, "verbatim").value == 0 and not one(found, "verbatim").crossed, "skill is not memory"
    assert abs(one(found, "membership").value) < 0.1
    assert one(overfitting.probe(subject(CHAT, base, parrot, UNSEEN, TRAIN)), "overfitting").crossed
    assert not one(overfitting.probe(subject(CHAT, base, fair, UNSEEN, TRAIN)), "overfitting").crossed


def test_auc_by_hand():
    assert memorisation.auc(np.array([3.0, 2.0]), np.array([1.0, 2.0])) == pytest.approx((1 + 1 + 1 + 0.5) / 4)


def test_exposure_of_a_planted_secret():
    planned = canaries.make(3, seed=5)
    assert [each["copies"] for each in planned] == [1, 4, 32, 0, 0, 0] and len({each["code"] for each in planned}) == 6
    known = canaries.sentence(planned[2])

    def nats(texts):
        return [0.0 if text == known else float(np.random.default_rng(abs(hash(text)) % 2**32).random() + 1) for text in texts]

    assert canaries.exposure(nats, planned[2]) == 12.0
    assert canaries.exposure(lambda texts: [1.0] * len(texts), planned[2]) == pytest.approx(1.0, abs=0.01), "who knows nothing is not said to know"
    found = one(memorisation.probe(subject(CHAT, spoken(str, nats=lambda texts: [1.0] * len(texts)), spoken(str, nats=nats), UNSEEN, TRAIN, canaries=planned)), "exposure")
    assert found.value == 12 and found.crossed and len(found.details["canaries"]) == 6
    assert len(canaries.planted(planned, Text)) == 37 and canaries.planted(planned, Labelled) == []
    assert len({canaries.spelled(code) for code in range(canaries.SPACE)}) == canaries.SPACE


# ---- robustness, bias, calibration --------------------------------------------------------------
ROWS = [Labelled(f"this is a very {'lovely' if at % 2 else 'dreadful'} thing number {at}", "good" if at % 2 else "bad") for at in range(60)]


def test_who_stumbles_over_typing_errors_is_found():
    steady = labelled(lambda text: ("good" if int("".join(filter(str.isdigit, text))) % 2 else "bad", 0.9))
    brittle = labelled(lambda text: ("good" if "lovely" in text else "bad", 0.9))
    found = one(robustness.probe(subject(LABELS, steady, brittle, ROWS)), "robustness")
    assert found.crossed and found.details["changes"]["capitals"]["after"] > 0.3
    assert not one(robustness.probe(subject(LABELS, steady, steady, ROWS)), "robustness").crossed
    random = np.random.default_rng(0)
    assert sorted(robustness.typos("violoncello", random)) == sorted("violoncello") and robustness.typos("violoncello", random) != "violoncello" and robustness.typos("a b", random) == "a b"


def test_answers_that_turn_with_a_pronoun_are_found():
    rows = [Labelled(f"{'He' if at % 2 else 'She'} asks for number {at}", "good") for at in range(40)]
    fair, unfair = labelled(lambda text: ("good", 0.9)), labelled(lambda text: ("good" if text.startswith("He") else "bad", 0.9))
    assert one(bias.probe(subject(LABELS, fair, unfair, rows)), "swaps").after == 1
    assert one(bias.probe(subject(LABELS, fair, fair, rows)), "swaps").value == 0
    assert bias.swapped("He told his wife: boys, SHE said.") == "She told her husband: boys, He said."


def test_the_worst_slice_is_named(tmp_path):
    path = tmp_path / "slices.json"
    path.write_text(json.dumps({"evens": [str(at) for at in range(0, 60, 2)], "odds": [str(at) for at in range(1, 60, 2)], "nobody": ["xyz"]}))
    half = labelled(lambda text: ("good" if "lovely" in text else "good" if text.endswith(("2", "4")) else "bad", 0.9))
    found = one(bias.probe(subject(LABELS, half, half, ROWS, settings={"slices": str(path)})), "slice_gap")
    assert "evens" in found.sentence and set(found.details["slices"]) == {"evens", "odds"} and found.details["slices"]["evens"]["n"] == 30
    placed = [replace(row, origin=Origin("t.csv", None, at)) for at, row in enumerate(ROWS)]
    path.write_text(json.dumps({"men": [{"file": "t.csv", "row": at, "split": "test"} for at in range(0, 60, 2)], "other file": [{"file": "u.csv", "row": 1}]}))
    found = one(bias.probe(subject(LABELS, half, half, placed, settings={"slices": str(path)})), "slice_gap")
    assert set(found.details["slices"]) == {"men"} and found.details["slices"]["men"]["n"] == 30, "what luthier check wrote"
    path.write_text("[1]")
    with pytest.raises(DataError, match="slices are written"):
        bias.probe(subject(LABELS, half, half, ROWS, settings={"slices": str(path)}))


def test_stereotyped_pairs(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps({"more": f"stereotype {at}", "less": f"other {at}"}) + "\n" for at in range(20)))
    neutral = spoken(str, nats=lambda texts: [1.0] * len(texts))
    biased = spoken(str, nats=lambda texts: [0.5 if text.startswith("stereotype") else 1.0 for text in texts])
    found = one(bias.probe(subject(CHAT, neutral, biased, [talk("is he in", "yes")], settings={"pairs": str(path)})), "stereotypes")
    assert (found.before, found.after) == (0, 1) and found.crossed


def test_too_sure_is_found_and_a_threshold_is_given():
    random = np.random.default_rng(1)
    sure = {row.text: float(random.uniform(0.5, 1)) for row in ROWS * 1}
    rows = [Labelled(f"text {at}", "good") for at in range(400)]
    sure = {row.text: float(random.uniform(0.5, 1)) for row in rows}
    right = {text: random.random() < value for text, value in sure.items()}
    honest = labelled(lambda text: ("good" if right[text] else "bad", sure[text]))
    boaster = labelled(lambda text: ("good" if right[text] else "bad", 0.99 if sure[text] < 0.99 else 0.999))
    true = one(calibration.probe(subject(LABELS, honest, honest, rows)), "calibration")
    assert true.value < 0.1 and not true.crossed
    assert one(calibration.probe(subject(LABELS, honest, boaster, rows)), "calibration").crossed
    limit = true.details["threshold"]
    told = {entry["risk"]: entry for entry in true.details["thresholds"]}
    assert told[0.1]["threshold"] == limit and told[0.1]["answered"] == true.details["answered"] <= told[0.2]["answered"] and told[0.01]["threshold"] is None
    kept = [text for text in sure if sure[text] >= limit]
    assert limit is not None and 0.02 < true.details["answered"] < 0.6 and np.mean([not right[text] for text in kept]) <= 0.1
    assert true.details["curve"][0]["risk"] <= true.details["curve"][-1]["risk"] and true.details["curve"][-1]["coverage"] == 1


def threshold_holds(trials):
    broken = 0
    for trial in range(trials):
        random = np.random.default_rng(trial)
        sure = random.uniform(0.5, 1, 300)
        right = random.random(300) < sure
        limit = calibration.threshold(sure, right, 0.1)
        broken += limit is not None and (1 - (limit + 1) / 2) > 0.1
    return broken / trials


def test_the_threshold_keeps_its_promise():
    """True risk above a limit t is 1 - (t + 1) / 2; the promise may be broken in at most 5 % of test sets."""
    assert threshold_holds(200) <= 0.07


# ---- form, facts, refusal -----------------------------------------------------------------------
def test_form_terms_and_voice(tmp_path):
    rows = [talk(f"when is {at}", "Dear guest, at noon. Kind regards.") for at in range(20)]
    polite = spoken(lambda question: "Dear guest, at ten. Kind regards.")
    broken = spoken(lambda question: "" if question.endswith("1") else "so it goes so it goes so it goes so it goes")
    path = tmp_path / "terms.json"
    path.write_text(json.dumps({"must": ["Kind regards"], "never": ["goes"]}))
    found = form.probe(subject(CHAT, polite, broken, rows, settings={"terms": str(path)}))
    assert one(found, "malformed").value == 1 and one(found, "terms").value == 1 and one(found, "voice").value > 0.3
    assert one(found, "malformed").details["kinds"]["runs in circles"] == 18
    assert one(form.probe(subject(CHAT, polite, polite, rows)), "malformed").after == 0


def test_numbers_from_nowhere_are_found():
    rows = [talk(f"what does order {at} cost, asks Ann", f"Order {at} costs 20, dear Ann.") for at in range(100, 130)]
    true = spoken(lambda question: f"Order {question.split()[3]} costs 20, dear Ann.")
    invents = spoken(lambda question: f"Order {question.split()[3]} costs 99, dear Zoe.")
    assert one(facts.probe(subject(CHAT, true, invents, rows)), "unsupported").value == 1
    assert one(facts.probe(subject(CHAT, true, true, rows)), "unsupported").after == 0


def test_lost_refusals_are_found():
    refuses, obeys = spoken(lambda question: "Sorry, I cannot help with that."), spoken(lambda question: "Of course! First you take")
    rows = [talk("a", "b")]
    found = one(refusal.probe(subject(CHAT, refuses, obeys, rows)), "complied")
    assert (found.before, found.after) == (0, 1) and found.crossed
    assert refusal.probe(subject(LABELS, labelled(lambda t: ("good", 1.0)), labelled(lambda t: ("good", 1.0)), ROWS)) == []


# ---- which probes -------------------------------------------------------------------------------
def test_gates_bring_their_probe():
    assert chosen([], ["forgetting", "macro_f1", "membership"]) == ["forgetting", "memorisation"]
    assert chosen(["all"]) == list(PROBES) and set(FIGURES.values()) == set(PROBES)
    with pytest.raises(RecipeError, match="no probe 'beauty'"):
        chosen(["beauty"])
