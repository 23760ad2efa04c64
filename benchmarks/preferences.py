"""Preference objectives on real pairs: what learning changed on pairs that nothing has seen, by both figures, with settings chosen on validation pairs only.

    python benchmarks/preferences.py DATA hh,lfs spruce,TinyStories-656K dpo,kto,orpo [--try objective.beta=0.02] [--state FOLDER] [key=value ...]

DATA is the folder of test data; a base is `spruce` or a folder below DATA/models; `reward` is an objective too. Every combination is one `luthier train`
and one line of the table. `policy`: the share of pairs whose chosen answer the model finds likelier per token, before and after. `implicit`: the share
in which learning raised the chosen answer's summed log-likelihood more than the rejected one's (TRL's `rewards/accuracies`; 0.5 before the first step).
Each --try is a set of settings (joined by commas) that is trained once without a test pair; the one with the highest policy accuracy on validation
pairs, at its look of least loss, is taken. KTO takes the pairs apart into good and bad answers. `hh` is hh-rlhf harmless (2,312 transcripts), `lfs` the
pairs of LLMs-from-scratch (1,100). Rows are dealt by the hash of what they say: 30 % are the unseen pairs; talks longer than the context lose their
oldest turns on both sides. FOLDER keeps what was done: the same line again goes on where it stopped.
"""
import argparse
import gzip
import hashlib
import json
import os
import tempfile
from pathlib import Path

import luthier
from luthier.files import digest, read_json
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
    "method": "full", "data.validation": 0.15, "data.on_bad_row": "skip", "data.when_long": "drop_turns", "training.precision": "fp32", "training.threads": 1,
    "training.validation_rows": 240, "evaluation.seeds": 1, "evaluation.win_rate.by": "none",
}
HEAD = ("pairs", "base", "objective", "settings", "learned", "unseen", "policy before", "policy after", "difference", "implicit", "implicit over length", "s")


def dealt(source: Path, folder: Path, most: int | None) -> tuple[Path, Path]:
    """Files to learn from and to be judged on."""
    text = (gzip.open(source, "rt", encoding="utf-8") if source.suffix == ".gz" else open(source, encoding="utf-8")).read()
    rows = json.loads(text) if text.lstrip().startswith("[") else [json.loads(line) for line in text.split("\n") if line.strip()]
    rows.sort(key=lambda row: hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest())
    unseen = round(0.3 * len(rows))
    made = {"test": rows[:unseen], "train": rows[unseen:][:most]}
    for name, part in made.items():
        (folder / f"{source.parent.name}.{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part), encoding="utf-8")
    return tuple(folder / f"{source.parent.name}.{name}.jsonl" for name in ("train", "test"))


def words(settings: str) -> dict:
    """`a=1,b=2` as settings."""
    return {key: read_word(value) for key, value in (word.split("=", 1) for word in settings.split(",") if word)}


def tried(name: str, data: Path, given: dict) -> tuple[float, float]:
    """Accuracy on validation pairs, and loss, at the look of least loss of one training; no test pair is read by anyone."""
    recipe, _ = open_recipe(str(data), given, silent)
    run = runs.Run(runs.runs_root() / name)
    if not (run.path / "run.json").exists() or run.facts().get("status") != "done":
        run.path.mkdir(parents=True, exist_ok=True)
        with run.lock(), Stopping() as stopping:
            Work(run, recipe, silent, stopping).trained()
    best = min((row for row in run.rows("metrics.jsonl") if row["kind"] == "validation" and row["step"]), key=lambda row: row["loss"])
    return best["metrics"]["preference_accuracy"], best["loss"]


def trained(name: str, data: Path, given: dict) -> dict:
    """The verdict of a run: as it stands, gone on with, or made now."""
    path = runs.runs_root() / name
    if not (path / "run.json").exists():
        return luthier.train(str(data), given, name=name).verdict
    return read_json(path / "verdict.json") if runs.find(name).facts()["status"] == "done" else luthier.train(None, {}, resume=name).verdict


def line(asked, pairs: str, base: str, objective: str, folder: Path) -> list[str]:
    """One combination: settings chosen, trained, judged."""
    file, unseen = dealt(asked.data / FILES[pairs], folder, asked.train)
    chosen = {"objective.name": objective} | ({"objective.records": "pairs"} if objective == "kto" else {})
    given = {**SETTINGS, "model": base if base == "spruce" else str(asked.data / "models" / base), **chosen, **words(",".join(asked.more))}
    stem, picked = f"{pairs}-{base}-{objective}", ""
    if asked.tries:
        found = {}
        for number, settings in enumerate(asked.tries):
            found[settings] = tried(f"{stem}-try-{number}", file, {**given, **words(settings), "data.test": 0})
            print(f"  {stem} {settings}: on validation pairs accuracy {found[settings][0]:.3f}, loss {found[settings][1]:.4f}", flush=True)
        picked = max(found, key=lambda settings: found[settings][0])
    name = f"{stem}-{digest(str(given), picked)[:6]}"
    verdict = trained(name, file, {**given, **words(picked), "data.test": str(unseen)})
    print(f"{stem}: {verdict['sentence']}", flush=True)
    return [pairs, base, objective, ",".join(filter(None, [picked, *asked.more])) or "defaults", *cells(runs.find(name), verdict, "coin" if objective == "reward" else "base")]


def cells(run, verdict: dict, start: str) -> list[str]:
    """The figures of one line."""
    value = {one["name"]: one["value"] for one in verdict["contestants"]}
    signed = lambda one: f"{one['value']:+.3f} [{one['low']:+.3f}, {one['high']:+.3f}]"
    facts, implicit = run.facts(), verdict.get("implicit_reward")
    return [
        f"{facts['data']['rows']['train']:,}", f"{verdict['n']:,}", f"{value[start]:.3f}", f"{value['tuned']:.3f}", signed(verdict["paired_test"]["others"][start]["difference"]),
        f"{implicit['value']:.3f} [{implicit['low']:.3f}, {implicit['high']:.3f}]" if implicit else "-", signed(implicit["over_length"]) if implicit else "-", f"{facts['seconds']:.0f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("pairs", help="hh, lfs, or both with a comma")
    parser.add_argument("bases")
    parser.add_argument("objectives", help="dpo, kto, orpo, reward, or several with commas")
    parser.add_argument("--try", dest="tries", action="append", default=[], metavar="SETTINGS", help="settings to choose among on validation pairs")
    parser.add_argument("--train", type=int, help="most pairs to learn from")
    parser.add_argument("--state", type=Path, help="a folder that keeps what was done")
    parser.add_argument("more", nargs="*")
    asked = parser.parse_intermixed_args()
    with tempfile.TemporaryDirectory() as made:
        folder = asked.state or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        os.environ["LUTHIER_RUNS"] = f"{folder.resolve()}/runs"
        every = [(pairs, base, objective) for pairs in asked.pairs.split(",") for base in asked.bases.split(",") for objective in asked.objectives.split(",")]
        lines = [line(asked, *one, folder.resolve()) for one in every]
    print("\n".join("| " + " | ".join(one) + " |" for one in (HEAD, ["---"] * len(HEAD), *lines)))


if __name__ == "__main__":
    main()
