"""How preferences and rewards were learned: what answers earned and how they changed meanwhile, or how chosen and rejected answers parted.

Every line is drawn from the figures of the training steps; a figure that the objective does not know has no picture.
"""

import numpy as np

from luthier.evaluation.report.document import Block, Notice, Section
from luthier.evaluation.report.folder import RunFiles, inner, number, word
from luthier.evaluation.report.pictures import Line, curves, smoothed
from luthier.evaluation.wording import figure, metric_words

Points = list[tuple[float, float]]
MOST_FLAT = 0.5
"""Share of groups without spread above which next to nothing is learned from."""
MOST_CUT = 0.3
"""Share of answers cut short above which the limit decides."""
LEAST_ENTROPY = 0.2
"""Of the entropy at the start; below it answers have become alike."""


def figures(run: RunFiles, name: str) -> Points:
    """(step, value) of one figure of the training steps."""
    found = [(number(row.get("step")), number(inner(row, "figures").get(name))) for row in run.train]
    return [(step, value) for step, value in found if step is not None and value is not None]


def rewarded(run: RunFiles) -> Section | None:
    """None for runs whose steps have no such figures."""
    blocks: list[Block] = [*hacked(run)]
    blocks += filter(None, [rewards(run), beside_reward(run), drift(run), lengths(run), variety(run), trouble(run), sides(run), right(run)])
    return Section("rewards", "Preferences and rewards", blocks) if any(not isinstance(block, Notice) for block in blocks) else None


def hacked(run: RunFiles) -> list[Block]:
    """A reward that rose while what it stands for fell, and what else could not be seen."""
    found = inner(run.verdict, "reward_hacking")
    if not word(found.get("sentence")):
        return []
    return [Notice("bad" if found.get("found") else "warning", f"{word(found['sentence'])}.")]


# ---- rewards ------------------------------------------------------------------------------------
def course(points: Points) -> tuple[float, float]:
    """Where a noisy line starts and where it ends."""
    averages = smoothed([value for _, value in points])
    return averages[0], averages[-1]


def went(points: Points) -> str:
    """from 0.100 to 0.300, smoothed."""
    first, last = course(points)
    return f"from {figure(first)} to {figure(last)}"


def rewards(run: RunFiles):
    """Mean reward of each rollout and its spread."""
    mean, spread = figures(run, "reward"), figures(run, "reward_spread")
    if len(mean) < 2:
        return None
    looked = [(step, value) for row in run.validation if (step := number(row.get("step"))) is not None and (value := number(inner(row, "metrics").get("reward"))) is not None]
    sentence = f"The mean reward of the answers that were learned from went {went(mean)}"
    sentence += f", with a spread between answers that went {went(spread)}" if len(spread) > 1 else ""
    sentence += f"; greedy answers to validation prompts earned {figure(looked[0][1])} at step {looked[0][0]:,.0f} and {figure(looked[-1][1])} at step {looked[-1][0]:,.0f}" if len(looked) > 1 else ""
    lines = [Line("reward", mean, "train", smooth=True), Line("spread", spread, "rate"), Line("validation prompts", looked, "validation", dots=True)]
    return curves("Reward", f"{sentence}.", lines)


def beside_reward(run: RunFiles):
    """What the reward stands for, on validation prompts: figures of the same kind, 0 to 1, beside the reward."""
    names = [name for name in ("watched", "rouge_l", "exact_match", "correct") if len(of_validation(run, name)) > 1]
    if not names or len(of_validation(run, "reward")) < 2:
        return None
    kinds = ("validation", "rate", "baseline")
    lines = [Line("reward", of_validation(run, "reward"), "train", dots=True)] + [Line(metric_words(name), of_validation(run, name), kind, dots=True) for name, kind in zip(names, kinds)]
    said = ", ".join(f"{metric_words(name)} from {figure(of_validation(run, name)[0][1])} to {figure(of_validation(run, name)[-1][1])}" for name in names)
    return curves("Reward and what it stands for", f"On the same validation prompts the reward went from {figure(lines[0].points[0][1])} to {figure(lines[0].points[-1][1])}, and {said}.", lines)


def of_validation(run: RunFiles, name: str) -> Points:
    found = [(number(row.get("step")), number(inner(row, "metrics").get(name))) for row in run.validation]
    return [(step, value) for step, value in found if step is not None and value is not None]


