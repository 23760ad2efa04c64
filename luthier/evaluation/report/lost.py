"""What was lost: every probe's figure before and after with its red line, and the way between base and tuned weights."""
from luthier.evaluation.report.document import Block, Notice, Picture, Prose, Section, Table
from luthier.evaluation.report.folder import RunFiles, inner, items, number, word
from luthier.evaluation.report.pictures import Bar, cloud, intervals
from luthier.evaluation.wording import figure, metric_words

NOT_SHARES = {"exposure", "voice"}
"""Figures with a unit of their own, which one axis cannot hold beside shares."""


def lost(run: RunFiles) -> Section | None:
    """None where nothing was examined."""
    beside = inner(run.verdict, "forgetting")
    measured = {**({"forgetting": {**beside, "sentence": word(beside.get("sentence")).removeprefix("Forgetting: ")}} if beside else {}), **run.probes}
    found = {name: one for name, one in measured.items() if isinstance(one, dict) and number(one.get("value")) is not None}
    if not found and not run.sweep:
        return None
    blocks: list[Block] = []
    if found:
        crossed = [name for name, one in found.items() if one.get("crossed")]
        blocks += [Notice("bad", f"{label(name)}: {word(found[name].get('sentence'))}") for name in crossed]
        if not crossed:
            blocks.append(Prose("No figure lies surely above its red line."))
        bars = [Bar(label(name), float(one["value"]), ends(one, "low"), ends(one, "high"), bool(one.get("crossed"))) for name, one in found.items() if name not in NOT_SHARES]
        if bars:
            blocks.append(intervals("How much worse it got", "Right of zero is worse than before; filled diamonds lie surely above their red line.", bars, "", zero=True, signed=True))
        blocks.append(Table(
            ["figure", "before", "after", "worse by", "95 % interval", "red line", "n", "what it says"],
            [
                [label(name), number_of(one, "before"), number_of(one, "after"), number_of(one, "value"), f"{number_of(one, 'low')} to {number_of(one, 'high')}",
                 number_of(one, "red_line"), f"{int(number(one.get('n')) or 0):,}", word(one.get("sentence"))]
                for name, one in found.items()
            ],
            frozenset({1, 2, 3, 4, 5, 6}), "Every figure",
        ))
    if points := [point for point in items(run.sweep, "points") if isinstance(point, dict)]:
        blocks.append(between(run, points))
    return Section("lost", "What was lost", blocks)


def label(name: str) -> str:
    return name.replace("_", " ")


def ends(one: dict, key: str) -> float:
    value = number(one.get(key))
    return float(one["value"]) if value is None else value


def number_of(one: dict, key: str) -> str:
    return figure(number(one.get(key)))


def between(run: RunFiles, points: list[dict]) -> Picture:
    """Validation score over forgetting for several shares of the way from base to tuned."""
    metric = word(run.verdict.get("metric"))
    whole = [(number(point.get("forgetting")) or 0.0, number(point.get("score")) or 0.0, f"{100 * (number(point.get('share')) or 0):.0f} % of the way") for point in points]
    share = number(run.sweep.get("best")) or 0.0
    sentence = f"At {100 * share:.0f} % of the way from base to tuned the most is gained for what is forgotten, on validation rows."
    shifted = min(0.0, min(x for x, _, _ in whole))
    return cloud("Between base and tuned", sentence, [(100 * (x - shifted), y, hover) for x, y, hover in whole], "bits that general text costs more, %", metric_words(metric), [(100 * (x - shifted), y) for x, y, _ in whole])
