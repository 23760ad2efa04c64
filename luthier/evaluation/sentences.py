"""The verdict in three sentences: better or not; by how much, how surely and on which rows; and what to do next."""
from dataclasses import dataclass

from luthier.evaluation.wording import figure, metric_words, p_words, percent, rows, seconds

FEW_ROWS = 50
"""Below so many test rows even a clear difference is a hint."""
MATTERS = 0.05
"""A difference that people would care about, as a share of the figure: a test set that cannot exclude it is too small."""


@dataclass(frozen=True)
class Case:
    """What the sentences are about."""

    values: dict
    """The verdict's figures."""
    tuned: str
    """Name of the tuned contestant."""
    better: bool
    """Whether it is surely better than the best other."""
    confidence: float
    """Of the intervals."""
    times_evaluated: int
    """How often these rows have been looked at, this time included."""
    notice: str
    """One line for the advice; empty for none."""
    lifted: bool
    """Whether tuning is better than the base it started from."""
    unchanged: bool
    """Whether it answers exactly as the base does."""

    def contestant(self, name: str) -> dict:
        """The line of one contestant."""
        return next(line for line in self.values["contestants"] if line["name"] == name)

    def figure(self, name: str) -> str:
        """One contestant's figure, written out."""
        return figure(self.contestant(name)["value"], self.values["metric"])


def sentence(case: Case) -> str:
    """Three sentences."""
    ending = f"; {case.notice.strip().rstrip('.')}" if case.notice.strip() else ""
    return f"{outcome(case)}. {size(case)}. {advice(case)}{ending}."


def outcome(case: Case) -> str:
    """Better or not."""
    words, other = metric_words(case.values["metric"]), case.values["against"]
    own = f"{case.tuned} reaches {words} {case.figure(case.tuned)}"
    if other is None:
        return f"Whether tuning helped is not known: {own}, and nobody else answered the same rows"
    if case.better:
        return f"Tuning helped: {own}, and {other}, the best of the others, {case.figure(other)}"
    if case.unchanged:
        return f"Tuning changed nothing: {case.tuned} answers every row exactly as base does, and {best_of(case)}"
    if case.values["difference"]["high"] < 0:
        return f"Tuning did not help: {own}, and {other} is better with {case.figure(other)}"
    return f"Tuning is not shown to help: {own}, and {other}, the best of the others, {case.figure(other)}"


def best_of(case: Case) -> str:
    """The best other contestant and its figure."""
    return f"{case.values['against']} has the best {metric_words(case.values['metric'])}, {case.figure(case.values['against'])}"


def size(case: Case) -> str:
    """By how much, how surely, and on which rows."""
    return f"{amount(case)} on {which_rows(case)}"


def amount(case: Case) -> str:
    metric, difference, test = case.values["metric"], case.values["difference"], case.values["paired_test"]
    if difference is None:
        line = case.contestant(case.tuned)
        ends = f"{figure(line['low'], metric)} to {figure(line['high'], metric)}"
        return f"Its {percent(case.confidence)} interval is {ends}"
    ends = f"{figure(difference['low'], metric, signed=True)} to {figure(difference['high'], metric, signed=True)}"
    direction = "" if case.values["higher_is_better"] else ", positive is better"
    how = f"{percent(case.confidence)} interval {ends}{direction}; {p_words(test['p_value'])}, {test['name']}"
    return f"The difference is {figure(difference['value'], metric, signed=True)} ({how})"


def which_rows(case: Case) -> str:
    """How many, and whether they still deserve to be called unseen."""
    count = rows(case.values["n"], "test row")
    if case.times_evaluated <= 1:
        return f"{count} that nothing else has seen, evaluated for the first time"
    times = "twice" if case.times_evaluated == 2 else f"{case.times_evaluated} times"
    return (
        f"{count} that training never saw, but which have now been evaluated {times}: "
        "if earlier figures chose this model, this one is too kind"
    )


def advice(case: Case) -> str:
    """What to do next."""
    values, other = case.values, case.values["against"]
    if other is None:
        return "Let at least the base answer the same rows: evaluation.contestants=[base,tuned]"
    if case.better:
        few = f"; {rows(values['n'])} are few, so confirm it on more" if values["n"] < FEW_ROWS else ""
        return f"Use {case.tuned}{slower(case)}, and read its worst answers first (luthier examples last --worst 5){few}"
    if case.unchanged:
        return f"Do not use it: raise training.learning_rate or training.epochs and train again, or use {other}"
    if values["difference"]["high"] < 0:
        lift = f"; tuning did lift base from {case.figure('base')}, so a larger base or more rows may get there" if case.lifted else ""
        return f"Do not fine-tune this base for this: use {other}{lift}"
    return f"Do not fine-tune on this evidence: use {other}{too_small(case)}"


def slower(case: Case) -> str:
    """The price of the better answer, where it is one."""
    own, other = (case.contestant(name)["seconds_per_answer"] for name in (case.tuned, case.values["against"]))
    if own < 2 * other or own < 0.01:
        return ""
    return f" if {seconds(own)} an answer is acceptable ({case.values['against']} takes {seconds(other)})"


def too_small(case: Case) -> str:
    """Whether more test rows could change the answer, and how many would."""
    values, metric = case.values, case.values["metric"]
    matters = MATTERS * max(abs(case.contestant(name)["value"]) for name in (case.tuned, values["against"]))
    smallest = values["minimum_detectable"]
    if not matters:
        return ": neither of the two gets anything right"
    if values["difference"]["high"] <= matters or smallest <= matters:
        return "; a difference worth having would have shown"
    needed = 10 * round(values["n"] * (smallest / matters) ** 2 / 10)
    return (
        f", for this test set is too small to tell: it shows differences of {figure(smallest, metric)} or more, and about {needed:,} "
        f"test rows would show {figure(matters, metric)}"
    )
