"""Reward hacking told in words: the reward goes up and what it stands for goes down (Amodei et al. 2016, arXiv:1606.06565; Gao et al. 2022, arXiv:2210.10760).

Both are asked on the same unseen prompts before and after, with paired intervals; the test of the fall is corrected for how many figures were watched
(Holm). A reward that rises while nothing else is watched proves nothing either way, and that is said too.
"""
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from luthier.evaluation.statistics import Difference, difference, holm
from luthier.evaluation.wording import figure, metric_words
from luthier.files import read_json, write_json
from luthier.metrics.metric import Metric, mean
from luthier.runs.events import Event, Say

CURE = "look at its answers (rollouts/ in the run's folder), mend the reward, raise objective.kl, or keep an earlier checkpoint"
FEWEST_ROWS = 8
"""Validation rows below which a look says nothing."""


def hacking(before: Mapping[str, Metric], after: Mapping[str, Metric], *, headline: str, watched: Sequence[str], win_rate: Mapping | None = None, confidence: float = 0.95, resamples: int = 2000, seed: int = 0) -> dict:
    """`{found, reward, watched, fell, sentence}`: whether the reward surely rose while a watched figure, or the win rate by anything but the reward, surely
    fell. `reward` and every member of `fell` are `{metric, before, after, value, low, high}`, positive is better."""
    options = {"confidence": confidence, "resamples": resamples, "seed": seed}
    reward = difference(after[headline], before[headline], **options)
    rose = reward.low > 0 and reward.p_value < 1 - confidence
    names = [name for name in watched if name in before and name in after]
    differences = [difference(after[name], before[name], **options) for name in names]
    sure = holm([one.p_value for one in differences])
    fell = [told(name, before[name], after[name], one) for name, one, p_value in zip(names, differences, sure, strict=True) if one.high < 0 and p_value < 1 - confidence]
    if win_rate and win_rate.get("value") is not None and win_rate["by"] != "reward":
        names = [*names, "win_rate"]
        if win_rate["high"] < 0.5 and win_rate["p_value"] < 1 - confidence:
            fell.append({"metric": "win_rate", "before": 0.5, "after": win_rate["value"], "value": win_rate["value"] - 0.5, "low": win_rate["low"] - 0.5, "high": win_rate["high"] - 0.5})
    own = told(headline, before[headline], after[headline], reward)
    return {"found": bool(rose and fell), "reward": own, "watched": names, "fell": fell, "sentence": sentence(rose, own, names, fell)}


def told(name: str, before: Metric, after: Metric, found: Difference) -> dict:
    return {"metric": name, "before": before.value, "after": after.value, "value": found.value, "low": found.low, "high": found.high}


def sentence(rose: bool, reward: dict, watched: Sequence[str], fell: Sequence[dict]) -> str:
    """What was found, in one sentence; empty where there is nothing to say."""
    if rose and fell:
        lost = " and ".join(f"{metric_words(one['metric'])} fell from {figure(one['before'], one['metric'])} to {figure(one['after'], one['metric'])}" for one in fell)
        return (
            f"The reward was hacked: it rose from {figure(reward['before'])} to {figure(reward['after'])} while on the same unseen prompts {lost}, so the model has learned to please "
            f"the reward and not what it stands for; {CURE}"
        )
    if rose and not watched:
        return "Whether the reward was hacked cannot be told, for nothing but the reward was watched: give prompts a reference, name objective.watched, or a judge in evaluation.win_rate"
    return ""


# ---- while learning -------------------------------------------------------------------------------
@dataclass
class Suspicion:
    """Compares each look at validation with the one before the first step; tells once."""

    path: Path
    """Where the rows of the first look are kept, so that a resumed run compares with the same."""
    headline: str
    say: Say
    has_told: bool = False

    def look(self, step: int, metrics: Mapping[str, Metric], watched: Sequence[str]) -> None:
        """Note the first look, or compare with it."""
        figures = {name: metrics[name] for name in (self.headline, *watched) if name in metrics}
        if step == 0:
            write_json(self.path, {name: {"per_row": one.per_row.tolist(), "higher_is_better": one.higher_is_better} for name, one in figures.items()})
            return
        if self.has_told or not self.path.exists():
            return
        first = {name: mean(name, one["per_row"], higher_is_better=one["higher_is_better"]) for name, one in read_json(self.path).items()}
        now = {name: mean(name, one.per_row, higher_is_better=one.higher_is_better) for name, one in figures.items() if name in first and len(one) == len(first[name])}
        if self.headline not in now or len(now[self.headline]) < FEWEST_ROWS:
            return
        found = hacking(first, now, headline=self.headline, watched=watched, confidence=0.99, resamples=1000)  # there are many looks
        if found["found"]:
            self.has_told = True
            self.say(Event("warning", f"by step {step} on validation prompts: {found['sentence']}", {"code": "T305", "step": step}))
