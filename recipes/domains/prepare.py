"""Make the data of the domain stories: `python -m recipes.domains.prepare STORY FOLDER [--data SHARED]`; nothing is fetched and nothing is kept elsewhere.

Stories: healthcare, law, shop, finance, coding. `shop` needs nothing but what ships; the others read third-party files that lie beside the
repository, and copy from them what a story needs into FOLDER, for use on this machine.
"""
import argparse
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

from luthier.data import samples

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


def healthcare(folder: Path, data: Path) -> dict:
    """Questions of MedQuAD with the beginning of their answer, phone numbers, dates and addresses taken out; the whole answers are the documents."""
    rows = [json.loads(line) for line in (data / "rag_qa/abachaa__MedQuAD/medquad_dev.jsonl").read_text(encoding="utf-8").splitlines()]
    rows = [row for row in rows if len(row["answer"].split()) > 8]
    safe = [{**row, "answer": NUMBERS.sub("[removed]", row["answer"])} for row in rows]
    write(folder / "questions.jsonl", [talk(row["question"], first_sentences(row["answer"], 40)) for row in safe])
    write(folder / "documents.jsonl", [{"text": f"{row['focus']} ({row['qtype']}): {row['answer']}"} for row in safe])
    return {"questions": len(safe), "removed": sum(len(NUMBERS.findall(row["answer"])) for row in rows)}


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


def coding(folder: Path, data: Path) -> dict:
    """Short programming tasks with a Python answer."""
    rows = json.loads((data / "instruct/teknium1__GPTeacher/Codegen/codegen-instruct.json").read_text(encoding="utf-8"))
    chosen = [row for row in rows if "python" in row["instruction"].lower() and 5 < len(row["response"].split()) < 120]
    write(folder / "tasks.jsonl", [talk(" ".join(f"{row['instruction']} {row['input']}".split()), row["response"]) for row in chosen])
    return {"tasks": len(chosen)}


STORIES: dict[str, Callable[[Path, Path], dict]] = {"healthcare": healthcare, "law": law, "shop": shop, "finance": finance, "coding": coding}


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
