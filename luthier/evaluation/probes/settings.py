"""What a recipe says under `evaluation.probes:`: with what the model is examined."""
from dataclasses import dataclass


@dataclass(frozen=True)
class ProbeSettings:
    """Files for the probes; none means what ships, or that the figure is left out."""

    general: str | None = None
    """General text outside the task: a text file with passages divided by blank lines, or JSONL with `text`; none: thirty passages that ship."""
    questions: str | None = None
    """Questions outside the task: JSONL of {question, choices, answer} or as OpenBookQA has it, or MMLU's CSV (a file, or a folder of them); none: thirty that ship."""
    slices: str | None = None
    """A file {name: [words]}: test rows whose question holds one of the words; or the slices.json that `luthier check` wrote: people, languages, dialects, sources."""
    pairs: str | None = None
    """JSONL of {more, less}, or CSV as CrowS-Pairs has it: stereotyped sentences and their counterparts."""
    bbq: str | None = None
    """JSONL in BBQ's spelling: questions that only a stereotype would answer."""
    paraphrases: str | None = None
    """JSONL of {ways: [...]}: wordings of one question each; none: a few frames around the held-out questions."""
    unanswerable: str | None = None
    """JSONL of {question}: what nobody can answer; none: twelve questions that ship."""
    programs: str | None = None
    """JSONL of {question, tests}, or as HumanEval has it: programming tasks whose answers are run; none: twelve small ones that ship."""
    terms: str | None = None
    """JSON of {must: [...], never: [...]}: what every answer must and must never say."""
    format: str | None = None
    """How every answer must look: `json`, or a regular expression that it must match from its first character to its last."""
