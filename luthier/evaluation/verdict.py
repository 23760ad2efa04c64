"""Did tuning help, and who is to be used? Sentences and the figures behind them, from contestants who answered the same rows.

`tuned` is better only if the interval of the paired difference to the best other contestant lies above 0 and the test of no
difference agrees. That other is chosen on the same rows, which can only flatter it, so no correction is needed for the choice.
Who wins is another question and has its own rule (`decision.py`): the smallest cost within the margin of the best, so that a tie goes to
what costs less.
"""
import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from luthier.errors import NonFinite, WorkFailed
from luthier.evaluation.decision import Decision, decide, margin_of, standing
from luthier.evaluation.prices import Cost, Prices, break_even, cost_of
from luthier.evaluation.prices import read as read_prices
from luthier.evaluation.results import Result, costs
from luthier.evaluation.seeds import mean_of, widened
from luthier.evaluation.sentences import Case, sentence
from luthier.evaluation.statistics import Difference, Interval, clustered, detectable, difference, holm, interval, mcnemar, no_difference, rows_that_show
from luthier.evaluation.wording import metric_words
from luthier.metrics.metric import Metric


@dataclass(frozen=True)
class Rule:
    """What the user decides about the decision."""

    margin: float | str = "auto"
    """How much worse than the best the winner may be, in the metric's unit."""
    volume: int = 10_000
    """Answers over which setup is spread."""
    prices: Prices = field(default_factory=read_prices)
    """What time, tokens and people cost."""


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
    groups: Sequence[object] = (),
    rule: Rule | None = None,
    beside: Mapping[str, dict] | None = None,
) -> dict:
    """The verdict as it stands in verdict.json and under `--json`.

    `{metric, higher_is_better, n, winner, against, difference: {value, low, high}, paired_test, minimum_detectable, contestants,
    decision, sentence}`; difference = tuned minus the best other, signed so that positive is better; tokens are means per answer. `winner`
    is the decision rule's, None where nobody else answered. `times_evaluated`: how often this test split has been looked at, this time
    included. `notice`: one line added to the advice. `groups`: per row what it shares with others; then whole groups are drawn. `beside`: what else
    was measured, by name, each with its `sentence`: `win_rate`, `forgetting`, `reward_hacking`; a hacked reward takes the win from tuned.
    WorkFailed where the contestants did not answer the same rows, NonFinite where tuned has no figure.
    """
    by_name = comparable(results, metric, tuned)
    figures = Figures(by_name, metric, groups, {"confidence": confidence, "resamples": resamples, "seed": seed})
    own, sign = figures.metrics[tuned], 1 if figures.metrics[tuned].higher_is_better else -1
    others = sorted((name for name in by_name if name != tuned), key=lambda name: -sign * figures.metrics[name].value)
    found = {other: figures.difference(tuned, other) for other in others}
    against = others[0] if others else None
    better = bool(others) and surely_better(found[against], confidence)
    rule = rule or Rule()
    spent = {name: cost_of(one, rule.prices) for name, one in by_name.items()}
    decision = figures.decide(spent, rule) if others else None
    values = {
        "metric": metric,
        "higher_is_better": own.higher_is_better,
        "n": len(by_name[tuned].answers),
        "winner": decision.winner if decision else None,
        "against": against,
        "difference": ends_of(found[against]) if others else None,
        "paired_test": paired_test(by_name, found, tuned, against) if others else None,
        "minimum_detectable": smallest_shown(found[against]) if others else None,
        "contestants": [figures.line(name, spent[name], rule) for name in sorted(by_name, key=lambda name: -sign * figures.metrics[name].value)],
        "decision": told(decision, spent, rule, by_name, figures) if decision else None,
    }
    if len(own) != values["n"]:
        values["groups"] = len(own)
    beside = dict(beside or {})
    hacked = bool(beside.get("reward_hacking", {}).get("found"))
    if hacked and values["winner"] == tuned:
        values["winner"] = "base" if "base" in by_name else None
    case = Case(values, tuned, better, confidence, times_evaluated, notice, lifted(found), unchanged(by_name, tuned), tuple(one["sentence"] for one in beside.values() if one["sentence"]), hacked)
    return {**values, **beside, "sentence": sentence(case)}


