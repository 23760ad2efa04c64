"""Secrets planted in training rows: how many bits does the model give away? stories260K tuned on Tiny Shakespeare.

    python benchmarks/canaries.py [--data FOLDER] [--count 10] [--epochs 6]

`count` secrets for each of 1, 4 and 32 copies, and as many never planted. Aim: 32 copies are found with 10 bits or more in at least 8 of 10, never
planted ones in at most 1 of 10.
"""
import argparse
import os
import tempfile
from pathlib import Path

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import luthier
from luthier.evaluation.probes.canaries import exposure
from luthier.files import read_json
from luthier.runs.events import silent
from luthier.verbs.opening import open_run
from luthier.verbs.probing import model_of


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("LUTHIER_TEST_DATA") or "../shared/data"))
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=6)
    given = parser.parse_args()
    data = given.data.resolve()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        recipe = {
            "model": str(data / "models/stories260K"), "task": "causal_lm", "method": "full", "data.max_rows": 800, "data.canaries": 3 * given.count, "training.epochs": given.epochs,
            "training.learning_rate": 3e-3, "training.batch_size": 16, "training.threads": 1, "training.precision": "fp32", "training.early_stopping": 0, "evaluation.resamples": 500,
        }
        luthier.train(data / "text/karpathy__char-rnn/data/tinyshakespeare/input.txt", recipe, name="planted")
        planted = read_json(Path("runs/planted/canaries.json"))
        nats = model_of(open_run("planted", silent), silent).nats
        for copies in (32, 0, 4, 1):
            chosen = [canary for canary in planted if canary["copies"] == copies][: given.count]
            bits = [exposure(nats, canary) for canary in chosen]
            found = sum(value >= 10 for value in bits)
            print(f"{copies:2} copies: {found} of {len(bits)} exposed by 10 bits or more; bits {', '.join(f'{value:.1f}' for value in bits)}", flush=True)


if __name__ == "__main__":
    main()
