"""Preference objectives on real pairs: preference accuracy on unseen pairs before and after, with the rate chosen on validation pairs only.

    python benchmarks/preferences.py DATA hh|lfs BASE OBJECTIVE [--rates 3e-4,1e-3] [--train 900] [key=value ...]

DATA is the folder of test data; BASE `spruce` or a folder below DATA/models; OBJECTIVE dpo, kto, orpo or reward. Each rate trains once, without
looking at a test pair (for --range-steps steps); the one with the lowest loss on validation pairs is trained through `luthier train`, whose verdict is printed. KTO takes the
pairs apart into good and bad answers. `hh` is hh-rlhf harmless (2,312 transcripts), `lfs` the pairs of LLMs-from-scratch (1,100). Rows are dealt by the hash of what they say: 30 % are the unseen
pairs, of the rest at most --train are learned from and validated on; those longer than the context leave.
"""
import argparse
import gzip
import hashlib
import json
import os
import shutil
import tempfile
import time
from pathlib import Path

import luthier
from luthier.runs import folder as runs
from luthier.runs.events import silent
from luthier.settings.reading import read_word
from luthier.verbs.stages import open_recipe
from luthier.verbs.stopping import Stopping
from luthier.verbs.work import Work

FILES = {
    "hh": "preference/anthropics__hh-rlhf/harmless-base/test.jsonl.gz",
    "lfs": "preference/rasbt__LLMs-from-scratch/ch07/04_preference-tuning-with-dpo/instruction-data-with-preference.json",
}
SETTINGS = {
    "method": "full", "data.validation": 0.1, "data.on_bad_row": "skip", "training.precision": "fp32", "training.threads": 1, "evaluation.seeds": 1,
    "training.validation_rows": 200, "evaluation.win_rate.by": "none",
}


def overrides(base: str, objective: str, more: list[str]) -> dict:
    """The recipe of one training, dotted."""
    chosen = {"objective.name": objective} | ({"objective.records": "pairs"} if objective == "kto" else {})
    return {**SETTINGS, "model": base, **chosen, **{key: read_word(value) for key, value in (word.split("=", 1) for word in more)}}


def dealt(source: Path, folder: Path, most: int | None) -> tuple[Path, Path]:
    """Files to learn from and to be judged on."""
    text = (gzip.open(source, "rt", encoding="utf-8") if source.suffix == ".gz" else open(source, encoding="utf-8")).read()
    rows = json.loads(text) if text.lstrip().startswith("[") else [json.loads(line) for line in text.split("\n") if line.strip()]
    rows.sort(key=lambda row: hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest())
    unseen = round(0.3 * len(rows))
    made = {"test": rows[:unseen], "train": rows[unseen:][:most]}
    for name, part in made.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part), encoding="utf-8")
    return folder / "train.jsonl", folder / "test.jsonl"


def validation_loss(data: Path, given: dict, rate: float) -> tuple[float, float]:
    """Lowest validation loss of one training at a rate and the accuracy on validation pairs at that look; no test pair is read by anyone."""
    recipe, _ = open_recipe(str(data), {**given, "training.learning_rate": rate}, silent)
    run = runs.create("", stem="rate")
    with run.lock(), Stopping() as stopping:
        Work(run, recipe, silent, stopping).trained()
    looks = [row for row in run.rows("metrics.jsonl") if row["kind"] == "validation" and row["step"]]
    best = min(looks, key=lambda row: row["loss"])
    return best["loss"], best["metrics"]["preference_accuracy"]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("pairs", choices=FILES)
    parser.add_argument("base")
    parser.add_argument("objective", choices=["dpo", "kto", "orpo", "reward"])
    parser.add_argument("--rates", default="")
    parser.add_argument("--train", type=int, help="most pairs to learn from")
    parser.add_argument("--range-steps", type=int, help="steps of each trial of a rate; else those of the recipe")
    parser.add_argument("--only-rates", action="store_true", help="stop once the rates are compared")
    parser.add_argument("more", nargs="*")
    asked = parser.parse_intermixed_args()
    base = asked.base if asked.base == "spruce" else str(asked.data / "models" / asked.base)
    folder = tempfile.mkdtemp(prefix="preferences-")
    file, unseen = dealt(asked.data / FILES[asked.pairs], Path(folder), asked.train)
    given = {**overrides(base, asked.objective, asked.more), "data.test": str(unseen)}
    os.environ["LUTHIER_RUNS"] = f"{folder}/runs"
    try:
        tried = {}
        for rate in [float(word) for word in asked.rates.split(",") if word]:
            began = time.perf_counter()
            tried[rate] = validation_loss(file, {**given, **({"training.max_steps": asked.range_steps} if asked.range_steps else {})}, rate)
            print(f"  rate {rate:.0e}: validation loss {tried[rate][0]:.4f}, accuracy {tried[rate][1]:.3f} ({time.perf_counter() - began:.0f} s)", flush=True)
        if asked.only_rates:
            return
        if tried:
            given["training.learning_rate"] = min(tried, key=lambda rate: tried[rate][0])
        began = time.perf_counter()
        result = luthier.train(str(file), given, name="final")
        told(asked, result, time.perf_counter() - began)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def told(asked, result, seconds: float) -> None:
    """One line of the table, then what the verdict holds beside it."""
    verdict, run = result.verdict, runs.find("final")
    values = {line["name"]: line for line in verdict["contestants"]}
    rate = run.facts()["resolved"].get("training.learning_rate", {}).get("value") or next(row["learning_rate"] for row in reversed(run.rows("metrics.jsonl")) if row["kind"] == "train")
    figures = ", ".join(f"{name} {line['value']:.3f} [{line['low']:.3f}, {line['high']:.3f}]" for name, line in values.items())
    rows = run.facts()["data"]["rows"]
    print(f"{asked.pairs} {asked.base} {asked.objective}: train {rows['train']}, validation {rows['validation']}, {verdict['n']} unseen; rate {rate}; {run.facts()['steps']} steps, best {run.facts()['best_step']}; {seconds:.0f} s")
    print(f"  {figures}")
    others = verdict["paired_test"]["others"]
    for name, other in others.items():
        ends = other["difference"]
        print(f"  tuned - {name}: {ends['value']:+.3f} [{ends['low']:+.3f}, {ends['high']:+.3f}]")
    print(f"  {verdict['sentence']}", flush=True)


if __name__ == "__main__":
    main()