class Figures:
    """Everyone's figure on the same rows or groups of rows, with the spread between seeds where there are several."""

    def __init__(self, by_name: dict[str, Result], metric: str, groups: Sequence[object], options: dict):
        self.by_name, self.metric, self.options = by_name, metric, options
        self.metrics = {name: clustered(one.metrics[metric], groups) if len(groups) else one.metrics[metric] for name, one in by_name.items()}
        self.seeds = {name: one.values_of_seeds(metric) for name, one in by_name.items() if len(one.seeds) > 1}

    def pair(self, one: str, other: str) -> tuple[Metric, Metric]:
        """Both figures with equally many parts: what is a mean over seeds is compared with as many copies of what is none."""
        first, second = self.metrics[one], self.metrics[other]
        widths = first.parts_NS.shape[1], second.parts_NS.shape[1]
        if widths[0] > widths[1]:
            second = mean_of([second] * (widths[0] // widths[1]))
        elif widths[1] > widths[0]:
            first = mean_of([first] * (widths[1] // widths[0]))
        return first, second

    def difference(self, one: str, other: str) -> Difference:
        first, second = self.pair(one, other)
        found = difference(first, second, **self.options)
        for name in (one, other):
            found = widened(found, self.seeds.get(name, ()), len(first), found.standard_error, self.options["confidence"])
        return found

    def interval(self, name: str) -> Interval:
        metric = self.metrics[name]
        found = interval(metric, **self.options)
        error = (found.high - found.low) / 2 / 1.96
        return widened(found, self.seeds.get(name, ()), len(metric), error, self.options["confidence"])

    def decide(self, spent: dict[str, Cost], rule: Rule) -> Decision:
        """The decision rule over these figures."""
        names, first = list(self.metrics), next(iter(self.metrics.values()))
        tested = functools.cache(lambda one, other: no_difference(*self.pair(names[one], names[other]), resamples=self.options["resamples"], seed=self.options["seed"])[1])
        at = standing(self.metrics, self.seeds, lambda one, other: tested(min(one, other), max(one, other)), resamples=self.options["resamples"], seed=self.options["seed"])
        best = max((one.value for one in self.metrics.values()), key=lambda value: value if first.higher_is_better else -value)
        margin = margin_of(rule.margin, self.metric, best, first.higher_is_better)
        return decide(at, spent, margin=margin, volume=rule.volume, confidence=self.options["confidence"])

    def line(self, name: str, spent: Cost, rule: Rule) -> dict:
        """One line of the table."""
        result, found = self.by_name[name], self.interval(name)
        cost = costs(result.answers)
        line = {"name": name, "value": found.value, "low": found.low, "high": found.high, "seconds_per_answer": cost["seconds_per_answer"], "tokens": cost["tokens"]}
        return {**line, "cost_per_thousand": spent.per_thousand(rule.volume)}


def told(decision: Decision, spent: dict[str, Cost], rule: Rule, by_name: dict[str, Result], figures: Figures) -> dict:
    """The decision with its money and what would change it."""
    winner, best = decision.winner, decision.best
    gap = figures.difference(best, winner) if best != winner else None
    hosted = prices_of_hosted(rule, by_name)
    return {
        "winner": winner,
        "best": best,
        "margin": decision.margin,
        "volume": rule.volume,
        "currency": rule.prices.currency,
        "cost_per_thousand": spent[winner].per_thousand(rule.volume),
        "setup": spent[winner].setup,
        "behind": ends_of(gap) if gap else None,
        "proven": decision.proven,
        "rows_to_prove": rows_to_prove(decision, gap, len(by_name[winner].answers)),
        "surely_worse": decision.beaten,
        "cheaper_above": {name: volume for name in by_name if name not in decision.beaten and name != winner and (volume := break_even(spent[name], spent[winner])) is not None},
        "hosted": None if hosted is None else {**hosted, "break_even": break_even(spent[winner], Cost(0.0, hosted["per_thousand"] / 1000))},
    }


def prices_of_hosted(rule: Rule, by_name: dict[str, Result]) -> dict | None:
    """What the hosted model of the price table takes for 1,000 answers to the plain questions; None where nobody counted tokens."""
    asked = next((by_name[name] for name in ("base", "tuned") if name in by_name), None)
    if asked is None or not rule.prices.hosted or not costs(asked.answers)["tokens"]["input"]:
        return None
    return {"name": rule.prices.hosted["name"], "per_thousand": 1000 * rule.prices.hosted_answer(costs(asked.answers)["tokens"])}


def rows_to_prove(decision: Decision, gap: Difference | None, num_rows: int) -> int | None:
    """Test rows that would settle whether the winner is within the margin of the best; None where that is settled, or rows cannot settle it."""
    if decision.proven or gap is None or not gap.standard_error:
        return None
    distance = abs(gap.value - decision.margin)
    smallest = detectable(gap.standard_error)
    return rows_that_show(distance, shown=smallest, num_rows=num_rows) if distance > smallest / 100 else None


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
