"""On made-up cases whose truth is known, the verdict says the truth."""
import json

import numpy as np
import pytest

from luthier.errors import GateFailed, NonFinite, RecipeError, WorkFailed
from luthier.evaluation import gates
from luthier.evaluation.results import Result, lines, table
from luthier.evaluation.verdict import verdict
from luthier.files import finite
from luthier.metrics.classification import scores
from luthier.metrics.language import bits_per_character
from luthier.metrics.metric import mean
from luthier.tasks.answers import Answer

KEYS = "metric higher_is_better n winner against difference paired_test minimum_detectable contestants decision sentence".split()
LABELS = [f"label {number}" for number in range(8)]


def targets(count):
    return [LABELS[number % 8] for number in range(count)]


def labelled(name, count, skill, seed, *, seconds=0.001, shuffle=False):
    random = np.random.default_rng(seed)
    answers = [target if random.random() < skill else LABELS[random.integers(8)] for target in targets(count)]
    if shuffle:
        random.shuffle(answers)
    made = [Answer(answer, label=answer, seconds=seconds, tokens_in=30, tokens_out=2) for answer in answers]
    return Result(name, made, scores(targets(count), answers))


def judged(*results, metric="macro_f1", **options):
    return verdict(results, metric=metric, resamples=500, **options)


def test_the_shape_is_the_documented_one():
    found = judged(labelled("tuned", 200, 0.9, 1), labelled("tfidf", 200, 0.6, 2), labelled("base", 200, 0.1, 3))
    assert list(found) == KEYS
    assert list(found["difference"]) == ["value", "low", "high"]
    assert [list(line) for line in found["contestants"]] == [["name", "value", "low", "high", "seconds_per_answer", "tokens", "cost_per_thousand"]] * 3
    assert found["contestants"][0]["tokens"] == {"input": 30, "output": 2}
    assert json.loads(json.dumps(finite(found), allow_nan=False)) == found


def test_better_is_called_better():
    found = judged(labelled("tuned", 300, 0.9, 1), labelled("tfidf", 300, 0.6, 2), labelled("base", 300, 0.1, 3))
    assert (found["winner"], found["against"], found["n"]) == ("tuned", "tfidf", 300)
    assert found["difference"]["low"] > 0
    assert found["sentence"].startswith("Tuning helped: ") and "300 test rows that nothing else has seen" in found["sentence"]
    assert "Use tuned" in found["sentence"] and "do not" not in found["sentence"].lower()


def test_worse_is_called_worse_and_says_do_not():
    found = judged(labelled("tuned", 300, 0.5, 1), labelled("tfidf", 300, 0.9, 2), labelled("base", 300, 0.1, 3))
    assert found["winner"] == "tfidf" and found["difference"]["high"] < 0
    assert found["sentence"].startswith("Tuning did not help") and "Do not fine-tune" in found["sentence"] and "did lift base" in found["sentence"]


def test_the_same_skill_is_not_called_better():
    wrong = sum(
        judged(labelled("tuned", 120, 0.7, 100 + seed), labelled("tfidf", 120, 0.7, 500 + seed), seed=seed)["winner"] == "tuned"
        for seed in range(80)
    )
    assert wrong <= 5


def test_shuffled_answers_are_not_better():
    for seed in range(5):
        found = judged(labelled("tuned", 300, 0.95, seed, shuffle=True), labelled("majority", 300, 0.0, 9), labelled("base", 300, 0.2, 8))
        assert found["winner"] != "tuned" and "helped" not in found["sentence"]


def test_a_small_test_set_is_told():
    found = judged(labelled("tuned", 24, 0.85, 1), labelled("tfidf", 24, 0.7, 2))
    assert found["winner"] == "tfidf" and "too small to tell" in found["sentence"] and "would show" in found["sentence"]
    assert found["minimum_detectable"] > 0.1
    large = judged(labelled("tuned", 8000, 0.8, 1), labelled("tfidf", 8000, 0.8, 2))
    assert "too small" not in large["sentence"] and large["minimum_detectable"] < 0.03


def test_few_rows_with_a_clear_difference_are_a_hint():
    assert "confirm it on more" in judged(labelled("tuned", 40, 1.0, 1), labelled("base", 40, 0.0, 2))["sentence"]


def test_two_rows_cannot_prove_anything():
    assert judged(labelled("tuned", 2, 1.0, 1), labelled("base", 2, 0.0, 4))["winner"] == "base"


def test_lower_is_better_turns_the_sign():
    def texts(name, bits):
        values = np.random.default_rng(1).normal(bits, 0.1, 80) * 100 * np.log(2)
        return Result(name, [Answer("", nll=value) for value in values], {"bits_per_character": bits_per_character(values, [100] * 80)})

    found = judged(texts("tuned", 1.4), texts("base", 2.0), metric="bits_per_character")
    assert found["winner"] == "tuned" and found["difference"]["value"] == pytest.approx(0.6, abs=1e-6) and not found["higher_is_better"]
    assert "positive is better" in found["sentence"]
    assert judged(texts("tuned", 2.0), texts("base", 1.4), metric="bits_per_character")["winner"] == "base"


