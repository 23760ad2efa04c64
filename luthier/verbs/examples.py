"""`examples`: test rows with the wanted, the base's and the tuned answer, the worst first."""
import json

from luthier.errors import WorkFailed
from luthier.runs import folder as runs
from luthier.verbs.results import Answered


def examples(run: str, *, worst: int = 5) -> Answered:
    """The rows that the tuned model gets most wrong: by its score, then by how unlikely it finds the target. Returns `{run, rows: [...]}`."""
    found = runs.find(run)
    tuned, base = rows_of(found, "tuned"), {row["row"]: row for row in rows_of(found, "base")}
    if not tuned:
        raise WorkFailed(f"{found.name} has no answers of a tuned model: its status is {found.status()}", code="E132", hint=f"luthier train --resume {found.name}")
    ordered = sorted(tuned, key=lambda row: (row["score"], -(row.get("nll") or 0.0)))[:worst]
    return Answered({"run": found.name, "rows": [shown(row, base.get(row["row"])) for row in ordered]})


def rows_of(run, name: str) -> list[dict]:
    path = run.evaluation_folder / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def shown(row: dict, base: dict | None) -> dict:
    origin = f"{row['file']}:{row['line']}" if row.get("line") else row.get("file")
    return {
        "row": row["row"], "origin": origin, "input": row["question"], "target": row["target"], "base": base and base["answer"], "tuned": row["answer"],
        "score": row["score"], "nll": row.get("nll"), "confidence": row.get("confidence"),
    }
