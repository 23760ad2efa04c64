"""The two tables of every tutorial, measured: what it takes to follow when facts change, and what each approach gives, costs and needs.

Both are plain values (`tables.json`); from them the same cells go to the screen, the report, CSV and LaTeX.
"""
import re
from collections.abc import Sequence

from luthier.evaluation.contestants import CONTESTANTS
from luthier.evaluation.wording import figure, metric_words, seconds

WAYS = {
    "search": "its documents are indexed anew", "train": "its rows are read anew", "tuned": "it is trained on", "": "nothing in it can be updated",
}
"""How a contestant follows a change, by what it stands on."""


def stands_on(name: str) -> str:
    """What of a contestant must be renewed when facts change: search, train, tuned, or nothing."""
    needs = CONTESTANTS[name].needs
    return next((part for part in ("search", "train", "tuned") if part in needs), "")


def states(answer: str, new: str, old: str, wanted: str) -> bool:
    """Whether an answer states the new value and not the old one; an old value that the right answer holds for another reason is no fault."""
    return said(new, answer) and (not old or said(old, wanted) or not said(old, answer))


def said(value: str, text: str) -> bool:
    return bool(re.search(rf"(?<![\w.,]){re.escape(value)}(?!\w|[.,]\d)", text, re.IGNORECASE))


def needed(name: str, *, frozen: bool, sizes: dict[str, int]) -> dict:
    """`{files: [[what, bytes]], services: [...]}` that must run for this contestant to answer. `frozen`: what was learned lies beside the base. `sizes`: base, model, rows, documents."""
    needs = CONTESTANTS[name].needs
    files = []
    if "base" in needs or ("tuned" in needs and frozen):
        files.append(["base", sizes["base"]])
    if "tuned" in needs:
        files.append(["adapter" if frozen else "tuned model", sizes["model"]])
    if "train" in needs:
        files.append(["training rows", sizes["rows"]])
    if "search" in needs:
        files.append(["documents", sizes["documents"]])
    services = ["model"] * bool({"base", "tuned", "scratch"} & set(needs)) + ["search"] * bool("search" in needs or {"base", "train"} <= set(needs)) + ["somebody else's model"] * ("endpoint" in needs)
    return {"files": files, "services": services}


# ---- cells --------------------------------------------------------------------------------------
def facts_cells(found: dict) -> tuple[list[str], list[list[str]]]:
    """Head and lines of the first table."""
    metric = found["metric"]
    head = ["contestant", "new facts right before", "how it follows", "time to update", "new facts right after", f"{metric_words(metric)} before", f"{metric_words(metric)} after"]
    lines = [
        [one["name"], share(one["before"]), WAYS[one["way"]], seconds(one["seconds"]) if one["seconds"] is not None else "-", share(one["after"]), figure(one["domain_before"], metric), figure(one["domain_after"], metric)]
        for one in found["facts"]
    ]
    return head, lines


def approaches_cells(found: dict) -> tuple[list[str], list[list[str]]]:
    """Head and lines of the second table."""
    metric = found["metric"]
    head = ["contestant", metric_words(metric), "95 % interval", "just the right facts", "consistency", f"cost of 1,000, {found['currency']}", "files to deploy", "services"]
    lines = [
        [
            one["name"], figure(one["value"], metric), f"{figure(one['low'], metric)} to {figure(one['high'], metric)}", "-" if one["correct"] is None else f"{one['correct']:.0%}", share(one["consistency"]),
            "-" if one["cost_per_thousand"] is None else f"{one['cost_per_thousand']:.2f}",
            ", ".join(f"{what} {size / 1e6:.2f} MB" for what, size in one["files"]) or "-", ", ".join(one["services"]) or "none",
        ]
        for one in found["approaches"]
    ]
    return head, lines


def share(one: dict | None) -> str:
    """A share with its interval."""
    return "-" if one is None else f"{one['value']:.2f} [{one['low']:.2f}, {one['high']:.2f}]"


def as_csv(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return "".join(",".join(f'"{cell}"' if "," in cell or '"' in cell else cell for cell in (cell.replace('"', '""') for cell in line)) + "\n" for line in [head, *lines])


def as_latex(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    def clean(cell: str) -> str:
        return re.sub(r"([&%$#_{}])", r"\\\1", cell)

    body = " \\\\\n".join(" & ".join(map(clean, line)) for line in [head, *lines])
    return "\\begin{tabular}{" + "l" * len(head) + "}\n" + body + " \\\\\n\\end{tabular}\n"


def sentence(found: dict) -> str:
    """Who follows a change best, and what that takes."""
    lines = [one for one in found["facts"] if one["way"] and one["after"] is not None]
    if not lines:
        return "No contestant of this run can follow a change of facts"
    best = max(lines, key=lambda one: (one["after"]["value"], -(one["seconds"] or 0)))
    told = f"After {found['changed']} facts changed, {best['name']} states {best['after']['value']:.0%} of the new ones ({WAYS[best['way']]}, {seconds(best['seconds'])})"
    own = next((one for one in lines if one["name"] == "tuned"), None)
    if own is None or own is best:
        return told
    return f"{told}; tuned states {own['after']['value']:.0%} once it is trained on for {seconds(own['seconds'])}, and {own['before']['value']:.0%} before"
