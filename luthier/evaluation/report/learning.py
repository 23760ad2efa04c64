"""The middle of a report: how the loss went, and the panel of the task."""
from collections import Counter
from collections.abc import Sequence

import numpy as np

from luthier.evaluation.report.document import Block, Notice, Section, Table
from luthier.evaluation.report.escape import short
from luthier.evaluation.report.folder import RunFiles, inner, number, word
from luthier.evaluation.report.label_panel import reliability, set_blocks
from luthier.evaluation.report.number_panel import number_blocks
from luthier.evaluation.report.opening import RIGHT_OR_WRONG
from luthier.evaluation.report.pair_panel import pair_blocks
from luthier.evaluation.report.pictures import Line, cloud, confusion_matrix, curves, smoothed
from luthier.evaluation.report.span_panel import span_blocks
from luthier.evaluation.wording import LOWER_IS_BETTER, figure, metric_words
from luthier.metrics.classification import confusion

POLICY = "The loss of learning from rewards goes up and down around what its answers earned and is no measure of quality; the reward is, and is drawn below."
MOST_LABELS = 12
"""Labels of a confusion matrix that can still be read."""


def points(rows: Sequence[dict], key: str) -> list[tuple[float, float]]:
    """(step, value) wherever both are finite."""
    found = [(number(row.get("step")), number(row.get(key))) for row in rows]
    return [(step, value) for step, value in found if step is not None and value is not None]


def headline_of(run: RunFiles) -> str:
    """The figure that decides."""
    return word(run.verdict.get("metric")) or word(run.results.get("headline"))


# ---- curves -------------------------------------------------------------------------------------
def learning(run: RunFiles) -> Section | None:
    """Loss of training and validation, the task's figure on validation, and the learning rate with the gradient's norm."""
    train, validation = points(run.train, "loss"), points(run.validation, "loss")
    if not train and not validation:
        return None
    if headline_of(run) == "reward":  # such a loss says nothing about quality; its validation side is the reward turned round
        return Section("learning", "How it learned", [curves("Loss of each update", POLICY, [Line("training", train, "train", smooth=True)], epochs=epoch_ticks(run.train)), *pace(run, ())])
    epochs = epoch_ticks(run.train)
    looked = [point for point in validation if point[0] > 0]
    baseline = next((value for step, value in validation if step == 0), None)
    best = min(looked, key=lambda point: point[1]) if looked else None
    lines = [Line("training", train, "train", smooth=True), Line("validation", looked, "validation", dots=True)]
    blocks: list[Block] = []
    if train or looked:
        blocks.append(curves("Loss, in nats", read_losses(train, looked, baseline, best), lines, best=best, baseline=baseline, epochs=epochs))
    if lost := sum(1 for row in run.train if row.get("finite") is False or number(row.get("loss")) is None):
        what = "1 step was not finite; its update was left out" if lost == 1 else f"{lost:,} steps were not finite; their updates were left out"
        blocks.append(Notice("bad", f"{what}, and the line has a gap there."))
    blocks += filter(None, [task_curve(run, best, epochs), *pace(run, epochs)])
    return Section("learning", "How it learned", blocks)


