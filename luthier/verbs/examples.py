"""`examples`: test rows with the wanted, the base's and the tuned answer, the worst first."""
from luthier.errors import WorkFailed
from luthier.files import read_json, read_json_lines
from luthier.runs import folder as runs
from luthier.verbs.results import Answered


def examples(run: str, *, worst: int = 5, lost: bool = False) -> Answered:
    """The rows that the tuned model gets most wrong: by its score, then by how unlikely it finds the target. Returns `{run, rows: [...]}`.

    With `lost`, only rows on which the base did better, those first on which it did better by most; `lost` and `won` then count all of them.
    """
    found = runs.find(run)
    tuned, base = rows_of(found, "tuned"), {row["row"]: row for row in rows_of(found, "base")}
    if not tuned:
        raise WorkFailed(f"{found.name} has no answers of a tuned model: its status is {found.status()}", code="E132", hint=f"luthier train --resume {found.name}")
    if lost:
        return Answered(rows_lost(found, tuned, base, worst))
    ordered = sorted(tuned, key=lambda row: (row["score"], -(row.get("nll") or 0.0)))[:worst]
    return Answered({"run": found.name, "rows": [shown(row, base.get(row["row"])) for row in ordered]})


def rows_lost(run, tuned: list[dict], base: dict[int, dict], most: int) -> dict:
    """What tuning took away row by row, whichever way the figure runs."""
    if not base:
        raise WorkFailed(f"{run.name} has no answers of the base to compare with", code="E132", hint="luthier eval with base among evaluation.contestants")
    verdict = read_json(run.path / "verdict.json") if (run.path / "verdict.json").exists() else {}
    sign = 1 if verdict.get("higher_is_better", True) else -1
    gains = [(sign * (row["score"] - base[row["row"]]["score"]), row) for row in tuned if row["row"] in base]
    fallen = sorted((pair for pair in gains if pair[0] < 0), key=lambda pair: pair[0])
    rows = [{**shown(row, base[row["row"]]), "gain": gain} for gain, row in fallen[:most]]
    return {"run": run.name, "lost": len(fallen), "won": sum(gain > 0 for gain, _ in gains), "rows": rows}


def rows_of(run, name: str) -> list[dict]:
    path = run.evaluation_folder / f"{name}.jsonl"
    return read_json_lines(path) if path.exists() else []


def shown(row: dict, base: dict | None) -> dict:
    origin = f"{row['file']}:{row['line']}" if row.get("line") else row.get("file")
    return {
        "row": row["row"], "origin": origin, "input": row["question"], "target": row["target"], "base": base and base["answer"], "tuned": row["answer"],
        "score": row["score"], "nll": row.get("nll"), "confidence": row.get("confidence"),
    }
