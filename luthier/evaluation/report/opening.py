"""The first parts of a report: what became of the run, the verdict, and answers before and after beside the target."""
from collections.abc import Sequence

from luthier.evaluation.report import choice
from luthier.evaluation.report.document import Block, Code, Example, Examples, Notice, Prose, Section, Table, Tiles
from luthier.evaluation.report.escape import short
from luthier.evaluation.report.folder import RunFiles, inner, items, number, step_of, word
from luthier.evaluation.report.pair_panel import won
from luthier.evaluation.report.pictures import Bar, intervals
from luthier.evaluation.wording import LOWER_IS_BETTER, figure, metric_words, percent, seconds

SHOWN, WORST = 8, 5
RIGHT_OR_WRONG = {"macro_f1", "weighted_f1", "accuracy", "preference_accuracy"}
LONGEST_SHOWN = 700
"""Characters of a text shown in an example."""


# ---- failure ------------------------------------------------------------------------------------
def failure(run: RunFiles) -> Section | None:
    """What stopped the run, what is safe, and the one command that goes on; None for a run that is done."""
    status = word(run.facts.get("status"))
    if status in ("done", "") and run.facts:
        return None
    error = inner(run.facts, "error")
    cause = word(error.get("message")) or next((word(e.get("message")) for e in reversed(run.events) if e.get("kind") == "error"), "")
    phase = word(run.facts.get("phase"))
    what = {"stopped": "This run was stopped", "running": "This run has not ended", "created": "This run has not begun"}.get(status, "This run failed")
    when = f"; it is in the phase “{phase}”" if status == "running" else f" during the phase “{phase}”"
    blocks: list[Block] = [Prose(f"{what}{when if phase else ''}{f': {cause}' if cause else ''}".rstrip(".") + ".", "lead")]
    place = ":".join(word(error.get(key)) for key in ("file", "line", "column") if error.get(key) is not None)
    if error.get("code") or place:
        blocks.append(Prose(f"Code {word(error.get('code'))}{f' at {place}' if place else ''}. luthier explain {word(error.get('code'))} says more."))
    if error.get("hint"):
        blocks.append(Notice("warning", f"To mend it: {word(error['hint'])}"))
    blocks.append(Prose(saved(run)))
    command = f"luthier train --resume {run.name}" if run.checkpoints or status == "running" else word(run.facts.get("command")) or "luthier train"
    blocks.append(Code(command, "Continue with"))
    return Section("failure", "What happened", blocks)


def saved(run: RunFiles) -> str:
    """Which checkpoint is the last good one."""
    if not run.checkpoints:
        return "No checkpoint was written, so nothing is lost but the time: the run starts again from the beginning."
    last = run.checkpoints[-1]
    step = step_of(run.path / last)
    return f"The last good checkpoint is {last}: everything up to step {step:,} is kept."


# ---- verdict ------------------------------------------------------------------------------------
def verdict(run: RunFiles) -> Section | None:
    """The three sentences, the figures beside them, and who did how well."""
    values = run.verdict
    if not values:
        return None
    sentences = split_sentences(word(values.get("sentence")))
    blocks: list[Block] = [Prose(sentences[0], "lead"), *(Prose(sentence) for sentence in sentences[1:])]
    blocks.append(Tiles(tiles(run)))
    metric = word(values.get("metric"))
    lines = [line for line in items(values, "contestants") if isinstance(line, dict) and number(line.get("value")) is not None]
    if lines:
        blocks.append(standing(lines, metric, number(values.get("n")), sure(run)))
    others = inner(values, "paired_test", "others")
    if bars := [bar for name, other in others.items() if (bar := bar_of(name, inner(other, "difference")))]:
        blocks.append(differences(bars, metric))
    blocks += won(run)
    blocks += choice.blocks(run)
    if lines:
        blocks.append(price(run, lines, metric))
    return Section("verdict", "Verdict", blocks)


def split_sentences(text: str) -> list[str]:
    """A verdict's sentences; they end with a stop and a space, and no figure does."""
    parts = text.replace(". ", ".\n").split("\n")
    return [part for part in parts if part] or ["There is no verdict."]


