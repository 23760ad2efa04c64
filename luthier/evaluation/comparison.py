"""Two runs side by side: what differs in their recipes, and whether one is better on the rows that both answered."""
from collections.abc import Mapping, Sequence

import numpy as np

from luthier.evaluation.seeds import mean_of, widened
from luthier.evaluation.statistics import Difference, detectable, difference
from luthier.metrics.metric import Metric


def recipes(first: Mapping, second: Mapping) -> list[dict]:
    """`[{key, first, second}]` of the dotted keys whose values differ."""
    return [{"key": key, "first": first.get(key), "second": second.get(key)} for key in sorted({*first, *second}) if first.get(key) != second.get(key)]


def rows_both(first: Sequence[dict], second: Sequence[dict]) -> list[tuple[int, int]]:
    """Positions of the rows that both answered: those with the same question and target, each used once."""
    places: dict[tuple, list[int]] = {}
    for at, row in enumerate(second):
        places.setdefault((row["question"], row["target"]), []).append(at)
    pairs = []
    for at, row in enumerate(first):
        if found := places.get((row["question"], row["target"])):
            pairs.append((at, found.pop(0)))
    return pairs


def over_seeds(first: Sequence[Metric], second: Sequence[Metric], **options) -> tuple[Metric, Metric, Difference]:
    """Both figures as means over their seeds, with as many parts each, and their difference (second minus first) with the spread between seeds in it."""
    one, other = mean_of([*first] * len(second)), mean_of([*second] * len(first))
    found = difference(other, one, **options)
    for each in (first, second):
        found = widened(found, [metric.value for metric in each], len(one), found.standard_error, options.get("confidence", 0.95))
    return one, other, found


def paired(firsts: Sequence[Metric], seconds: Sequence[Metric], rows: Sequence[dict], others: Sequence[dict], *, most: int = 5, **options) -> dict:
    """`{metric, n, first, second, seeds, difference, paired_test, minimum_detectable, won, lost, tied, examples}`; difference = second minus first, positive
    means that the second run is better. One metric a seed."""
    first, second, found = over_seeds(firsts, seconds, **options)
    sign = 1 if first.higher_is_better else -1
    gain_N = sign * (second.per_row - first.per_row)
    order = np.argsort(-np.abs(gain_N), kind="stable")
    shown = [{"question": rows[at]["question"], "target": rows[at]["target"], "first": rows[at]["answer"], "second": others[at]["answer"], "gain": float(gain_N[at])} for at in order if abs(gain_N[at]) > 1e-9]
    return {
        "metric": first.name, "n": len(first), "first": first.value, "second": second.value, "seeds": [len(firsts), len(seconds)],
        "difference": {"value": found.value, "low": found.low, "high": found.high}, "paired_test": {"name": found.test, "p_value": found.p_value},
        "minimum_detectable": detectable(found.standard_error), "won": int((gain_N > 1e-9).sum()), "lost": int((gain_N < -1e-9).sum()),
        "tied": int((np.abs(gain_N) <= 1e-9).sum()), "examples": shown[:most],
    }
