"""What tuning takes away and what gives it back: stories260K tuned on Tiny Shakespeare, with and without each remedy.

    python benchmarks/forgetting.py [--data FOLDER] [--steps 150] [--out forgetting.json]

Gain: bits per character on held-out Shakespeare, base minus tuned. Forgetting: relative rise of bits on held-out children's stories, which
the base was made from. Replay comes from other stories. Prints a table and writes it as JSON.
"""
import argparse
import json
import os
import tempfile
from pathlib import Path

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import luthier
from luthier.files import read_json

REMEDIES = {
    "none": {},
    "replay 10%": {"data.replay": "10%"},
    "replay 25%": {"data.replay": "25%"},
    "KL 0.3": {"training.kl_to_base": 0.3},
    "KL 1": {"training.kl_to_base": 1.0},
    "KL 0.3 + replay 10%": {"training.kl_to_base": 0.3, "data.replay": "10%"},
    "L2 0.003": {"training.l2_to_start": 0.003},
    "L2 0.03": {"training.l2_to_start": 0.03},
}


def stories(data: Path, folder: Path) -> tuple[Path, Path]:
    """Two files of stories: one to replay, one to measure with."""
    text = (data / "text/mines-opt-ml__decoding-gpt/data/tinystories_10k.txt").read_text(encoding="utf-8")
    found = [" ".join(part.split()) for part in text.replace("<|endoftext|>", "\n\n").split("\n\n")]
    found = [part for part in found if 80 < len(part) < 900]
    measured, replayed = found[::4][:200], [part for at, part in enumerate(found) if at % 4]
    for name, rows in (("measured", measured), ("replayed", replayed)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps({"text": row}) + "\n" for row in rows))
    return folder / "replayed.jsonl", folder / "measured.jsonl"


def run(data: Path, name: str, changes: dict, replay: Path, general: Path, steps: int) -> dict:
    recipe = {
        "model": str(data / "models/stories260K"), "task": "causal_lm", "method": "full", "data.max_rows": 3000, "training.max_steps": steps, "training.epochs": 10,
        "training.learning_rate": 1e-3, "training.batch_size": 16, "training.early_stopping": 0, "training.threads": 1, "training.precision": "fp32",
        "training.evaluate_every": steps, "evaluation.resamples": 1000, "evaluation.probes.general": str(general), **changes,
    }
    if "data.replay" in changes:
        recipe["data.replay_from"] = str(replay)
    label = "".join(letter if letter.isalnum() else "-" for letter in name)
    verdict = luthier.train(data / "text/karpathy__char-rnn/data/tinyshakespeare/input.txt", recipe, name=label).verdict
    found = luthier.evaluate(label, probes=["forgetting"], sweep=name == "none")
    probe = next(one for one in found.more["probes"] if one["name"] == "forgetting")
    seconds = read_json(Path("runs") / label / "run.json")["seconds"]
    return {"name": name, "gain": verdict["difference"], "forgetting": {key: probe[key] for key in ("value", "low", "high")}, "seconds": seconds, "sweep": found.more.get("sweep")}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("LUTHIER_TEST_DATA") or "../shared/data"))
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--out", type=Path, default=Path("forgetting.json"))
    given = parser.parse_args()
    data, out = given.data.resolve(), given.out.resolve()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        replay, general = stories(data, Path(folder))
        rows = []
        for name, changes in REMEDIES.items():
            rows.append(run(data, name, changes, replay, general, given.steps))
            plain, row = rows[0], rows[-1]
            print(
                f"{name:22} gain {row['gain']['value']:.3f} ({row['gain']['value'] / plain['gain']['value']:.0%}) bits, forgetting {row['forgetting']['value']:+.3f} "
                f"[{row['forgetting']['low']:+.3f}, {row['forgetting']['high']:+.3f}] ({row['forgetting']['value'] / plain['forgetting']['value']:.0%}), {row['seconds']:.0f} s",
                flush=True,
            )
            out.write_text(json.dumps(rows, indent=1))
        print("sweep:", json.dumps(rows[0]["sweep"]))


if __name__ == "__main__":
    main()