def tiles(run: RunFiles) -> list[tuple[str, str, str]]:
    """The figures that a reader looks for."""
    values, metric = run.verdict, word(run.verdict.get("metric"))
    difference = inner(values, "difference")
    found = []
    if number(difference.get("value")) is not None:
        ends = f"{figure(number(difference.get('low')), metric, signed=True)} to {figure(number(difference.get('high')), metric, signed=True)}"
        found.append((f"against {word(values.get('against'))}", figure(number(difference["value"]), metric, signed=True), f"{metric_words(metric)}, {sure(run)} interval {ends}"))
    if number(values.get("n")) is not None:
        found.append(("test rows", f"{int(values['n']):,}", "the same for every contestant"))
    if number(values.get("minimum_detectable")) is not None:
        found.append(("smallest difference shown", figure(number(values["minimum_detectable"]), metric), "by a test set of this size, four times out of five"))
    if number(run.facts.get("seconds")) is not None:
        found.append(("whole run", seconds(number(run.facts["seconds"])), word(run.facts.get("method")) and f"{word(run.facts.get('method'))} on {model_name(run)}"))
    return found


def sure(run: RunFiles) -> str:
    """The confidence of the intervals, in words."""
    return percent(number(run.results.get("confidence")) or 0.95)


def model_name(run: RunFiles) -> str:
    """The base's name without the folders of this machine."""
    name = word(inner(run.facts, "model").get("name"))
    return name.rstrip("/").rsplit("/", 1)[-1] if name.startswith(("/", ".", "~")) or name.count("/") > 1 else name


def bar_of(name: str, values: dict, ours: bool = False) -> Bar | None:
    """A contestant's figure with its interval, where all three are numbers."""
    value, low, high = (number(values.get(key)) for key in ("value", "low", "high"))
    return None if value is None else Bar(name, value, value if low is None else low, value if high is None else high, ours)


def standing(lines: Sequence[dict], metric: str, count: float | None, confidence: str):
    """Everyone's figure, best first."""
    bars = [bar for line in lines if (bar := bar_of(word(line.get("name")), line, line.get("name") == "tuned"))]
    best, direction = bars[0], "lower is better" if metric in LOWER_IS_BETTER else "higher is better"
    sentence = f"{best.name} is first with {figure(best.value, metric)} ({direction}); lines are {confidence} intervals over the same {int(count or 0):,} rows."
    return intervals(f"{metric_words(metric)} of each contestant", sentence, bars, metric)


def differences(bars: Sequence[Bar], metric: str):
    """Tuned minus each other, paired: what separate intervals cannot show."""
    surely = [bar.name for bar in bars if bar.low > 0]
    below = [bar.name for bar in bars if bar.high < 0]
    parts = [f"surely better than {', '.join(surely)}"] * bool(surely) + [f"surely worse than {', '.join(below)}"] * bool(below)
    rest = [bar.name for bar in bars if bar.low <= 0 <= bar.high]
    parts += [f"not told apart from {', '.join(rest)}"] * bool(rest)
    sentence = f"Row by row, tuned is {'; '.join(parts)}. Right of zero means that tuned is better."
    return intervals("tuned minus each other contestant", sentence, bars, metric, zero=True, signed=True)


def price(run: RunFiles, lines: Sequence[dict], metric: str) -> Table:
    """What an answer costs, by contestant."""
    made = inner(run.results, "contestants")
    cells = []
    for line in lines:
        name, tokens = word(line.get("name")), inner(line, "tokens")
        more = inner(made, name)
        interval = f"{figure(number(line.get('low')), metric)} to {figure(number(line.get('high')), metric)}"
        cells.append(
            [name, figure(number(line["value"]), metric), interval, seconds(number(line.get("seconds_per_answer"))), seconds(number(more.get("seconds_p95")))]
            + [f"{number(tokens.get(side)) or 0:,.0f}" for side in ("input", "output")]
            + [word(more.get("note"))]
        )
    head = ["contestant", metric_words(metric), f"{sure(run)} interval", "per answer", "95th percentile", "tokens in", "tokens out", "how it was made"]
    return Table(head, cells, frozenset({1, 2, 3, 4, 5, 6}), "Figures and what an answer costs")


