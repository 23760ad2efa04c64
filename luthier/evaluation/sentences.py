"""The verdict in sentences: better or not; by how much, how surely and on which rows; what to do next; its cost; what would change it."""
from dataclasses import dataclass

from luthier.evaluation.wording import figure, metric_words, p_words, percent, rows, seconds

FEW_ROWS = 50
"""Below so many test rows even a clear difference is a hint."""
MATTERS = 0.05
"""A difference that people would care about, as a share of the figure: a test set that cannot exclude it is too small."""
MOST_ANSWERS = 1e9
"""More answers than that change nobody's mind."""


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
    beside: tuple[str, ...] = ()
    """Sentences about what else was measured."""
    hacked: bool = False
    """Whether the figure rose while what it stands for fell."""

    def contestant(self, name: str) -> dict:
        """The line of one contestant."""
        return next(line for line in self.values["contestants"] if line["name"] == name)

    def figure(self, name: str) -> str:
        """One contestant's figure, written out."""
        return figure(self.contestant(name)["value"], self.values["metric"])


def sentence(case: Case) -> str:
    """Three sentences, and two more on the price of the advice where somebody else answered."""
    ending = f"; {case.notice.strip().rstrip('.')}" if case.notice.strip() else ""
    price = [cost(case), change(case)] if case.values["decision"] and not case.hacked else []
    parts = [outcome(case), size(case), *case.beside, *price, advice(case) + ending]
    return ". ".join(part for part in parts if part) + "."


def outcome(case: Case) -> str:
    """Better or not."""
    words, other = metric_words(case.values["metric"]), case.values["against"]
    own = f"{case.tuned} reaches {words} {case.figure(case.tuned)}"
    if other is None:
        return f"Whether tuning helped is not known: {own}, and nobody else answered the same rows"
    if case.hacked:
        return f"The {words} rose and what it stands for fell: {own}, and {other}, the best of the others, {case.figure(other)}"
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
    if case.hacked:
        return f"Do not use {case.tuned}: its {metric_words(values['metric'])} no longer measures what it should"
    if other is None:
        return "Let at least the base answer the same rows: evaluation.contestants=[base,tuned]"
    winner = values["winner"]
    if case.better and winner == case.tuned:
        few = f"; {rows(values['n'])} are few, so confirm it on more" if values["n"] < FEW_ROWS else ""
        return f"Use {case.tuned}{slower(case)}, and read its worst answers first (luthier examples last --worst 5){few}"
    if winner not in (case.tuned, other):
        return f"{dont(case)}: use {winner}{cheaper(case)}{too_small(case)}"
    if case.better:
        return f"{dont(case)}: use {winner}{cheaper(case)}"
    if winner == case.tuned:
        return f"Use {case.tuned}: it costs less than {other}, and is not shown to be worse"
    if case.unchanged:
        return f"Do not use it: raise training.learning_rate or training.epochs and train again, or use {other}"
    if values["difference"]["high"] < 0:
        lift = f"; tuning did lift base from {case.figure('base')}, so a larger base or more rows may get there" if case.lifted else ""
        return f"Do not fine-tune this base for this: use {other}{lift}"
    return f"Do not fine-tune on this evidence: use {other}{too_small(case)}"


def dont(case: Case) -> str:
    """How the advice starts where something cheaper than the best wins."""
    return f"Use more than {case.tuned} alone" if case.values["winner"].startswith(case.tuned) else "Do not fine-tune for this"


def cheaper(case: Case) -> str:
    """Why the winner need not be the best."""
    decision = case.values["decision"]
    if decision["winner"] == decision["best"]:
        return ", which nothing cheaper comes near"
    margin = figure(decision["margin"], case.values["metric"])
    how = "is surely within" if decision["proven"] else "is not shown to be worse by more than"
    return f", which costs less than {decision['best']} and {how} {margin}"


def cost(case: Case) -> str:
    """What the winner's answers cost, and from how many on that beats a hosted model."""
    decision = case.values["decision"]
    spent = f"{decision['winner']} costs {money(decision['cost_per_thousand'], decision['currency'])} per 1,000 answers if {decision['volume']:,} are asked"
    hosted = decision["hosted"]
    if not hosted:
        return spent
    price = f"{hosted['name']} at {money(hosted['per_thousand'], decision['currency'])}"
    if hosted["break_even"] is None:
        return f"{spent}, and never becomes cheaper than {price}"
    if hosted["break_even"] < 1:
        return f"{spent}, from the first answer less than {price}"
    return f"{spent}, and becomes cheaper than {price} above {rounded(hosted['break_even'])} answers"


def change(case: Case) -> str:
    """What would change the answer."""
    decision, metric = case.values["decision"], case.values["metric"]
    reasons = []
    if decision["rows_to_prove"]:
        reasons.append(f"about {rounded(decision['rows_to_prove'])} test rows, which would show whether {decision['winner']} is within {figure(decision['margin'], metric)} of {decision['best']}")
    reachable = {name: volume for name, volume in decision["cheaper_above"].items() if volume <= MOST_ANSWERS}
    reasons += [f"more than {rounded(volume)} answers, from where {name} costs less" for name, volume in sorted(reachable.items(), key=lambda item: item[1])[:1]]
    if decision["best"] == decision["winner"]:
        rivals = [line for line in case.values["contestants"] if line["name"] in decision["surely_worse"] and line["cost_per_thousand"] < decision["cost_per_thousand"]]
        gaps = [abs(case.contestant(decision["best"])["value"] - line["value"]) for line in rivals]
        if gaps:
            near = rivals[gaps.index(min(gaps))]["name"]
            reasons.append(f"a margin above {figure(min(gaps), metric)}, with which {near} would do")
    elif decision["behind"] and decision["behind"]["value"] > 0 and set(nearest := figure(max(0.0, decision["behind"]["low"]), metric)) & set("123456789"):
        reasons.append(f"a margin below {nearest}")
    return f"This would change the answer: {'; or '.join(reasons)}" if reasons else ""


def money(amount: float, currency: str) -> str:
    """An amount with the digits that its size deserves."""
    digits = 2 if amount >= 0.1 or amount == 0 else 4
    return f"{amount:,.{digits}f} {currency}" if amount >= 5e-5 or amount == 0 else f"less than 0.0001 {currency}"


def rounded(count: float) -> str:
    """A count with two digits that matter: nobody should believe more of them."""
    count = int(float(f"{count:.2g}"))
    return f"{count:,}"


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
