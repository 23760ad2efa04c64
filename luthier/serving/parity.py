"""The gate of every copy: it must read the same ids, compute the same numbers within its precision, write the same text, and be as good on test rows.

What differs is told with the place where it began: the conversation and token, the layer, the prompt, the metric.
"""
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from luthier.errors import GateFailed, LuthierError
from luthier.generation.local import generate
from luthier.models.heads import body_of
from luthier.models.language_model import LanguageModel
from luthier.preparation.renderer import Renderer

MOST_PROBES = 16
MOST_PROBE_TOKENS = 96
GREEDY_TOKENS = 24


@dataclass(frozen=True)
class Bounds:
    """What a precision may change."""

    divergence: float
    """Largest mean Kullback-Leibler divergence in nats a token, from the source's distribution to the copy's."""
    same_text: float
    """Least share of greedy texts that are equal."""
    worse: float
    """Most that the headline metric on test rows may be worse by."""


BOUNDS = {
    "f32": Bounds(1e-6, 1.0, 0.005), "f16": Bounds(1e-4, 0.9, 0.01), "bf16": Bounds(5e-3, 0.0, 0.02), "q8_0": Bounds(5e-3, 0.0, 0.02), "q4_0": Bounds(0.15, 0.0, 0.05),
}


@dataclass
class Findings:
    """What was compared and found."""

    prompts: int = 0
    """Conversations or texts whose ids were equal."""
    divergence: float = 0.0
    largest: float = 0.0
    """Largest difference of two logits."""
    probes: int = 0
    same_text: float | None = None
    """Share of greedy texts that were equal."""
    texts: int = 0
    metrics: dict = field(default_factory=dict)
    """Headline metric of both on the same test rows: {name, source, copy, rows}."""

    def to_dict(self) -> dict:
        return vars(self)


def refuse(what: str, code: str, place: str) -> GateFailed:
    return GateFailed(f"the copy is not the model: {what}; it begins at {place}", code=code, hint="nothing was written; please report it with the model's name")


# ---- ids ----------------------------------------------------------------------------------------
def same_ids(source: Renderer, copy: Renderer, conversations: Sequence, texts: Sequence[str]) -> int:
    """Prompts of conversations and plain texts have the same ids in both (GateFailed X120 else); returns how many were compared."""
    if source.head == "causal" and source.template != copy.template:
        at = next((at for at, (a, b) in enumerate(zip(source.template, copy.template, strict=False)) if a != b), min(len(source.template), len(copy.template)))
        raise refuse("its chat template is another", "X120", f"character {at} of the template")
    pairs = []
    if source.head == "causal" and conversations:
        pairs += [(f"conversation {number}", *both) for number, both in enumerate(zip(source.prompts(conversations), copy.prompts(conversations), strict=True), 1)]
    pairs += [(f"text {number}", source.text(text), copy.text(text)) for number, text in enumerate(texts, 1)]
    for name, wanted, found in pairs:
        if list(wanted) != list(found):
            at = next((at for at, (a, b) in enumerate(zip(wanted, found, strict=False)) if a != b), min(len(wanted), len(found)))
            raise refuse(f"{name} has other ids ({list(wanted)[at:at + 4]} became {list(found)[at:at + 4]})", "X120", f"token {at + 1} of {name}")
    if source.stop_tokens != copy.stop_tokens:
        raise refuse(f"answers end with other tokens ({sorted(source.stop_tokens)} became {sorted(copy.stop_tokens)})", "X120", "the end token")
    return len(pairs)


# ---- numbers ------------------------------------------------------------------------------------
@torch.inference_mode()
def same_logits(source: LanguageModel, copy: LanguageModel, probes: Sequence[list[int]], bounds: Bounds) -> tuple[float, float]:
    """Mean divergence in nats a token and the largest difference of logits; beyond the bound GateFailed (X121) with the layer where it began."""
    divergences, largest = [], 0.0
    for probe in probes:
        wanted, found = (logits_of(model, probe) for model in (source, copy))
        if wanted.shape != found.shape or not torch.isfinite(found).all():
            raise refuse("its logits have another shape or are not finite", "X121", "the output layer")
        wanted_log, found_log = wanted.double().log_softmax(-1), found.double().log_softmax(-1)
        divergences.append((wanted_log.exp() * (wanted_log - found_log)).sum(-1).clamp(min=0).reshape(-1).numpy())
        largest = max(largest, (wanted - found).abs().max().item())
    mean = float(np.concatenate(divergences).mean())
    if mean > bounds.divergence:
        raise refuse(f"its predictions diverge by {mean:.2g} nats a token, and {bounds.divergence:g} are allowed", "X121", where_it_began(source, copy, probes[0]))
    return mean, largest