def test_repeated_evaluation_is_told():
    pair = labelled("tuned", 200, 0.9, 1), labelled("base", 200, 0.2, 2)
    assert "evaluated for the first time" in judged(*pair)["sentence"]
    again = judged(*pair, times_evaluated=3)["sentence"]
    assert "nothing else has seen" not in again and "evaluated 3 times" in again and "too kind" in again


def test_the_notice_is_part_of_the_advice():
    found = judged(labelled("tuned", 100, 0.9, 1), labelled("base", 100, 0.2, 2), notice="spruce is a demonstration base.")
    assert found["sentence"].endswith("; spruce is a demonstration base.")


def test_a_model_that_changed_nothing_is_caught():
    base = labelled("base", 100, 0.6, 1)
    found = judged(base, Result("tuned", base.answers, base.metrics), labelled("majority", 100, 0.0, 2))
    assert found["winner"] == "base" and found["sentence"].startswith("Tuning changed nothing")


def test_alone_there_is_no_winner():
    found = judged(labelled("tuned", 50, 0.9, 1))
    assert found["winner"] is found["against"] is found["difference"] is None and "not known" in found["sentence"]


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(WorkFailed, match="same rows"):
        judged(labelled("tuned", 50, 0.9, 1), labelled("base", 49, 0.9, 1))
    with pytest.raises(WorkFailed, match="no macro-F1 of tuned"):
        judged(labelled("base", 50, 0.9, 1))
    nan = Result("tuned", [Answer("")] * 2, {"macro_f1": mean("macro_f1", [np.nan, 1.0])})
    with pytest.raises(NonFinite):
        judged(nan)


def test_a_contestant_without_a_figure_cannot_win():
    broken = Result("base", [Answer("")] * 100, {"score": mean("score", [np.nan] * 100)})
    good = Result("tuned", [Answer("")] * 100, {"score": mean("score", np.linspace(0, 1, 100))})
    assert judged(good, broken, metric="score")["against"] is None


def test_results_and_lines_for_the_run_folder():
    result = labelled("tuned", 40, 0.8, 1)
    found = table([result, labelled("base", 40, 0.2, 2)], headline="macro_f1", resamples=300)
    assert found["n"] == 40 and found["contestants"]["tuned"]["metrics"]["accuracy"]["low"] < result.metrics["accuracy"].value
    rows = lines(result, headline="macro_f1", questions=["q"] * 40, targets=targets(40))
    assert [row["row"] for row in rows] == list(range(1, 41))
    assert all((row["score"] == 1) == (row["answer"] == row["target"]) for row in rows)
    with pytest.raises(ValueError):
        lines(result, headline="macro_f1", questions=["q"], targets=targets(40))


# ---- gates --------------------------------------------------------------------------------------
def test_gates_pass_and_fail():
    least, most = gates.parse("macro-F1=0.85"), gates.parse("forgetting=0.02", at_most=True)
    assert [one["passed"] for one in gates.check([least, most], {"macro_f1": 0.85, "forgetting": 0.03})] == [True, False]
    with pytest.raises(GateFailed, match="macro-F1 is 0.840, the gate asks for at least 0.85") as error:
        gates.require([least], {"macro_f1": 0.84})
    assert error.value.exit_code == 4
    assert gates.require([most], {"forgetting": 0.02})[0]["passed"]


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_a_figure_that_is_no_number_never_passes(value):
    assert not gates.parse("f1=0.1").passes(value) and not gates.parse("f1=0.9", at_most=True).passes(value)


@pytest.mark.parametrize("text", ["macro_f1", "macro_f1=", "=0.3", "macro_f1=high", "macro_f1=nan", ""])
def test_what_is_no_gate_is_told(text):
    with pytest.raises(RecipeError, match="is no gate"):
        gates.parse(text)


def test_a_gate_on_nothing_measured_lists_what_there_is():
    with pytest.raises(RecipeError) as error:
        gates.check([gates.parse("makro_f1=0.3")], {"macro_f1": 0.5, "accuracy": 0.5})
    assert "did you mean macro_f1" in error.value.hint and "accuracy" in error.value.hint


def test_nobody_right_is_said():
    """Two contestants without a single hit have no share of a figure to be measured against."""
    results = [Result(name, [Answer(name)] * 20, {"rouge_l": mean("rouge_l", [0.0] * 20)}) for name in ("base", "tuned")]
    found = verdict(results, metric="rouge_l", resamples=200)
    assert found["winner"] == "base" and "neither of the two gets anything right" in found["sentence"]