# ---- before, after, target ----------------------------------------------------------------------
def examples(run: RunFiles) -> Section | None:
    """Eight rows spread over the test set, and the five that the tuned model did worst."""
    after = run.evaluated("tuned")
    if not after or not any(row.get("target") for row in after):
        return None
    before_name, before = the_other(run)
    by_row = {number(row.get("row")): row for row in before}
    metric = word(run.verdict.get("metric")) or word(run.results.get("headline"))
    labels = metric in RIGHT_OR_WRONG
    pairs = [(row, by_row.get(number(row.get("row")))) for row in after]

    def shown(chosen: Sequence[tuple[dict, dict | None]]) -> list[Example]:
        return [example(row, other, before_name, metric, labels) for row, other in chosen]

    spread = [pairs[index * len(pairs) // min(SHOWN, len(pairs))] for index in range(min(SHOWN, len(pairs)))]
    worst = sorted(pairs, key=lambda pair: badness(pair[0], metric))[:WORST]
    blocks: list[Block] = [Prose(tally(pairs, before_name, metric))] if before_name else []
    blocks.append(Examples(f"{len(spread)} rows spread over the test set", shown(spread), labels))
    blocks.append(Examples(f"The {len(worst)} worst answers of tuned", shown(worst), labels))
    return Section("examples", "Before, after, target", blocks)


def the_other(run: RunFiles) -> tuple[str, list[dict]]:
    """Who stands for before: the base, else the best other."""
    for name in ("base", word(run.verdict.get("against")), "few_shot", "majority"):
        if name and name != "tuned" and (rows := run.evaluated(name)):
            return name, rows
    return "", []


def badness(row: dict, metric: str) -> tuple:
    """Sort key: worst first; among wrong labels the surest, among others the least likely reference."""
    score = number(row.get("score"))
    score = 0.0 if score is None else score
    tokens = number(row.get("learned_tokens")) or 1.0
    nats = (number(row.get("nll")) or 0.0) / tokens
    return (-score if metric in LOWER_IS_BETTER else score, -nats, -(number(row.get("confidence")) or 0.0), number(row.get("row")) or 0)


def tally(pairs: Sequence[tuple[dict, dict | None]], before_name: str, metric: str) -> str:
    """On how many rows tuned did better, as well, or worse."""
    sign = -1 if metric in LOWER_IS_BETTER else 1
    gains = [sign * ((number(row.get("score")) or 0.0) - (number(other.get("score")) or 0.0)) for row, other in pairs if other]
    better, worse = sum(gain > 1e-9 for gain in gains), sum(gain < -1e-9 for gain in gains)
    return f"Against {before_name}, tuned does better on {better:,} of these {len(gains):,} rows, as well on {len(gains) - better - worse:,}, and worse on {worse:,}."


def example(row: dict, other: dict | None, before_name: str, metric: str, labels: bool) -> Example:
    """One row with both answers."""
    file, line = word(row.get("file")), word(row.get("line"))
    place = f"{file.rsplit('/', 1)[-1]}{f':{line}' if line else ''}" if file else f"test row {word(row.get('row'))}"
    right, was_right = (row.get("answer") == row.get("target"), None if other is None else other.get("answer") == other.get("target")) if labels else (None, None)
    confidence = number(row.get("confidence"))
    sure = f"{percent(round(confidence, 3))} sure" if confidence is not None else ""
    suspect = right is False and confidence is not None and confidence > 0.9
    return Example(
        row=place,
        question=short(word(row.get("question")), LONGEST_SHOWN),
        target=short(word(row.get("target")), LONGEST_SHOWN),
        before=None if other is None else short(word(other.get("answer")), LONGEST_SHOWN),
        after=short(word(row.get("answer")), LONGEST_SHOWN),
        before_name=before_name,
        before_score="" if labels or other is None else f"{metric_words(metric)} {figure(number(other.get('score')), metric)}",
        after_score=sure if labels else f"{metric_words(metric)} {figure(number(row.get('score')), metric)}",
        right=right,
        before_right=was_right,
        remark="The model is sure and disagrees: look whether the label is right." if suspect else "",
    )
