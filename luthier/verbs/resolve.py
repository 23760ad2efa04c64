"""Every `auto` becomes a number with a reason: pure functions of what the data, the base and the machine are.

The reasons are printed and stored beside the numbers in config.resolved.yaml; running that file again finds no `auto` left.
"""
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from luthier.preparation.order import told_by_length, unevenness
from luthier.training.settings import TrainingSettings

LOOKS = 8
"""Looks at the validation split in a run, unless the recipe says otherwise."""
UNEVEN = 0.4
"""Spread of what steps of like length would teach, above which a step's examples are drawn by lot. Sets at 0 and 0.39 learn alike both ways; one at 0.43 ends
0.06 nats lower drawn by lot, a mixture at 1.17 half a nat lower (dev/log.md)."""
GIVEN_AWAY = 0.1
"""Share of the variance of labels or numbers that may lie between steps of like length. banking77 has 0.005 and learns alike both ways; where the number asked for
is the length itself, grouping ends at a held-out error of 0.79 of the variance and drawing by lot at 0.23 (dev/log.md)."""
HEAD_RATE, HEAD_RATE_BY_WIDTH = 1e-2, 4.0
"""Rate of an output layer that no file held, chosen on rows that no test uses (dev/log.md): the first, or the second divided by the width where that is less.

One step of AdamW moves every weight by the rate, and an output by the rate times the width.
"""


@dataclass(frozen=True)
class Circumstances:
    """What the numbers depend on."""

    rows: int
    """Training examples."""
    mean_tokens: float
    """Mean length of an example."""
    target_tokens: int
    """Length that 99 % of the answers stay below; 0 where nothing is written."""
    parameters: int
    """Of the base."""
    context: int
    """Longest sequence of the base."""
    bf16: bool
    """Whether the machine multiplies bf16 matrices in hardware."""
    threads: int
    """Physical cores that may be used."""
    accelerator: bool
    """Whether there is a GPU."""
    lengths: np.ndarray | None = None
    """Of the training examples, in tokens; None where the objective learns from pairs or prompts, which count alike."""
    learned: np.ndarray | None = None
    """How many tokens of each count in the loss."""
    labels: np.ndarray | None = None
    """Number of each example's class; -1 where it has none."""
    values: np.ndarray | None = None
    """Numbers that are asked for, [N, K]; None where none are."""
    sources: int = 1
    """Data sets of a mixture."""
    width: int = 1
    """Size of a hidden state of the base."""
    new_head: bool = False
    """Whether the output layer usually is in no file, so that it starts from random numbers."""


@dataclass
class Resolved:
    """The settings without `auto`, and why each number."""

    settings: TrainingSettings
    """Complete."""
    reasons: dict[str, str] = field(default_factory=dict)
    """By dotted key, one sentence for each value that was `auto`."""


def batch_size(facts: Circumstances) -> tuple[int, str]:
    size = 8 if facts.rows < 500 else 16 if facts.rows < 5000 else 32
    return size, f"{facts.rows:,} training examples: about {max(1, facts.rows // size):,} steps an epoch"


def epochs(facts: Circumstances) -> tuple[float, str]:
    number = 6 if facts.rows < 500 else 4 if facts.rows < 5000 else 3 if facts.rows < 50_000 else 1
    return float(number), f"{facts.rows:,} training examples; the best checkpoint is kept, so a pass too many costs time only"


def tokens_per_micro_batch(facts: Circumstances) -> tuple[int, str]:
    if facts.accelerator:
        return max(facts.context, 16384), "fills a GPU; lower it if memory is short, nothing else changes"
    return 2048, "about two thousand tokens keep the processor busy and its caches warm; lower it if memory is short, nothing else changes"


def group_by_length(settings: TrainingSettings, facts: Circumstances) -> tuple[bool, str]:
    batch_size = settings.batch_size
    if settings.packing:
        return True, "says nothing here: packed rows are full, whatever the lengths"
    if facts.sources > 1:
        return False, "several sources: each step learns from all of them, not from the one whose rows are that long"
    uneven = 0.0 if facts.lengths is None else unevenness(facts.lengths, facts.learned, batch_size)
    if uneven > UNEVEN:
        return False, f"grouped by length, steps would differ by {uneven:.0%} in what they teach (at most {UNEVEN:.0%}): a step's examples are drawn by lot"
    told = 0.0 if facts.lengths is None else told_by_length(facts.lengths, facts.labels, facts.values, batch_size)
    if told > GIVEN_AWAY:
        return False, f"length gives away {told:.0%} of what is asked (at most {GIVEN_AWAY:.0%}), and grouped by it a step would hold one kind of answer: a step's examples are drawn by lot"
    return True, "rows of like length side by side waste little, and every step teaches about as much"


def head_rate(rate: float, facts: Circumstances) -> tuple[float, str]:
    if not facts.new_head:
        return 0.0, "the base brings its output layer: one rate for all"
    own = min(HEAD_RATE, HEAD_RATE_BY_WIDTH / facts.width)
    if own <= rate:
        return 0.0, "the learning rate is as high as a new output layer needs: one rate for all"
    return own, "a new output layer starts from nothing and has far to go; the rest is there already"


def steps_between_looks(settings: TrainingSettings, facts: Circumstances) -> tuple[int, str]:
    steps = total_steps(settings, -(-facts.rows // settings.batch_size))
    return max(1, round(steps / LOOKS)), f"about {LOOKS} looks over {steps:,} steps"


def total_steps(settings: TrainingSettings, steps_per_epoch: int) -> int:
    """Optimizer steps of the whole run."""
    steps = max(1, int(settings.epochs * steps_per_epoch))
    return min(steps, settings.max_steps) if settings.max_steps else steps


def resolve(settings: TrainingSettings, facts: Circumstances, default_rate: Callable[[int], tuple[float, str]]) -> Resolved:
    """All training settings as numbers; what the user set stays."""
    resolved = Resolved(dataclasses.replace(settings))

    def settle(name: str, value_and_reason: tuple) -> None:
        if getattr(resolved.settings, name) == "auto":
            value, reason = value_and_reason
            setattr(resolved.settings, name, value)
            resolved.reasons[f"training.{name}"] = reason

    settle("batch_size", batch_size(facts))
    settle("epochs", epochs(facts))
    settle("learning_rate", default_rate(facts.parameters))
    settle("head_learning_rate", head_rate(resolved.settings.learning_rate, facts))
    settle("tokens_per_micro_batch", tokens_per_micro_batch(facts))
    settle("packing", (False, "rows go into micro-batches by length, which wastes little, and attention stays short"))
    settle("group_by_length", group_by_length(resolved.settings, facts))
    settle("precision", ("bf16", "this machine multiplies bf16 in hardware") if facts.bf16 else ("fp32", "this machine has no bf16 units"))
    settle("threads", (facts.threads, "the cores that this process may use"))
    settle("evaluate_every", steps_between_looks(resolved.settings, facts))
    settle("save_every", (resolved.settings.evaluate_every, "at every look at validation"))
    return resolved


def answer_length(facts: Circumstances) -> tuple[int, str]:
    """Most tokens of a generated answer."""
    longest = max(16, min(facts.context // 2, int(1.25 * facts.target_tokens) + 8))
    return longest, f"99 % of the training answers have at most {facts.target_tokens} tokens"
