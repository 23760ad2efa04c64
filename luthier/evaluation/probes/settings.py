"""What a recipe says under `evaluation.probes:`: with what the model is examined."""
from dataclasses import dataclass


@dataclass(frozen=True)
class ProbeSettings:
    """Files for the probes; none means what ships, or that the figure is left out."""

    general: str | None = None
    """General text outside the task: a text file with passages divided by blank lines, or JSONL with `text`; none: thirty passages that ship."""
    questions: str | None = None
    """Questions outside the task, JSONL of {question, choices, answer}; none: thirty that ship."""
    slices: str | None = None
    """A file {name: [words]}: test rows whose question holds one of the words; or the slices.json that `luthier check` wrote: people, languages, dialects, sources."""
    pairs: str | None = None
    """JSONL of {more, less}: stereotyped sentences and their counterparts."""
    terms: str | None = None
    """JSON of {must: [...], never: [...]}: what every answer must and must never say."""
