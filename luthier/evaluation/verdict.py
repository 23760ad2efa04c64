"""Did tuning help? Three sentences and the figures behind them, from contestants who answered the same rows.

`tuned` is better only if the interval of the paired difference to the best other contestant lies above 0 and the test of no
difference agrees. That other is chosen on the same rows, which can only flatter it, so no correction is needed for the choice.
A tie goes to what needs no training.
"""
import math
from collections.abc import Sequence

from luthier.errors import NonFinite, WorkFailed
from luthier.evaluation.results import Result, costs
from luthier.evaluation.sentences import Case, sentence
from luthier.evaluation.statistics import Difference, detectable, difference, holm, interval, mcnemar
from luthier.evaluation.wording import metric_words


def verdict(
    results: Sequence[Result],
    *,
    metric: str,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    times_evaluated: int = 1,
    notice: str = "",
    tuned: str = "tuned",
) -> dict:
    """The verdict as it stands in verdict.json and under `--json`.

    `{metric, higher_is_better, n, winner, against, difference: {value, low, high}, paired_test, minimum_detectable, contestants,
    sentence}`; difference = tuned minus the best other, signed so that positive is better; tokens are means per answer. `winner` is
    None where nobody else answered. `times_evaluated`: how often this test split has been looked at, this time included. `notice`:
    one line added to the advice. WorkFailed where the contestants did not answer the same rows, NonFinite where tuned has no figure.
    """
    by_name = comparable(results, metric, tuned)
    own = by_name[tuned].metrics[metric]
    options = {"confidence": confidence, "resamples": resamples, "seed": seed}
    sign = 1 if own.higher_is_better else -1
    others = sorted((one for name, one in by_name.items() if name != tuned), key=lambda one: -sign * one.metrics[metric].value)
    found = {other.name: difference(own, other.metrics[metric], **options) for other in others}
    against = others[0].name if others else None
    better = bool(others) and surely_better(found[against], confidence)
    values = {
        "metric": metric,
        "higher_is_better": own.higher_is_better,
        "n": len(own),
        "winner": None if not others else tuned if better else against,
        "against": against,
        "difference": ends_of(found[against]) if others else None,
        "paired_test": paired_test(by_name, found, tuned, against) if others else None,
        "minimum_detectable": smallest_shown(found[against]) if others else None,
        "contestants": [contestant(one, metric, options) for one in sorted(by_name.values(), key=lambda one: -sign * one.metrics[metric].value)],
    }
    case = Case(values, tuned, better, confidence, times_evaluated, notice, lifted(found), unchanged(by_name, tuned))
    return {**values, "sentence": sentence(case)}


def comparable(results: Sequence[Result], metric: str, tuned: str) -> dict[str, Result]:
    """Results by name once all have the metric over the same number of rows; those without a finite figure leave, tuned may not."""
    by_name = {one.name: one for one in results}
    if tuned not in by_name or metric not in by_name[tuned].metrics:
        raise WorkFailed(f"there is no {metric_words(metric)} of {tuned}, so there can be no verdict", code="E131")
    if len(by_name) != len(results):
        raise WorkFailed("two contestants have one name", code="E131")
    counts = {one.name: len(one.answers) for one in results} | {one.name: len(one.metrics[metric]) for one in results if metric in one.metrics}
    if len(set(counts.values())) != 1:
        raise WorkFailed(f"the contestants did not answer the same rows: {counts}", code="E131", hint="run the evaluation again: luthier eval last")
    if not math.isfinite(by_name[tuned].metrics[metric].value):
        raise NonFinite(f"{metric_words(metric)} of {tuned} is not a number", hint="lower training.learning_rate, then train again")
    return {name: one for name, one in by_name.items() if metric in one.metrics and math.isfinite(one.metrics[metric].value)}


def surely_better(found: Difference, confidence: float) -> bool:
    """Both the interval and the test must say so: with very few rows the bootstrap alone is too sure of itself."""
    return found.low > 0 and found.p_value < 1 - confidence


def ends_of(found: Difference) -> dict:
    return {"value": found.value, "low": found.low, "high": found.high}


def smallest_shown(found: Difference) -> float:
    """The difference that this test set finds four times out of five; where the two never differ, what so many rows cannot exclude."""
    return max(detectable(found.standard_error), found.value - found.low if found.standard_error == 0 else 0.0)


def paired_test(by_name: dict[str, Result], found: dict[str, Difference], tuned: str, against: str) -> dict:
    """The test against the best other; McNemar's on accuracy where there is one; and every other contestant, corrected after Holm."""
    corrected = dict(zip(found, holm([one.p_value for one in found.values()])))
    others = {name: {"difference": ends_of(one), "p_value": one.p_value, "p_value_holm": corrected[name]} for name, one in found.items()}
    test = {"name": found[against].test, "p_value": found[against].p_value, "others": others}
    right = [by_name[name].metrics.get("accuracy") for name in (tuned, against)]
    if all(right):
        test["mcnemar_accuracy"] = mcnemar(right[0].per_row, right[1].per_row)
    return test


def lifted(found: dict[str, Difference]) -> bool:
    """Whether tuning moved the base up, whatever else is better."""
    return "base" in found and found["base"].low > 0


def unchanged(by_name: dict[str, Result], tuned: str) -> bool:
    """Whether the tuned model answers every row just as its base does: then tuning did nothing."""
    if "base" not in by_name:
        return False
    pairs = zip(by_name["base"].answers, by_name[tuned].answers)
    return all((one.text, one.label, one.nll) == (other.text, other.label, other.nll) for one, other in pairs)


def contestant(result: Result, metric: str, options: dict) -> dict:
    """One line of the table: `{name, value, low, high, seconds_per_answer, tokens: {input, output}}`."""
    found, cost = interval(result.metrics[metric], **options), costs(result.answers)
    line = {"name": result.name, "value": found.value, "low": found.low, "high": found.high}
    return {**line, "seconds_per_answer": cost["seconds_per_answer"], "tokens": cost["tokens"]}
