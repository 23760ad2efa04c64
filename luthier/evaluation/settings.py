"""What a recipe says under `evaluation:`: who answers the test rows, on how many, and how sure the figures are to be."""
from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt

from luthier.evaluation.probes.settings import ProbeSettings


@dataclass(frozen=True)
class EndpointSettings:
    """An OpenAI-compatible address."""

    url: str = ""
    """Where `/chat/completions` is, for example `http://localhost:8000/v1`."""
    model: str = ""
    """The model's name there."""
    key_variable: str | None = None
    """Environment variable that holds the key; the key itself never stands in a recipe."""
    timeout: Annotated[float, Gt(0)] = 60.0
    """Seconds to wait for one answer."""


@dataclass(frozen=True)
class WinRateSettings:
    """Whose answer is better, the tuned model's or the starting model's, prompt by prompt."""

    by: str = "auto"
    """Who says so: task:METRIC, run:NAME (a reward model), regex:, grader: or python: as in objective.rewards, endpoint (a judge), none; auto: for pairs and ratings the task's score against the good answers, for rewards the reward."""
    endpoint: EndpointSettings | None = None
    """A judge behind an OpenAI-compatible address, asked in both orders."""
    instruction: str = ""
    """What the judge is told; empty: a written one, which asks for A, B or tie."""
    prompts: Annotated[int, Ge(1)] = 100
    """At most so many unseen prompts."""


@dataclass(frozen=True)
class EvaluationSettings:
    """Who is compared with the tuned model, and how."""

    contestants: list[str] | Literal["auto"] = "auto"
    """Names of those who answer the test rows, for example `[tfidf, base, tuned]`; auto: all that the task knows."""
    shots: Annotated[int, Ge(0)] | Literal["auto", "validation"] = "auto"
    """Examples from the training rows shown to few_shot; auto: as many as fit into the context; validation: the best number on validation rows."""
    shots_by: Literal["similar", "random", "diverse"] = "similar"
    """Which training rows few_shot shows: those most like the question, the same random ones for all, or similar ones that differ among themselves."""
    instructions: list[str] | Literal["auto"] = "auto"
    """Instructions of which `prompt` takes the best on validation rows; auto: a few written ones."""
    endpoint: EndpointSettings | None = None
    """A hosted model that answers as contestant `endpoint`."""
    max_rows: Annotated[int, Ge(1)] | None = None
    """At most so many test rows, the same for everyone; none: all of them."""
    max_new_tokens: Annotated[int, Ge(1)] | Literal["auto"] = "auto"
    """Longest answer written, in tokens; auto: from the lengths of the training answers."""
    resamples: Annotated[int, Ge(200), Le(100_000)] = 2000
    """Bootstrap resamples behind every interval."""
    confidence: Annotated[float, Gt(0.5), Lt(1)] = 0.95
    """Share of the time that an interval is to hold the truth."""
    margin: Annotated[float, Ge(0)] | Literal["auto"] = "auto"
    """How much worse than the best an answer may be if it costs less, in the unit of the headline figure; auto: a hundredth of its scale."""
    volume: Annotated[int, Ge(1)] = 10_000
    """Answers over which what must be paid once is spread."""
    prices: str | None = None
    """A price table of your own; none: the shipped one, `luthier/evaluation/prices.yaml`."""
    seeds: Annotated[int, Ge(1), Le(20)] = 1
    """Trainings with different seeds whose spread goes into the interval; the first one is kept."""
    reuse: bool = True
    """Take the answers of contestants that need no training from an earlier run where rows, base, settings, machine and code were the same."""
    win_rate: WinRateSettings = field(default_factory=WinRateSettings)
    probes: ProbeSettings = field(default_factory=ProbeSettings)
