"""Samples that ship: conversations and tickets of one fictional instrument shop, a pure function of kind, rows and seed.

rows = generate("chat", rows=1200, seed=1)          # dicts with messages, truth, template, slots
write("folder", kind="tickets", rows=2000, seed=1)  # tickets.csv and its side files
"""

import csv
import json
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

from luthier.data.samples import chat, defects, documents, entities, preferences, priorities, summaries, sums, tickets
from luthier.data.samples.draws import Draws
from luthier.data.samples.overlap import overlap
from luthier.data.samples.truth import correct, key, read
from luthier.errors import RecipeError
from luthier.files import write_file

__all__ = ["KINDS", "Sample", "correct", "generate", "key", "make", "read", "write"]
KINDS = {"chat": chat, "tickets": tickets, "entities": entities, "summaries": summaries, "priorities": priorities, "preferences": preferences, "sums": sums}
FAULTY = ("chat", "tickets")
"""Kinds in which faults can be planted."""
VERSION = 1
HELD_OUT = 0.1  # share of rows in the held-out file that a sample with faults brings along
MAX_REPEATS = 2000
MIN_FAULTY = 50


@dataclass
class Sample:
    """One drawn sample: `rows`, and where faults were planted, `held_out` rows (some of them leaked) and what was planted where."""

    rows: list[dict]
    held_out: list[dict] = field(default_factory=list)
    planted: list[dict] = field(default_factory=list)


def make(kind: str, *, rows: int, seed: int, defects_too: bool = False) -> Sample:
    """Draw a sample of `rows` rows; raises RecipeError for an unknown kind or more rows than the world has."""
    if kind not in KINDS:
        raise RecipeError(f"no samples of kind '{kind}'", hint=f"kinds: {', '.join(KINDS)}")
    if rows < (MIN_FAULTY if defects_too else 1):
        raise RecipeError(f"{rows} rows are too few", hint=f"at least {MIN_FAULTY} with defects, 1 without")
    if defects_too and kind not in FAULTY:
        raise RecipeError(f"no faults can be planted in samples of kind '{kind}'", hint=f"kinds with faults: {', '.join(FAULTY)}")
    draws = Draws(f"luthier samples {VERSION} {kind} {seed}")
    extra = int(rows * HELD_OUT) if defects_too else 0
    drawn = _distinct(KINDS[kind], rows + extra, draws)
    sample = Sample(drawn[:rows], drawn[rows:])
    if defects_too:
        sample.planted = defects.plant(sample.rows, sample.held_out, kind, draws)
    return sample


def _distinct(part, count: int, draws: Draws) -> list[dict]:
    """`count` rows of which no two share their identity or their prompt."""
    rows, seen, repeats = [], set(), 0
    while len(rows) < count:
        row = part.draw(draws)
        marks = {part.identity(row), key(row["messages"]) if "messages" in row else row.get("text", row.get("source", row.get("prompt", ""))).lower()}
        if marks & seen:
            repeats += 1
            if repeats > MAX_REPEATS + 20 * count:
                raise RecipeError(f"the sample world has no {count} different rows", hint=f"ask for at most about {len(rows)}")
            continue
        seen |= marks
        rows.append(row)
    return rows


def generate(kind: str, *, rows: int, seed: int, defects: bool = False) -> list[dict]:
    """Rows as dicts: chat {"messages", "truth", "template", "slots"}, tickets {"text", "label", "template", "slots"}, entities
    {"text", "spans", "template", "slots"}, summaries {"source", "target", "template", "slots"}, priorities {"text", "score", "template", "slots"}.

    No two rows share template and slot values (chat: not even intent and slot values), unless `defects` plants duplicates.
    """
    return make(kind, rows=rows, seed=seed, defects_too=defects).rows


