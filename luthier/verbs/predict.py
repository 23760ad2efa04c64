"""`predict`: a tuned model's answers for new inputs: labels with confidence, continuations, replies."""
import sys
from pathlib import Path

from luthier.data import sources
from luthier.data.findings import Finding
from luthier.errors import DataError
from luthier.runs.events import Say, silent
from luthier.verbs.opening import open_run
from luthier.verbs.results import Answered


def predict(run: str, source: str, *, say: Say = silent) -> Answered:
    """Answer one text, a file of rows, or lines on stdin (`-`). Returns `{run, answers: [{row, input, answer | label, confidence, ...}]}`."""
    inputs = inputs_of(source)
    opened = open_run(run, say)
    found = opened.task.predict(opened.language_model, opened.renderer, opened.led(inputs), say=say)
    answers = [{"row": number, "input": text, **answer} for number, (text, answer) in enumerate(zip(inputs, found, strict=True), 1)]
    return Answered({"run": opened.run.name, "task": opened.task.name, "answers": answers})


def inputs_of(source: str) -> list[str]:
    """The texts to answer: lines of stdin, the input column of a file, or the text itself."""
    if source == "-":
        return [line.rstrip("\r\n") for line in sys.stdin if line.strip()]
    looks_like_file = len(source) < 4096 and "\n" not in source and Path(source).suffix in (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".txt", ".gz")
    if not looks_like_file and not (len(source) < 4096 and "\n" not in source and Path(source).is_file()):
        return [source]
    texts = []
    for item in sources.read(source):
        if isinstance(item, Finding):
            place = {key: value for key, value in item.to_dict().items() if key not in ("level", "message")}
            raise DataError(item.message, **place)
        texts.append(text_of(item))
    return texts


def text_of(row) -> str:
    """The input of a row: its text, prompt or question column, else its only or first text column; the last user turn of messages."""
    values = row.values
    if isinstance(messages := values.get("messages"), list):
        return next((turn["content"] for turn in reversed(messages) if turn.get("role") == "user"), "")
    if isinstance(words := values.get("tokens"), list):
        return " ".join(map(str, words))
    for name in ("text", "full_text", "prompt", "question", "input", "sentence", "source"):
        if isinstance(values.get(name), str):
            return values[name]
    found = next((value for value in values.values() if isinstance(value, str)), None)
    if found is None:
        raise DataError("no column of text to answer", code="D112", file=row.file, line=row.line, hint="name the column `text`")
    return found
