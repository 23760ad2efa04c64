"""The field's seven best practices, each passed or not, with the number that says so."""
from luthier.evaluation.report.document import Prose, Section, Table
from luthier.evaluation.report.folder import RunFiles, inner, items, number, word
from luthier.evaluation.wording import figure

PASSED, FAILED, UNKNOWN = "✓ passed", "✗ not passed", "– not known"


def practices(run: RunFiles) -> Section | None:
    """None for a run that did not come to its verdict."""
    if not run.verdict:
        return None
    found = [clean(run), base(run), watched(run), efficient(run), evaluated(run), combined(run), planned(run)]
    met = sum(mark == PASSED for _, mark, _ in found)
    return Section("practices", "Seven good habits", [Prose(f"{met} of 7 are met."), Table(["habit", "", "the number"], [list(line) for line in found])])


def verdict_of(passed: bool | None) -> str:
    return UNKNOWN if passed is None else PASSED if passed else FAILED


def clean(run: RunFiles) -> tuple[str, str, str]:
    findings = [finding for finding in items(run.check, "findings") if isinstance(finding, dict)]
    errors, warnings = (sum(finding.get("level") == level for finding in findings) for level in ("error", "warning"))
    used = number(inner(run.ledger, "train").get("used"))
    known = None if not run.check else errors == 0 and (used or 0) >= 100
    return "clean and diverse data", verdict_of(known), f"{errors} errors and {warnings} warnings in {int(used or 0):,} training rows"


def base(run: RunFiles) -> tuple[str, str, str]:
    size = number(inner(run.facts, "model").get("parameters"))
    known = None if size is None else size >= 100e6
    return "a strong base", verdict_of(known), f"{(size or 0) / 1e6:,.0f} M parameters (100 M or more)"


def watched(run: RunFiles) -> tuple[str, str, str]:
    looks = [row for row in run.validation if number(row.get("loss")) is not None]
    step = number(run.facts.get("best_step"))
    return "validation watched", verdict_of(len(looks) >= 3), f"{len(looks)} looks, step {step:,.0f} kept" if step is not None else f"{len(looks)} looks"


def efficient(run: RunFiles) -> tuple[str, str, str]:
    method, size = word(run.facts.get("method")), number(inner(run.facts, "model").get("parameters")) or 0
    return "an efficient method", verdict_of(method != "full" or size < 100e6), f"{method}; full tuning pays below 100 M parameters only"


def evaluated(run: RunFiles) -> tuple[str, str, str]:
    count, others = number(run.verdict.get("n")) or 0, len(items(run.verdict, "contestants")) - 1
    return "evaluated before it is used", verdict_of(count >= 100 and others >= 2), f"{count:,.0f} unseen rows against {others} others (100 rows, 2 others)"


def combined(run: RunFiles) -> tuple[str, str, str]:
    values = {word(line.get("name")): number(line.get("value")) for line in items(run.verdict, "contestants") if isinstance(line, dict)}
    retrieved = [name for name in ("rag", "tuned_rag") if values.get(name) is not None]
    if not retrieved:
        return "combined with retrieval where it pays", UNKNOWN, "retrieval did not answer: add rag and tuned_rag to evaluation.contestants"
    shown = ", ".join(f"{name} {figure(values[name], word(run.verdict.get('metric')))}" for name in (*retrieved, "tuned") if values.get(name) is not None)
    return "combined with retrieval where it pays", PASSED, shown


def planned(run: RunFiles) -> tuple[str, str, str]:
    watched_over = inner(run.facts, "monitoring") or inner(run.facts, "retraining")
    return "retraining planned", verdict_of(bool(watched_over)), "a watch over the deployed model is set" if watched_over else "nothing watches the deployed model yet"
