"""The report of advice: what to do, who did how well without training, the pilots, and the learning curve through them."""
from luthier.evaluation.report.document import Block, Prose, Section, Table
from luthier.evaluation.report.folder import RunFiles, inner, items, number, word
from luthier.evaluation.report.forecast_picture import learning_curve
from luthier.evaluation.wording import figure, metric_words, seconds


def advice(run: RunFiles) -> Section | None:
    """None for a run that is no advice."""
    found = run.advice
    metric = word(found.get("metric"))
    if not metric:
        return None
    blocks: list[Block] = [Prose(f"{word(found.get('sentence'))}.", "lead")]
    if why := word(inner(found, "base").get("why")):
        blocks.append(Prose(f"Base of the pilots: {word(inner(found, 'base').get('name'))}. Of the catalogue: {why}.", "note"))
    expected = inner(found, "forecast")
    told = {"pilots": found.get("pilots"), "rows": expected.get("rows"), "expected": expected.get("value"), "low": expected.get("low"), "high": expected.get("high")}
    if picture := learning_curve(told, metric):
        blocks.append(picture)
    untrained = [(name, number(value)) for name, value in inner(found, "untrained").items()]
    lines = [[name, "", figure(value, metric), "", ""] for name, value in untrained if value is not None]
    for one in (one for one in items(found, "pilots") if isinstance(one, dict)):
        interval = f"{figure(number(one.get('low')), metric)} to {figure(number(one.get('high')), metric)}"
        lines.append(["pilot", f"{number(one.get('rows')) or 0:,.0f}", figure(number(one.get("value")), metric), interval, seconds(number(one.get("seconds")))])
    blocks.append(Table(["who", "training rows", metric_words(metric), "95 % interval", "time"], lines, frozenset({1, 2, 3, 4}), "On validation rows; test rows stay unseen"))
    return Section("advice", "Advice", blocks)