def logits_of(model: LanguageModel, probe: list[int]) -> torch.Tensor:
    tokens = torch.tensor([probe])
    return model.network(input_ids=tokens, attention_mask=torch.ones_like(tokens)).logits[0].float()


def where_it_began(source: LanguageModel, copy: LanguageModel, probe: list[int]) -> str:
    """The first layer whose output differs much more than the one before, or the layer of the largest difference."""
    try:
        states = [body_of(model.network)(input_ids=torch.tensor([probe]), output_hidden_states=True).hidden_states for model in (source, copy)]
    except (AttributeError, TypeError, LuthierError):  # a file that answers without layers
        return "a layer that this copy does not show"
    gaps = [((a - b).norm() / a.norm().clamp(min=1e-9)).item() for a, b in zip(*states, strict=True)]
    at = next((at for at, gap in enumerate(gaps) if gap > 0.1 * max(gaps)), 0)
    return "the embedding" if at == 0 and gaps[0] > 0 else "the output layer" if max(gaps) == 0 else f"layer {at} of {len(gaps) - 1} (relative difference {gaps[at]:.2g})"


def same_texts(source: LanguageModel, copy: LanguageModel, prompts: Sequence[list[int]], bounds: Bounds) -> float:
    """Share of prompts after which both write the same, greedily; below the bound GateFailed (X122)."""
    wanted = [found.tokens for found in generate(source, prompts, max_new_tokens=GREEDY_TOKENS)]
    found = [found.tokens for found in generate(copy, prompts, max_new_tokens=GREEDY_TOKENS)]
    equal = [a == b for a, b in zip(wanted, found, strict=True)]
    share = sum(equal) / max(1, len(equal))
    if share < bounds.same_text:
        at = equal.index(False)
        token = next((at for at, (a, b) in enumerate(zip(wanted[at], found[at], strict=False)) if a != b), 0)
        raise refuse(f"{1 - share:.0%} of its greedy texts differ", "X122", f"token {token + 1} of the answer to prompt {at + 1}")
    return share


# ---- worth --------------------------------------------------------------------------------------
def as_good(task, answers: Callable, source: LanguageModel, copy: LanguageModel, renderers: tuple[Renderer, Renderer], records: Sequence, bounds: Bounds) -> dict:
    """The headline metric of both on the same rows; GateFailed (X123) where the copy is worse by more than its precision may cost."""
    values = []
    for model, renderer in zip((source, copy), renderers, strict=True):
        metric = task.score(answers(model, renderer, records), records)[task.headline]
        values.append((metric.value, metric.higher_is_better))
    (wanted, higher), (found, _) = values
    worse = (wanted - found) if higher else (found - wanted) / max(1e-9, abs(wanted))
    if not worse <= bounds.worse:
        raise refuse(f"{task.headline} on {len(records)} test rows falls from {wanted:.4f} to {found:.4f}", "X123", "the test rows")
    return {"name": task.headline, "source": wanted, "copy": found, "rows": len(records)}


def gate(source: LanguageModel, copy: LanguageModel, renderers: tuple[Renderer, Renderer], *, task, precision: str, conversations: Sequence, texts: Sequence[str], records: Sequence, bounds: Bounds | None = None) -> Findings:
    """All four comparisons in order; the first that fails is raised."""
    bounds, findings = bounds or BOUNDS[precision], Findings()
    findings.prompts = same_ids(*renderers, conversations, texts)
    prompts = renderers[0].prompts(conversations[:MOST_PROBES]) if conversations and renderers[0].head == "causal" else []
    probes = [list(row)[:MOST_PROBE_TOKENS] for row in (prompts or [renderers[0].text(text) for text in texts[:MOST_PROBES]]) if len(row)]
    findings.divergence, findings.largest = same_logits(source, copy, probes, bounds)
    findings.probes = len(probes)
    if prompts:
        room = source.context - GREEDY_TOKENS
        fitting = [prompt for prompt in prompts if len(prompt) <= room]
        findings.same_text, findings.texts = same_texts(source, copy, fitting, bounds), len(fitting)
    if records:
        findings.metrics = as_good(task, task.answers, source, copy, renderers, records, bounds)
    return findings
