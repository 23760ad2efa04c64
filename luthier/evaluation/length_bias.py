"""Whether a model of preferences judges by length: said only where the two kinds of pairs surely differ."""
from luthier.evaluation.statistics import interval
from luthier.metrics.metric import Metric
from luthier.metrics.preferences import shares


def length_bias(metric: Metric, **options) -> dict:
    """`{value, low, high, longer, shorter, sentence}`; the sentence is empty where the interval holds 0."""
    ends, parts = interval(metric, **options), shares(metric)
    found = {"value": ends.value, "low": ends.low, "high": ends.high, **parts}
    if not (ends.low > 0 or ends.high < 0):
        return {**found, "sentence": ""}
    liked = "longer" if ends.value > 0 else "shorter"
    said = (
        f"It leans on length, towards the {liked} answer: right on {parts['longer']['value']:.0%} of the {parts['longer']['n']:,} pairs whose better answer is longer, and on "
        f"{parts['shorter']['value']:.0%} of the {parts['shorter']['n']:,} whose better answer is shorter"
    )
    return {**found, "sentence": said}
