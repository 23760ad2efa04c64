"""`demo`: the whole journey on the samples and the small base that ship, ending with one question asked of the base and of the tuned model."""
import dataclasses
import json
import random
from pathlib import Path

from luthier.data import samples
from luthier.files import read_json, write_file
from luthier.runs import folder as runs
from luthier.runs.events import Event, Say, silent
from luthier.verbs.examples import rows_of
from luthier.verbs.results import RunResult
from luthier.verbs.train import train

ROWS = 1200
SAMPLE_SEED = 1
RECIPE = {
    "model": "spruce",
    "task": {"name": "chat"},
    "method": "full",
    "training": {"epochs": 4, "learning_rate": 1e-3, "batch_size": 16, "evaluate_every": 60, "validation_rows": 8},
    "evaluation": {"shots": 4, "contestants": ["majority", "nearest", "base", "few_shot", "rag", "tuned", "tuned_rag"]},
    "retrieval": {"passages": 2, "words": 60},
}
"""What the demo tunes with; few shots and passages, since each of them is read again for every answer."""


def demo(*, seed: int = 17, shuffle_labels: bool = False, say: Say = silent) -> RunResult:
    """Data, training, verdict and one answer. With `shuffle_labels`, answers are dealt to other questions first: then there is nothing to learn."""
    folder = Path("luthier-demo") / ("shuffled" if shuffle_labels else "shop")
    data = samples.write(folder, kind="chat", rows=ROWS, seed=SAMPLE_SEED)
    if shuffle_labels:
        shuffle(data, seed)
    say(Event("note", f"wrote {ROWS:,} conversations of a fictional instrument shop to {data}"))
    recipe = {**RECIPE, "seed": seed, "data": {"train": str(data)}, "retrieval": {**RECIPE["retrieval"], "documents": str(folder / "papers.md")}, "task": {"name": "chat", "truth": str(folder / "truth.jsonl")}}
    result = train(data, flattened(recipe), stem="demo", say=say)
    say(Event("note", exactly_right(result.run)))
    return dataclasses.replace(result, more={"question": one_question(result.run)})


def flattened(recipe: dict, prefix: str = "") -> dict:
    """A nested mapping with dotted keys."""
    flat: dict = {}
    for key, value in recipe.items():
        flat |= flattened(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def shuffle(data: Path, seed: int) -> None:
    """Deal the answers to other questions."""
    rows = [json.loads(line) for line in data.read_text(encoding="utf-8").splitlines()]
    answers = [row["messages"][-1] for row in rows]
    random.Random(seed).shuffle(answers)
    for row, answer in zip(rows, answers, strict=True):
        row["messages"][-1] = answer
    write_file(data, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def exactly_right(name: str) -> str:
    """What ROUGE-L does not say: how many answers state just the right facts."""
    found = read_json(runs.find(name).evaluation_folder / "results.json")["contestants"]
    right = {who: figures["metrics"]["correct"]["value"] for who, figures in found.items()}
    short = "; a base of 7 M parameters learns the sentences sooner than to carry names and numbers over" if right.get("tuned", 0.0) < 0.5 else ""
    return f"answers that state just the right facts: {', '.join(f'{who} {share:.0%}' for who, share in right.items())}{short}"


def one_question(name: str) -> dict:
    """The first test row, in the words of base, tuned model and target: not chosen for how it went."""
    run = runs.find(name)
    base, tuned = rows_of(run, "base")[0], rows_of(run, "tuned")[0]
    return {"input": tuned["question"], "base": base["answer"], "tuned": tuned["answer"], "target": tuned["target"]}
