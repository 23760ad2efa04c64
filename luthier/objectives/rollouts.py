"""Answers that the model writes while it learns, and what they earn.

A rollout belongs to a step: which prompts it asks, the noise of its sampling and so its answers are a function of (seed, step) and of the weights at that
step. Each is written down when it is made; a run that is resumed in the middle of the updates on one reads it back, and ends with the same bits.
"""
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from luthier.errors import WorkFailed
from luthier.files import digest, read_json, write_file
from luthier.generation.local import generate
from luthier.models.token_logprobs import token_logprobs
from luthier.objectives.materials import Materials
from luthier.objectives.sequences import TIMES_LARGER, stacked
from luthier.objectives.writing import Writing
from luthier.preparation.batches import Batch
from luthier.preparation.order import permutation
from luthier.runs.events import Event

REDRAWN = 9  # the purpose of the random stream that chooses further prompts
TOLD_AFTER = 3
"""Rollouts in a row in which no prompt's answers differ in reward, after which it is told."""


@dataclass
class Rollout:
    """The answers of one rollout, prompt by prompt; N answers."""

    number: int
    """Which rollout of the run, 0-based."""
    examples: list[int]
    """Of each answer, the index of its prompt among the training examples."""
    prompts: list[list[int]]
    """Of each answer, the tokens that ask."""
    answers: list[list[int]]
    """Tokens written, the end token included."""
    logprobs: list[list[float]]
    """Log-probability of each of them under the model that wrote it, at the sampling temperature, in nats."""
    texts: list[str]
    rewards: list[float | None]
    """None where a source had no figure to give."""
    ended: list[bool]
    """Whether the answer came to its end by itself."""
    notes: dict = field(default_factory=dict)
    """What an objective computed when the rollout was made and needs again at its later updates."""
    redrawn: int = 0
    """Groups whose place was taken by answers to other prompts."""

    def __len__(self) -> int:
        return len(self.answers)

    def flat(self, group: int) -> list[int]:
        """Numbers of the groups whose answers all earn the same."""
        return [at // group for at in range(0, len(self), group) if spread(self.rewards[at : at + group]) == 0]

    def with_group(self, number: int, other: "Rollout", its: int, group: int) -> "Rollout":
        """The rollout with one of its groups replaced by one of another."""
        ours, theirs = slice(number * group, (number + 1) * group), slice(its * group, (its + 1) * group)
        changed = {name: [*getattr(self, name)] for name in PER_ANSWER}
        for name, values in changed.items():
            values[ours] = getattr(other, name)[theirs]
        return replace(self, **changed, redrawn=self.redrawn + 1)

    def figures(self, group: int) -> dict[str, tuple[float, float]]:
        """What is worth watching, each a sum and a count."""
        known = [value for value in self.rewards if value is not None]
        groups = [spread(self.rewards[at : at + group]) for at in range(0, len(self), group)]
        tokens = [len(answer) for answer in self.answers]
        mean = sum(known) / max(1, len(known))
        deviation = (sum((value - mean) ** 2 for value in known) / max(1, len(known))) ** 0.5
        return {
            "reward": (sum(known), float(len(known))), "reward_spread": (deviation, 1.0), "no_reward": (float(len(self) - len(known)), float(len(self))),
            "zero_spread_groups": (float(sum(one == 0 for one in groups)), float(len(groups))), "answer_tokens": (float(sum(tokens)), float(len(tokens))),
            "cut_short": (float(len(self) - sum(self.ended)), float(len(self))), "redrawn_groups": (float(self.redrawn), float(len(groups))),
        }


PER_ANSWER = ("examples", "prompts", "answers", "logprobs", "texts", "rewards", "ended")
"""Fields of a rollout with one entry an answer."""


def spread(rewards: Sequence[float | None]) -> float:
    """Largest minus smallest reward of a group."""
    known = [value for value in rewards if value is not None]
    return max(known) - min(known) if known else 0.0


def punished(tokens: int, longest: int, overlong: int) -> float:
    """What an answer loses for its length: nothing up to `longest` - `overlong` tokens, then linearly up to one point (DAPO, arXiv:2503.14476)."""
    return min(1.0, max(0.0, (tokens - (longest - overlong)) / overlong))


class Rollouts:
    """Makes the rollouts of a run, one for `updates` optimizer steps."""

    def __init__(self, materials: Materials, writing: Writing, *, updates: int, noted: Callable[["Rollout"], dict] | None = None, redraws: int = 0, overlong: int = 0):
        """`noted(rollout)`: what the objective wants kept with a rollout, computed from the weights that wrote it. `redraws`: how often groups without
        spread give way to other prompts. `overlong`: the last tokens of the longest answer, over which an answer loses up to a point."""
        self.materials, self.writing, self.updates, self.noted, self.redraws, self.overlong = materials, writing, updates, noted, redraws, overlong
        self.records = materials.records("train")
        store = materials.stores["train"]
        self.order = materials.order(lengths=np.ones(len(store), dtype=np.int64), context=1)
        self.without_spread = 0
        self.current: Rollout | None = None

    @property
    def steps_per_epoch(self) -> int:
        return self.order.steps_per_epoch * self.updates

    def of_step(self, network: nn.Module, step: int) -> Rollout:
        """The rollout that optimizer step `step` (0-based) learns from; made when the first of its updates comes, kept for the others."""
        number = step // self.updates
        if self.current is not None and self.current.number == number:
            return self.current
        if step % self.updates:
            self.current = self.read(number)
        else:
            self.current = self.make(number)
            if self.noted is not None:
                self.current.notes = self.noted(self.current)
            self.write(self.current)
        return self.current

    # ---- making -------------------------------------------------------------------------------
    def make(self, number: int) -> Rollout:
        """Write answers to the prompts of a rollout and have them rewarded; prompts that all answers to earn the same give way to others."""
        group = self.writing.group_size
        asked = sorted(index for rows in self.order.step(number) for row in rows for index in row)
        rollout, seen = self.answered(number, asked, 0), set(asked)
        for again in range(1, self.redraws + 1):
            flat = rollout.flat(group)
            fresh = [index for index in permutation(len(self.materials.stores["train"]), self.materials.seed, number, REDRAWN, again).tolist() if index not in seen][: len(flat)]
            if not fresh:
                break
            seen |= set(fresh)
            other = self.answered(number, fresh, again)
            better = [its for its in range(len(fresh)) if its not in other.flat(group)]
            for number_of_group, its in zip(flat, better, strict=False):
                rollout = rollout.with_group(number_of_group, other, its, group)
        self.judge(rollout)
        return rollout

    def answered(self, number: int, asked: Sequence[int], again: int) -> Rollout:
        """A group of answers to each prompt, with their rewards; their noise is a function of the rollout's number and of how often it was redrawn."""
        writing, store = self.writing, self.materials.stores["train"]
        examples = [index for index in asked for _ in range(writing.group_size)]
        prompts = [store[index].tokens.tolist() for index in examples]
        seed = int(digest("rollout", str(self.materials.seed), str(number), *([str(again)] if again else []))[:15], 16)
        found = generate(self.materials.language_model, prompts, max_new_tokens=writing.max_answer_tokens, temperature=writing.temperature, top_p=writing.top_p, seed=seed)
        texts = [one.text.strip() for one in found]
        records = [self.records[int(store.records[index])] for index in examples]
        rewards = self.materials.task.grade(self.materials.task.inner, records, texts)
        tokens = [one.tokens for one in found]
        if self.overlong:
            rewards = [None if value is None else value - punished(len(answer), writing.max_answer_tokens, self.overlong) for value, answer in zip(rewards, tokens, strict=True)]
        return Rollout(number, examples, prompts, tokens, [one.logprobs for one in found], texts, rewards, [one.finish == "stop" for one in found])

    def judge(self, rollout: Rollout) -> None:
        """Tell what is wrong with the rewards; WorkFailed where there are none at all."""
        step = rollout.number * self.updates + 1
        known = [value for value in rollout.rewards if value is not None]
        if not known:
            raise WorkFailed(f"no answer of step {step} has a reward: {', '.join(self.writing.rewards)} gave NaN or nothing for all {len(rollout)}", code="T303", field="objective.rewards", hint="try the reward on one answer; the last checkpoint is kept")
        if len(known) < len(rollout):
            self.materials.say(Event("warning", f"{len(rollout) - len(known)} of {len(rollout)} answers of step {step} have no reward (NaN or nothing); they teach nothing", {"code": "T303", "step": step}))
        flat = len(rollout.flat(self.writing.group_size)) * self.writing.group_size == len(rollout)
        self.without_spread = self.without_spread + 1 if flat else 0
        if self.without_spread == TOLD_AFTER:
            what = f"is {known[0]:g} for every answer" if len(set(known)) == 1 else "is the same for all answers to a prompt"
            self.materials.say(Event("warning", f"the reward {what}, {TOLD_AFTER} rollouts in a row: there is nothing to learn from it; use a finer reward, a higher temperature or easier prompts", {"code": "T304", "step": step}))

    # ---- keeping ------------------------------------------------------------------------------
    def path(self, number: int) -> Path | None:
        return None if self.materials.folder is None else self.materials.folder / "rollouts" / f"rollout-{number:06d}.json"

    def write(self, rollout: Rollout) -> None:
        """Keep a rollout on disk; figures come back as they are."""
        path = self.path(rollout.number)
        if path is not None:
            path.parent.mkdir(exist_ok=True)
            write_file(path, json.dumps(asdict(rollout), ensure_ascii=False) + "\n")

    def read(self, number: int) -> Rollout:
        """A rollout that was kept; it belongs to weights that are gone."""
        path = self.path(number)
        if path is None or not path.exists():
            raise WorkFailed(f"rollout {number} is not in the run's folder, and the weights that wrote it are gone", code="C109", file=str(path), hint="start a new run")
        return Rollout(**read_json(path))


# ---- for the loss -------------------------------------------------------------------------------
@dataclass
class Graded:
    """A micro-batch of answers with what they earned."""

    batch: Batch
    advantage_B: Tensor
    """How much better than expected."""
    counts_B: Tensor
    """1 where the answer counts in the average, else 0."""
    behaviour_BT: Tensor
    """Log-probability of each token when it was written [B, T - 1]."""
    reference_BT: Tensor | None
    """The same under the starting model."""
    rows_a_token: float = 1.0
    """Answers of the step over tokens of the step."""
    more: dict[str, Tensor] = field(default_factory=dict)
    """Further figures of each token [B, T - 1], by name."""
    figures: dict[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def rows(self) -> list[list[int]]:
        """Which answers of the rollout stand in it."""
        return self.batch.rows


def graded(
    materials: Materials, rollout: Rollout, chosen: Sequence[int], *, advantage: Sequence[float], counts: Sequence[float], reference: list[list[float]] | None,
    more: dict[str, list[list[float]]] | None = None,
) -> list[Graded]:
    """The chosen answers of a rollout in micro-batches of like length."""
    tokens = sum(counts[at] * len(rollout.answers[at]) for at in chosen)
    share, made = sum(counts[at] for at in chosen) / max(tokens, 1.0), []
    widths = np.array([len(rollout.prompts[at]) + len(rollout.answers[at]) for at in chosen])
    for places in side_by_side([rollout.examples[at] for at in chosen], widths, materials.tokens_per_micro_batch):
        group = [chosen[at] for at in places]
        batch = of_answers(materials, rollout, group)
        place = lambda values, group=group, batch=batch: placed(rollout, group, values, batch)
        figure = lambda values, group=group, batch=batch: torch.tensor([values[at] for at in group], dtype=torch.float32, device=batch.tokens_BT.device)
        made.append(Graded(
            batch, figure(advantage), figure(counts), place(rollout.logprobs), None if reference is None else place(reference), share,
            {name: place(values) for name, values in (more or {}).items()},
        ))
    return made


def side_by_side(prompts: Sequence[int], widths: np.ndarray, tokens: int) -> list[list[int]]:
    """All answers once, in micro-batches of at most so many tokens with padding; answers to one prompt stand together where they fit, so that they can read it
    together. `prompts` names each answer's prompt, `widths` its tokens with the prompt's."""
    together: dict[int, list[list[int]]] = {}
    for at, prompt in enumerate(prompts):
        parts = together.setdefault(prompt, [[]])
        if parts[-1] and (len(parts[-1]) + 1) * max(widths[at], *(widths[one] for one in parts[-1])) > tokens:
            parts.append([])
        parts[-1].append(at)
    units = [part for parts in together.values() for part in parts]
    room = np.array([len(part) * max(widths[at] for at in part) for part in units])
    made: list[list[int]] = []
    held = widest = 0
    for unit in np.argsort(room, kind="stable").tolist():
        wider = max(widest, int(max(widths[at] for at in units[unit])))
        if made and (held + len(units[unit])) * wider <= tokens:
            made[-1] += units[unit]
            held, widest = held + len(units[unit]), wider
        else:
            made.append([*units[unit]])
            held, widest = len(units[unit]), int(max(widths[at] for at in units[unit]))
    return made


def of_answers(materials: Materials, rollout: Rollout, group: Sequence[int]) -> Batch:
    """The tensors of some answers behind their prompts; only answers have weight."""
    rows = [(rollout.prompts[at] + rollout.answers[at], [0.0] * len(rollout.prompts[at]) + [1.0] * len(rollout.answers[at])) for at in group]
    batch = stacked(rows, materials.language_model.pad_token, materials.language_model.device)
    return replace(batch, rows=[[at] for at in group])


def placed(rollout: Rollout, group: Sequence[int], values: Sequence[Sequence[float]], batch: Batch) -> Tensor:
    """Figures of each answer's tokens where the tokens stand [B, T - 1]."""
    found = torch.zeros(len(group), batch.tokens_BT.shape[1] - 1)
    for row, at in enumerate(group):
        start = len(rollout.prompts[at]) - 1
        found[row, start : start + len(values[at])] = torch.tensor(values[at], dtype=torch.float32)
    return found.to(batch.tokens_BT.device)


def taken(rollout: Rollout, group: Sequence[int], values_BT: Tensor) -> list[list[float]]:
    """The other way round: each answer's figures out of [B, T - 1]."""
    starts = [len(rollout.prompts[at]) - 1 for at in group]
    return [values_BT[row, start : start + len(rollout.answers[at])].tolist() for row, (at, start) in enumerate(zip(group, starts, strict=True))]


@torch.no_grad()
def of_tokens(materials: Materials, rollout: Rollout, compute: Callable[[Batch], Tensor]) -> list[list[float]]:
    """What `compute` gives for each token [B, T - 1] of all answers, answer by answer; dropout off, without gradient."""
    found: list[list[float]] = [[] for _ in range(len(rollout))]
    widths = np.array([len(prompt) + len(answer) for prompt, answer in zip(rollout.prompts, rollout.answers, strict=True)])
    for group in side_by_side(rollout.examples, widths, TIMES_LARGER * materials.tokens_per_micro_batch):
        for at, values in zip(group, taken(rollout, group, compute(of_answers(materials, rollout, group))), strict=True):
            found[at] = values
    return found


def under_start(materials: Materials, rollout: Rollout, temperature: float) -> list[list[float]]:
    """Log-probability of each written token under the starting model."""
    with materials.reference() as network:
        was_training = network.training
        network.eval()
        found = of_tokens(materials, rollout, lambda batch: token_logprobs(materials.head, network, batch.tokens_BT, batch.weight_BT, batch.attend_BT, temperature=temperature)[0])
        network.train(was_training)
    return found


def take_along(materials: Materials) -> None:
    """Have the starting model at hand from now on, though the weights will move."""
    with materials.reference(ahead=True):
        pass
