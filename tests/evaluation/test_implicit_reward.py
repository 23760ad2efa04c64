"""What learning did to both answers of a pair, worked by hand; it is another figure than which answer is likelier."""
import numpy as np
import pytest

from luthier.evaluation.implicit_reward import implicit_reward, shares
from luthier.evaluation.results import Result
from luthier.metrics.metric import mean
from luthier.tasks.answers import Answer


def pair(chosen: float, rejected: float | None) -> Answer:
    return Answer("", nll=chosen, rejected_nll=rejected)


def results(before: list, after: list, longer: list | None = None) -> dict:
    made = {"base": Result("base", before, {}), "tuned": Result("tuned", after, {})}
    if longer is not None:
        made["length"] = Result("length", before, {"preference_accuracy": mean("preference_accuracy", longer)})
    return made


def test_worked_by_hand():
    """Both became likelier, the chosen one by more; both less likely, the chosen one by less; nothing moved; the rejected one gained."""
    before = [pair(30.0, 5.0)] * 4
    after = [pair(27.0, 4.0), pair(31.0, 9.0), pair(30.0, 5.0), pair(29.0, 3.0)]
    assert shares(before, after) == [1.0, 1.0, 0.5, 0.0]
    assert implicit_reward(results(before, after), resamples=200)["value"] == pytest.approx(0.625)


def test_it_is_found_where_the_likelier_answer_stays_the_same():
    """The starting model finds every rejected answer likelier by far and still does; learning favours the chosen ones all the same."""
    draw = np.random.default_rng(0)
    before = [pair(80 + one, 20.0) for one in draw.normal(0, 1, 100)]
    after = [pair(old.nll - gain, 20.0) for old, gain in zip(before, draw.normal(1, 1, 100), strict=True)]
    found = implicit_reward(results(before, after, draw.choice([0.0, 1.0], 100).tolist()), resamples=400)
    assert all(one.nll > one.rejected_nll for one in after) and found["low"] > 0.7 and found["over_length"]["low"] > 0.1
    assert "the chosen answer gained more: right on" in found["sentence"]
    assert "the rejected answer gained more" in implicit_reward(results(after, before), resamples=400)["sentence"]


def test_pairs_of_one_talk_are_no_independent_witnesses():
    before, after = [pair(30.0, 5.0)] * 45, [pair(29.0, 5.0)] * 30 + [pair(31.0, 5.0)] * 15
    alone, together = (implicit_reward(results(before, after), groups, resamples=400) for groups in ((), ["one"] * 30 + ["two"] * 15))
    assert alone["low"] > 0.5 > together["low"] and "cannot be told from chance" in together["sentence"]


def test_answers_that_are_no_pairs_have_none():
    assert implicit_reward(results([pair(1.0, None)], [pair(1.0, None)])) is None