def drift(run: RunFiles):
    """KL to the starting model."""
    points = figures(run, "kl")
    if len(points) < 2:
        return None
    unit = "nats an answer" if word(run.facts.get("objective")) == "ppo" else "nats a token"
    strength = figures(run, "kl_strength")
    steered = f"; its weight was steered {went(strength)}" if len(strength) > 1 else ""
    return curves("Distance from the starting model", f"The KL to the starting model went {went(points)} {unit}{steered}.", [Line("KL", points, "train", smooth=True)])


def lengths(run: RunFiles):
    """Tokens of an answer, and how many were cut."""
    points, cut = figures(run, "answer_tokens"), figures(run, "cut_short")
    if len(points) < 2:
        return None
    sentence = f"Answers went {went(points)} tokens on average"
    if cut:
        sentence += f"; {course(cut)[1]:.0%} hit the limit at the end"
    return curves("Length of answers", f"{sentence}.", [Line("tokens", points, "train", smooth=True)])


def variety(run: RunFiles):
    """Entropy of the next token."""
    points = figures(run, "entropy")
    if len(points) < 2:
        return None
    first, last = course(points)
    alike = ", so that its answers have become alike: a smaller rate, more KL or objective.entropy keep them varied" if last < LEAST_ENTROPY * first else ""
    return curves("Variety of answers", f"The entropy of a token went {went(points)} nats{alike}.", [Line("entropy", points, "train", smooth=True)])


def trouble(run: RunFiles):
    """Shares that say whether there is something to learn from: groups without spread, cut answers, clipped tokens, answers without a reward."""
    named = [("groups without spread", "zero_spread_groups", "train"), ("cut short", "cut_short", "validation"), ("clipped tokens", "clipped", "rate"), ("without a reward", "no_reward", "baseline")]
    lines = [Line(words, points, kind) for words, name, kind in named if len(points := figures(run, name)) > 1]
    if not lines:
        return None
    mean = {line.name: float(np.mean([value for _, value in line.points])) for line in lines}
    said = "; ".join(f"{words} {share:.0%}" for words, share in mean.items())
    doubts = []
    if mean.get("groups without spread", 0) > MOST_FLAT:
        doubts.append("most groups taught nothing, for all their answers earned the same: a finer reward, a higher temperature or other prompts would help")
    if mean.get("cut short", 0) > MOST_CUT:
        doubts.append("many answers were cut at objective.max_answer_tokens")
    return curves("Shares that should be small", f"On average: {'; '.join([said, *doubts])}.", lines)


# ---- pairs and ratings ----------------------------------------------------------------------------
def sides(run: RunFiles):
    """The rewards of chosen and rejected (good and bad) answers, and what lies between them."""
    named = (("chosen", "reward/chosen"), ("rejected", "reward/rejected")) if figures(run, "reward/chosen") else (("good", "reward/good"), ("bad", "reward/bad"))
    up, down = (figures(run, name) for _, name in named)
    margin = figures(run, "reward/margin")
    lines = [Line(words, points, kind, smooth=True) for (words, _), points, kind in zip(named, (up, down), ("train", "validation")) if points]
    if len(margin) > 1:
        lines.append(Line("margin", margin, "rate", smooth=True))
    if not any(len(line.points) > 1 for line in lines):
        return None
    said = "; ".join(f"{line.name} went {went(line.points)}" for line in lines)
    fallen = ""
    if len(up) > 1 and course(up)[1] < course(up)[0] and word(run.facts.get("objective")) != "reward":
        fallen = f"; the {named[0][0]} answers too have become less likely than at the start, only less so than the {named[1][0]} ones: that is usual, and goes with forgetting"
    return curves(f"{named[0][0]} and {named[1][0]}".capitalize(), f"Smoothed over steps, {said}{fallen}.", lines)


def right(run: RunFiles):
    """How often the chosen answer is ahead."""
    points = figures(run, "reward/accuracy")
    looked = of_validation(run, "implicit_accuracy") or of_validation(run, "preference_accuracy")
    if len(points) < 2:
        return None
    unseen = f"; on validation pairs it was {figure(looked[-1][1])} at the end" if looked else ""
    lines = [Line("training pairs", points, "train", smooth=True), Line("validation pairs", [point for point in looked if point[0] > 0], "validation", dots=True)]
    return curves("How often the chosen answer is ahead", f"On the training pairs of each step the share went {went(points)}{unseen}.", lines)