def epoch_ticks(rows: Sequence[dict]) -> list[tuple[float, str]]:
    """Where each epoch ends, by the first step that reaches it; at most eight."""
    found, seen = [], 0
    for row in rows:
        step, epoch = number(row.get("step")), number(row.get("epoch"))
        if step is not None and epoch is not None and epoch >= seen + 1 - 1e-6:
            seen = int(epoch + 1e-6)
            found.append((step, f"epoch {seen}"))
    stride = -(-len(found) // 5)
    return found[stride - 1 :: stride] if found else []


def read_losses(train: Sequence, looked: Sequence, baseline: float | None, best: tuple[float, float] | None) -> str:
    """What the two lines say, in words."""
    said = []
    if train:
        averages = smoothed([value for _, value in train])
        moved = "fell" if averages[-1] < 0.98 * averages[0] else "rose" if averages[-1] > 1.02 * averages[0] else "hardly moved,"
        said.append(f"Training loss {moved} from {figure(averages[0])} to {figure(averages[-1])} over {train[-1][0]:,.0f} steps")
    if best is None:
        return "; ".join([*said, "nothing was held back to validate on, so nothing shows when to stop"]) + "."
    against = f", {figure(baseline)} before training" if baseline is not None else ""
    said.append(f"validation was lowest at step {best[0]:,.0f} with {figure(best[1])}{against}, and that step is kept")
    first = "; ".join(said)
    return ". ".join([first[0].upper() + first[1:], *after_the_best(train, looked, best)]) + "."


def after_the_best(train: Sequence, looked: Sequence, best: tuple[float, float]) -> list[str]:
    """What came after the best step."""
    last = looked[-1]
    if last[0] == best[0]:
        falling_still = len(looked) > 1 and last[1] < 0.995 * looked[-2][1]
        return ["It was still falling at the end, so more steps may help"] if falling_still else []
    later = [value for step, value in train if step > best[0]]
    earlier = [value for step, value in train if step <= best[0]]
    falling = later and earlier and np.mean(later) < np.mean(earlier[-max(1, len(later)) :])
    if last[1] > 1.01 * best[1] and falling:
        return [f"After it validation rose to {figure(last[1])} while training went on falling: overfitting since step {best[0]:,.0f}"]
    return [f"After it validation stayed about the same ({figure(last[1])} at the end)"]


def task_curve(run: RunFiles, best: tuple[float, float] | None, epochs):
    """The headline figure on validation rows over the steps, where it was looked at more than once."""
    headline = headline_of(run)
    rows = [{"step": row.get("step"), "value": inner(row, "metrics").get(headline)} for row in run.validation]
    seen = points(rows, "value")
    after = [point for point in seen if point[0] > 0]
    if len(after) < 2:
        return None
    start = next((value for step, value in seen if step == 0), None)
    top = (min if headline in LOWER_IS_BETTER else max)(after, key=lambda point: point[1])
    kept = next((point for point in after if best and point[0] == best[0]), None)
    words = metric_words(headline)
    before = f" from {figure(start, headline)} before training" if start is not None else ""
    sentence = f"{words} on validation rows went{before} to {figure(after[-1][1], headline)}; its best look was step {top[0]:,.0f} with {figure(top[1], headline)}."
    return curves(f"{words} on validation rows", sentence, [Line(words, after, "validation", dots=True)], best=kept, baseline=start, epochs=epochs)


def pace(run: RunFiles, epochs) -> list:
    """Learning rate and gradient norm: the two that tell an unstable run."""
    found = []
    rates = points(run.train, "learning_rate")
    if len(rates) > 2:
        top = max(rates, key=lambda point: point[1])
        sentence = f"The learning rate rose to {top[1]:.3g} at step {top[0]:,.0f} and ended at {rates[-1][1]:.3g}."
        found.append(curves("Learning rate", sentence, [Line("learning rate", rates, "rate")], epochs=epochs))
    norms = points(run.train, "gradient_norm") or points(run.train, "grad_norm")
    if len(norms) > 2:
        values = np.array([value for _, value in norms])
        verdict = "above 100, which is too much" if values.max() > 100 else "within what is healthy (0.01 to 100)" if np.median(values) >= 0.01 else "almost nothing: little is being learned"
        sentence = f"The gradient's norm had a median of {np.median(values):.3g} and a highest of {values.max():.3g}, {verdict}."
        found.append(curves("Gradient norm, before clipping", sentence, [Line("gradient norm", norms, "train", smooth=True)], epochs=epochs))
    return found


# ---- the task's panel ---------------------------------------------------------------------------
def panel(run: RunFiles) -> Section | None:
    """Confusion for labels; length and score for written answers."""
    rows = run.evaluated("tuned")
    metric = headline_of(run)
    if not rows:
        return None
    if any("wanted_spans" in row for row in rows):
        return Section("task", "Span by span", span_blocks(rows))
    if any("wanted_labels" in row for row in rows):
        return Section("task", "Label by label", set_blocks(rows))
    if metric == "preference_accuracy":
        return Section("task", "Pair by pair", pair_blocks(run, rows))
    if any("wanted_value" in row for row in rows):
        return Section("task", "Number by number", number_blocks(run, rows))
    if metric in RIGHT_OR_WRONG:
        return Section("task", "Label by label", [*label_blocks(rows), *reliability(run, rows)])
    if any(row.get("answer") for row in rows):
        return Section("task", "Length and score", text_blocks(rows, metric))
    return Section("task", "Text by text", [worst_texts(rows, metric)])


def label_blocks(rows: Sequence[dict]) -> list[Block]:
    """Confusion, most frequent mistakes, weakest labels, and whether confidence means anything."""
    targets, answers = [word(row.get("target")) for row in rows], [word(row.get("answer")) for row in rows]
    labels, counts_LL = confusion(targets, answers)
    wrong_L = counts_LL.sum(1) + counts_LL.sum(0) - 2 * counts_LL.diagonal()
    mistakes = Counter((target, answer) for target, answer in zip(targets, answers) if target != answer)
    blocks: list[Block] = []
    chosen = list(range(len(labels)))
    which = f"all {len(labels)} labels"
    if len(labels) > MOST_LABELS:
        chosen = sorted(np.argsort(-wrong_L, kind="stable")[:MOST_LABELS].tolist())
        which = f"the {MOST_LABELS} of {len(labels)} labels with most mistakes"
    errors = sum(mistakes.values())
    sentence = f"{errors:,} of {len(rows):,} test rows were answered with another label ({which}; lines are targets, columns answers, the framed diagonal is right)."
    if mistakes:
        (target, answer), times = mistakes.most_common(1)[0]
        sentence += f" Most often, {times:,} times, {short(target, 60)} was taken for {short(answer, 60)}."
    blocks.append(confusion_matrix("Confusion of tuned", sentence, [short(labels[i], 60) for i in chosen], counts_LL[np.ix_(chosen, chosen)]))
    if mistakes:
        lines = [[target, answer, f"{times:,}"] for (target, answer), times in mistakes.most_common(10)]
        blocks.append(Table(["target", "answered", "rows"], lines, frozenset({2}), "Most frequent mistakes"))
    blocks.append(weakest(labels, counts_LL))
    return blocks


def weakest(labels: Sequence[str], counts_LL: np.ndarray) -> Table:
    """Precision, recall and F1 of the labels with the lowest F1."""
    right_L, support_L, answered_L = counts_LL.diagonal(), counts_LL.sum(1), counts_LL.sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        f1_L = np.nan_to_num(2 * right_L / (support_L + answered_L))
        precision_L, recall_L = np.nan_to_num(right_L / answered_L), np.nan_to_num(right_L / support_L)
    order = [index for index in np.argsort(f1_L, kind="stable") if support_L[index]][:10]
    lines = [[labels[i], f"{support_L[i]:,}", *(f"{values[i]:.2f}" for values in (precision_L, recall_L, f1_L))] for i in order]
    title = "The ten weakest labels" if len(labels) > 10 else "Every label, the weakest first"
    return Table(["label", "rows", "precision", "recall", "F1"], lines, frozenset({1, 2, 3, 4}), title)


def text_blocks(rows: Sequence[dict], metric: str) -> list[Block]:
    """A dot per answer: its length in words, and its score."""
    answers = [(len(word(row.get("answer")).split()), number(row.get("score")), word(row.get("row"))) for row in rows]
    dots = [(length, score, f"row {row}: {length} words, {metric_words(metric)} {figure(score, metric)}") for length, score, row in answers if score is not None]
    lengths = [length for length, _, _ in answers]
    wanted = [len(word(row.get("target")).split()) for row in rows]
    middle, aim = np.median(lengths), np.median(wanted)
    compared = "about as long as" if abs(middle - aim) <= 0.15 * max(aim, 1) else "shorter than" if middle < aim else "longer than"
    sentence = f"Answers have a median of {middle:.0f} words, {compared} the references with {aim:.0f}; the line is the median score at each length."
    empty = sum(not length for length in lengths)
    blocks: list[Block] = []
    if dots:
        blocks.append(cloud("Length and score of each answer", sentence, dots, "words in the answer", metric_words(metric), medians(dots)))
    if empty:
        blocks.append(Notice("warning", f"{empty:,} answers are empty."))
    repeated = Counter(word(row.get("answer")) for row in rows).most_common(1)[0]
    if repeated[1] > max(3, 0.2 * len(rows)):
        blocks.append(Notice("warning", f"One answer was given to {repeated[1]:,} of {len(rows):,} rows: “{short(repeated[0], 160)}”"))
    return blocks


def medians(dots: Sequence[tuple[float, float, str]]) -> list[tuple[float, float]]:
    """Median score of each of at most eight stretches of length that hold as many dots."""
    ordered = sorted(dots, key=lambda dot: dot[0])
    parts = np.array_split(np.arange(len(ordered)), min(8, max(1, len(ordered) // 8)))
    return [(float(np.median([ordered[i][0] for i in part])), float(np.median([ordered[i][1] for i in part]))) for part in parts if len(part)]


def worst_texts(rows: Sequence[dict], metric: str) -> Table:
    """The texts that the model expects least."""
    sign = -1 if metric in LOWER_IS_BETTER else 1
    ordered = sorted((row for row in rows if number(row.get("score")) is not None), key=lambda row: sign * number(row["score"]))[:10]
    lines = [[word(row.get("row")), short(word(row.get("question")), 200), figure(number(row["score"]), metric)] for row in ordered]
    return Table(["row", "text", metric_words(metric)], lines, frozenset({2}), "The ten texts it knows least")
