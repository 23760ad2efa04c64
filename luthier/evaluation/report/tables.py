"""The two tables of a run whose facts were changed: who follows, and what each approach gives, costs and needs."""
from luthier.evaluation.report.document import Prose, Section, Table
from luthier.evaluation.report.folder import RunFiles, items, word
from luthier.evaluation.two_tables import approaches_cells, facts_cells


def tables(run: RunFiles) -> Section | None:
    """None where no facts were changed, or what was written cannot be read."""
    found = run.tables
    if not items(found, "facts") or not items(found, "approaches"):
        return None
    try:
        cells = facts_cells(found), approaches_cells(found)
    except (KeyError, TypeError, ValueError):
        run.unreadable.append("tables.json is damaged")
        return None
    (facts_head, facts), (head, lines) = cells
    said = word(found.get("sentence"))
    return Section("tables", "When facts change", [
        Prose(f"{said}." if said else ""), Table(facts_head, facts, frozenset({1, 3, 4, 5, 6}), "Facts that changed after training"),
        Table(head, lines, frozenset({1, 2, 3, 4, 5}), "What each approach gives, costs and needs"),
    ])  # fmt: skip
