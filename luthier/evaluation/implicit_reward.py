"""The other figure about pairs: does learning move a model towards the chosen answer more than towards the rejected one?

The implicit reward of an answer is log p(answer) under the tuned model minus that under the starting model, summed over its tokens (Rafailov et al. 2023,
arXiv:2305.18290); it is what DPO and KTO learn, and what other tools show as `rewards/accuracies`. The share of pairs in which it is higher for the chosen
answer is 0.5 before the first step. The share in which the tuned model finds the chosen answer likelier (`preference_accuracy`) is another figure: it
stays where the starting model had it until learning outweighs all that this model already thought of the two texts.
"""
from collections.abc import Mapping, Sequence

from luthier.evaluation.results import Result
from luthier.evaluation.statistics import Interval, clustered, difference, interval
from luthier.metrics.metric import mean
from luthier.tasks.answers import Answer

COIN = 0.5
"""What a model that has learned nothing gets: every pair is a tie."""


def shares(before: Sequence[Answer], after: Sequence[Answer]) -> list[float] | None:
    """1 for each pair in which learning favours the chosen answer, a half for a tie; None where likelihoods of both sides are not known."""
    if any(None in (answer.nll, answer.rejected_nll) for answer in (*before, *after)):
        return None
    gains = [((old.nll - new.nll), (old.rejected_nll - new.rejected_nll)) for old, new in zip(before, after, strict=True)]
    return [1.0 if chosen > rejected else 0.5 if chosen == rejected else 0.0 for chosen, rejected in gains]


def implicit_reward(results: Mapping[str, Result], groups: Sequence[object] = (), **options) -> dict | None:
    """`{value, low, high, n, over_length, sentence}` of `base` and `tuned`; `over_length` is the paired difference to the rule by length, where it was asked.
    `groups`: what each pair shares with others. None where answers are not pairs."""
    found = shares(results["base"].answers, results["tuned"].answers)
    if found is None:
        return None
    metric, rule, over = mean("preference_accuracy", found), results.get("length"), None
    if any(groups):
        metric = clustered(metric, groups)
    ends = interval(metric, **options)
    if rule is not None:
        by_length = rule.metrics["preference_accuracy"]
        apart = difference(metric, clustered(by_length, groups) if any(groups) else by_length, **options)
        over = {"value": apart.value, "low": apart.low, "high": apart.high}
    return {"value": ends.value, "low": ends.low, "high": ends.high, "n": len(found), "over_length": over, "sentence": sentence(ends, len(found))}


def sentence(ends: Interval, pairs: int) -> str:
    """What learning did to unseen pairs, in words."""
    which = "the chosen answer gained more" if ends.low > COIN else "the rejected answer gained more" if ends.high < COIN else "which answer gained more cannot be told from chance"
    return f"Measured as the difference to the starting model (the implicit reward), {which}: right on {ends.value:.1%} [{ends.low:.1%}, {ends.high:.1%}] of {pairs:,} unseen pairs, where no learning is right on 50 %"
