"""What every contestant did on the test rows, as the tables that stand in a run folder: `results.json` and one JSONL per contestant."""
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from luthier.evaluation.statistics import interval
from luthier.metrics.metric import Metric
from luthier.tasks.answers import Answer

LONGEST_TEXT = 4000
"""Characters of a question kept beside its answer."""


@dataclass(frozen=True)
class Result:
    """One contestant on the test rows."""

    name: str
    """The contestant."""
    answers: Sequence[Answer]
    """One per row, in the order of the rows."""
    metrics: dict[str, Metric]
    """By name, over the same rows."""
    note: str = ""
    """How the contestant was made."""
    seeds: Sequence[dict[str, Metric]] = ()
    """Where it was trained several times, the metrics of each training; `metrics` are then their means."""
    setup_seconds: float = 0.0
    """Time that making it took on this machine: training, an index."""
    hosted: bool = False
    """Whether somebody else's machine answered, at a price per token."""
    energy_joules: float | None = None
    """Spent while answering, where the machine can tell."""
    memory_bytes: int | None = None
    """Most memory of the process while answering."""

    def values_of_seeds(self, metric: str) -> list[float]:
        """The figure of each training; empty where there was one."""
        return [one[metric].value for one in self.seeds]


def costs(answers: Sequence[Answer]) -> dict:
    """`{seconds_per_answer, seconds_p50, seconds_p95, tokens: {input, output}}`; tokens are means per answer."""
    taken_N = np.array([answer.seconds for answer in answers])
    tokens = {"input": sum(a.tokens_in for a in answers) / len(answers), "output": sum(a.tokens_out for a in answers) / len(answers)}
    return {
        "seconds_per_answer": float(taken_N.mean()),
        "seconds_p50": float(np.quantile(taken_N, 0.5)),
        "seconds_p95": float(np.quantile(taken_N, 0.95)),
        "tokens": tokens,
    }


def table(results: Sequence[Result], *, headline: str, confidence: float = 0.95, resamples: int = 2000, seed: int = 0) -> dict:
    """results.json: `{headline, n, confidence, contestants: {name: {note, metrics: {metric: {value, low, high, higher_is_better}}, ...costs}}}`."""

    def of_one(result: Result) -> dict:
        figures = {}
        for name, metric in result.metrics.items():
            found = interval(metric, confidence=confidence, resamples=resamples, seed=seed)
            figures[name] = ({"signature": metric.signature} if metric.signature else {}) | {"value": found.value, "low": found.low, "high": found.high, "higher_is_better": metric.higher_is_better}
        spent = {"setup_seconds": result.setup_seconds, "energy_joules": result.energy_joules, "memory_bytes": result.memory_bytes}
        seeds = [{name: one.value for name, one in each.items()} for each in result.seeds]
        return {"note": result.note, "metrics": figures, **costs(result.answers), **spent, **({"seeds": seeds} if seeds else {})}

    contestants = {result.name: of_one(result) for result in results}
    return {"headline": headline, "n": len(results[0].answers), "confidence": confidence, "contestants": contestants}


def as_csv(contestants: Sequence[dict]) -> str:
    """The verdict's table of contestants as CSV; one that a spreadsheet would run as a formula cannot stand in it: names are the program's own."""
    columns = ("name", "value", "low", "high", "seconds_per_answer", "cost_per_thousand")
    head = [*columns, "tokens_in", "tokens_out"]
    rows = [[str(line[name]) for name in columns] + [str(line["tokens"][side]) for side in ("input", "output")] for line in contestants]
    return "".join(",".join(row) + "\n" for row in [head, *rows])


def as_latex(contestants: Sequence[dict], metric: str) -> str:
    """The same as a LaTeX table, figures with their intervals."""
    rows = [f"{line['name'].replace('_', chr(92) + '_')} & {line['value']:.3f} & [{line['low']:.3f}, {line['high']:.3f}] & {1000 * line['seconds_per_answer']:.3g} & {line['cost_per_thousand']:.2f} " for line in contestants]
    head = f"contestant & {metric.replace('_', ' ')} & 95\\,\\% interval & ms per answer & cost of 1,000 "
    body = " \\\\\n".join([head, *rows])
    return "\\begin{tabular}{lrrrr}\n" + body + " \\\\\n\\end{tabular}\n"


def lines(
    result: Result, *, headline: str, questions: Sequence[str], targets: Sequence[str], origins: Sequence[object | None] = (), details: Sequence[dict] = ()
) -> list[dict]:
    """Rows of `<contestant>.jsonl`: row (1-based), file and line it came from, question, target, answer, score, nll, tokens, seconds, and the task's `details`."""
    score_N = result.metrics[headline].per_row
    found = []
    for index, (answer, question, target) in enumerate(zip(result.answers, questions, targets, strict=True)):
        origin = origins[index] if origins else None
        line = {"row": index + 1}
        if origin is not None:
            line |= {"file": origin.file, "line": origin.line}
        chosen = answer.label if answer.label is not None else answer.text
        line |= {"question": question[:LONGEST_TEXT], "target": target, "answer": chosen, "score": round(float(score_N[index]), 6)}
        if answer.probabilities:
            line["confidence"] = round(answer.probabilities.get(chosen, 0.0), 6)
        if answer.nll is not None:
            line |= {"nll": answer.nll, "learned_tokens": answer.learned_tokens}
        line |= details[index] if details else {}
        found.append(line | {"tokens_in": answer.tokens_in, "tokens_out": answer.tokens_out, "seconds": answer.seconds})
    return found
