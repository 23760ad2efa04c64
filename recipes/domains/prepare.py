"""Make the data of the domain stories: `python -m recipes.domains.prepare STORY FOLDER [--data SHARED]`; nothing is fetched and nothing is kept elsewhere.

Stories: healthcare, law, shop, finance, reports, coding. `shop` and `reports` need nothing but what ships; the others read third-party files that lie beside the
repository, and copy from them what a story needs into FOLDER, for use on this machine.
"""
import argparse
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

from luthier.data import samples
from luthier.data.private import scan
from luthier.data.samples.draws import Draws

NUMBERS = re.compile(r"\b(?:\d{3}[-. ]\d{3}[-. ]\d{4}|\d{1,2}/\d{1,2}/\d{2,4})\b|[\w.+-]+@[\w-]+\.\w+")


def talk(question: str, answer: str) -> dict:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


def write(path: Path, rows: list[dict]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def first_sentences(text: str, words: int) -> str:
    """The beginning of a text, whole sentences, at most so many words (at least one sentence's beginning)."""
    kept: list[str] = []
    for sentence in re.split(r"(?<=[.!?])\s+", " ".join(text.split())):
        if kept and len(" ".join([*kept, sentence]).split()) > words:
            break
        kept.append(sentence)
    return " ".join(" ".join(kept).split()[:words])


def deidentified(text: str) -> tuple[str, int]:
    """A text without what the data doctor finds private and without dates, and how much was taken out."""
    spans = [(span.start, span.end) for span in scan(text)] + [match.span() for match in NUMBERS.finditer(text)]
    kept, at, taken = [], 0, 0
    for start, end in sorted(spans):
        if start >= at:
            kept += [text[at:start], "[removed]"]
            taken += 1
        at = max(at, end)
    return "".join([*kept, text[at:]]), taken


def healthcare(folder: Path, data: Path) -> dict:
    """Questions of MedQuAD with the beginning of their answer, what the data doctor finds private and dates taken out; the whole answers are the documents."""
    rows = [json.loads(line) for line in (data / "rag_qa/abachaa__MedQuAD/medquad_dev.jsonl").read_text(encoding="utf-8").splitlines()]
    rows = [row for row in rows if len(row["answer"].split()) > 8]
    clean = [deidentified(row["answer"]) for row in rows]
    safe = [{**row, "answer": text} for row, (text, _) in zip(rows, clean)]
    write(folder / "questions.jsonl", [talk(row["question"], first_sentences(row["answer"], 40)) for row in safe])
    write(folder / "documents.jsonl", [{"text": f"{row['focus']} ({row['qtype']}): {row['answer']}"} for row in safe])
    return {"questions": len(safe), "removed": sum(count for _, count in clean)}


def law(folder: Path, data: Path) -> dict:
    """Passages of terms of service with a plain sentence for each."""
    rows = json.loads((data / "summarisation/lauramanor__legal_summarization/tosdr_annotated_v1.json").read_text(encoding="utf-8")).values()
    write(folder / "clauses.jsonl", [talk(f"In plain words: {first_sentences(row['original_text'], 120)}", row["reference_summary"]) for row in rows])
    return {"clauses": len(rows)}


def shop(folder: Path, data: Path) -> dict:
    """The instrument shop that ships: conversations, their truth, and the shop's papers."""
    samples.write(folder, kind="chat", rows=1200, seed=1)
    return {"conversations": 1200}


def finance(folder: Path, data: Path) -> dict:
    """Intents of bank customers: banking77 with its own test file."""
    source = data / "classification/PolyAI-LDN__task-specific-datasets/banking_data"
    counts = {}
    for name in ("train", "test"):
        text = (source / f"{name}.csv").read_text(encoding="utf-8")
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
        counts[name] = text.count("\n") - 1
    return counts


QUARTERS = ("first", "second", "third", "fourth")
FIRST, SECOND = ("Harbour", "Linden", "Copper", "North", "Maple", "Granite", "River", "Amber"), ("Mills", "Foods", "Works", "Line", "Glass", "Textiles")
ASKED = {
    "revenue": ("What was the revenue of {name} in the {quarter} quarter?", "The revenue of {name} was {revenue} million dollars in the {quarter} quarter."),
    "profit": ("How much did {name} earn in the {quarter} quarter?", "{name} earned {profit} million dollars in the {quarter} quarter."),
    "people": ("How many people did {name} employ at the end of the {quarter} quarter?", "{name} employed {people} people at the end of the {quarter} quarter."),
}


def reports(folder: Path, data: Path) -> dict:
    """Quarterly reports of invented companies and questions about their figures; companies of the test rows stand in no training row, so only who reads can know."""
    draws, rows, papers = Draws("luthier reports 1"), [], []
    for name in (f"{first} {second}" for first in FIRST for second in SECOND):
        for quarter in QUARTERS:
            revenue = draws.number(20, 990) / 10
            facts = {"name": name, "quarter": quarter, "revenue": f"{revenue:.1f}", "profit": f"{max(0.1, revenue * draws.number(2, 20) / 100):.1f}", "people": draws.number(40, 4000)}
            papers.append({"text": "{name}, {quarter} quarter: revenue {revenue} million dollars, profit {profit} million dollars, {people} people employed.".format(**facts)})
            rows += [{**talk(asked.format(**facts), answer.format(**facts)), "company": name} for asked, answer in ASKED.values()]
    write(folder / "questions.jsonl", rows)
    write(folder / "documents.jsonl", papers)
    return {"questions": len(rows), "reports": len(papers)}


def coding(folder: Path, data: Path) -> dict:
    """Short programming tasks with a Python answer."""
    rows = json.loads((data / "instruct/teknium1__GPTeacher/Codegen/codegen-instruct.json").read_text(encoding="utf-8"))
    chosen = [row for row in rows if "python" in row["instruction"].lower() and 5 < len(row["response"].split()) < 120]
    write(folder / "tasks.jsonl", [talk(" ".join(f"{row['instruction']} {row['input']}".split()), row["response"]) for row in chosen])
    return {"tasks": len(chosen)}


STORIES: dict[str, Callable[[Path, Path], dict]] = {"healthcare": healthcare, "law": law, "shop": shop, "finance": finance, "reports": reports, "coding": coding}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("story", choices=STORIES)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("LUTHIER_TEST_DATA") or "../shared/data"))
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    print(json.dumps(STORIES[given.story](given.folder, given.data)))


if __name__ == "__main__":
    main()