def write(folder: Path | str, *, kind: str, rows: int, seed: int, defects: bool = False) -> Path:
    """Write a sample and return the path of its main file.

    chat: `chat.jsonl` ({"messages"} a line), `truth.jsonl` (key, facts, says, never) and `papers.md`, what the shop knows; tickets: `tickets.csv`
    (text,label); entities: `entities.jsonl` ({"text", "spans": [{"start", "end", "label"}]} a line); summaries: `summaries.jsonl`; priorities: `priorities.jsonl` ({"text", "score"} a line). All:
    preferences: `preferences.jsonl` ({"prompt", "chosen", "rejected"} a line); sums: `sums.jsonl` ({"prompt", "reference", "instrument"}) and
    `sums.grader.json`, which rewards their answers;
    `sample.json` (kind, rows, seed, version, 13-gram overlap of a tenth with the rest). With `defects`: `held_out.jsonl|csv`, some of whose
    rows leaked into the main file, and `defects.json`, where each planted fault stands.
    """
    sample = make(kind, rows=rows, seed=seed, defects_too=defects)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    name, form = FILES[kind]
    write_file(folder / name, form(sample.rows))
    about = {"kind": kind, "rows": rows, "seed": seed, "version": VERSION, "overlap_13_grams": measured(kind, sample.rows)}
    write_file(folder / "sample.json", json.dumps(about, indent=2) + "\n")
    if kind == "sums":
        write_file(folder / "sums.grader.json", json.dumps(sums.GRADER, indent=1) + "\n")
    if kind == "chat":
        write_file(folder / "truth.jsonl", _truths(sample.rows + sample.held_out))
        write_file(folder / "papers.md", documents.pages())
    if defects:
        write_file(folder / f"held_out{Path(name).suffix}", form(sample.held_out))
        write_file(folder / "defects.json", json.dumps(sample.planted, indent=1) + "\n")
    return folder / name


def measured(kind: str, rows: list[dict]) -> float:
    """The share of the 13-grams of every tenth row that stand in the other rows too."""
    texts = [KINDS[kind].text(row) for row in rows]
    return round(overlap(texts[::10], [text for i, text in enumerate(texts) if i % 10]), 4)


def _jsonl(rows: list[dict]) -> str:
    return "".join(json.dumps({"messages": row["messages"]}, ensure_ascii=False) + "\n" for row in rows)


def _csv(rows: list[dict]) -> str:
    out = StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["text", "label"])
    writer.writerows([row["text"], row["label"]] for row in rows)
    return out.getvalue()


def _spans(rows: list[dict]) -> str:
    return "".join(json.dumps({"text": row["text"], "spans": row["spans"]}, ensure_ascii=False) + "\n" for row in rows)


def _scores(rows: list[dict]) -> str:
    return "".join(json.dumps({"text": row["text"], "score": row["score"]}, ensure_ascii=False) + "\n" for row in rows)


def _pairs(rows: list[dict]) -> str:
    return "".join(json.dumps({"source": row["source"], "target": row["target"]}, ensure_ascii=False) + "\n" for row in rows)


def _preferences(rows: list[dict]) -> str:
    return "".join(json.dumps({name: row[name] for name in ("prompt", "chosen", "rejected")}, ensure_ascii=False) + "\n" for row in rows)


def _sums(rows: list[dict]) -> str:
    return "".join(json.dumps({name: row[name] for name in ("prompt", "reference", "instrument")}, ensure_ascii=False) + "\n" for row in rows)


FILES = {"chat": ("chat.jsonl", _jsonl), "tickets": ("tickets.csv", _csv), "entities": ("entities.jsonl", _spans), "summaries": ("summaries.jsonl", _pairs), "priorities": ("priorities.jsonl", _scores), "preferences": ("preferences.jsonl", _preferences), "sums": ("sums.jsonl", _sums)}
"""The main file of each kind, and how its rows are written."""


def _truths(rows: list[dict]) -> str:
    """One truth a prompt: a repeated prompt has the same truth, since the truth follows from the prompt."""
    truths = {key(row["messages"]): row["truth"] for row in rows}
    return "".join(json.dumps({"key": name} | truth) + "\n" for name, truth in truths.items())
