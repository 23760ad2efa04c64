"""How a model writes answers while it learns from rewards, and what rewards them: settings that such objectives share."""
from dataclasses import dataclass, field
from typing import Annotated

from annotated_types import Ge, Gt, Le


@dataclass
class Writing:
    """Settings of objectives that learn from rewards."""

    rewards: list[str] = field(default_factory=list)
    """What answers are rewarded by: task:METRIC, run:NAME (a reward model), regex:PATTERN, grader:FILE.json, python:FILE.py:FUNCTION."""
    weights: list[float] | None = None
    """Of each reward in the sum; none: 1 each."""
    watched: list[str] = field(default_factory=list)
    """Rewards, written alike, that are shown and never learned from: where they fall while the reward rises, the reward is being hacked."""
    max_answer_tokens: Annotated[int, Ge(1)] = 64
    """Longest answer."""
    temperature: Annotated[float, Gt(0), Le(10)] = 1.0
    """Of sampling; the loss sees the same temperature."""
    top_p: Annotated[float, Gt(0), Le(1)] = 1.0
    """Only the likeliest tokens whose probabilities add up to this are written."""
    confirm: str = ""
    """Beginning of the SHA-256 of a Python reward's file: says that you have read it and that it may run; of several files with commas."""
    reward_seconds: Annotated[float, Gt(0)] = 60.0
    """Longest time that a Python reward, a pattern or a grader may take for one rollout."""

    def lesson(self, task):
        """The task read through prompts, judged by the reward."""
        from luthier.objectives.rewards import Reward
        from luthier.tasks.prompts import prompted

        reward = Reward(self.rewards, self.weights, self.confirm, self.reward_seconds).check()
        watched = Reward(self.watched, None, self.confirm, self.reward_seconds).check() if self.watched else None
        return prompted(task, self.name, max_answer_tokens=self.max_answer_tokens, grade=reward, watched=watched)
