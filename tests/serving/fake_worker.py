"""Stands for a training process: makes 12 steps of a few milliseconds, each written down once and durably, and goes on where it was killed."""
import json
import os
import signal
import sys
import time
from pathlib import Path

runs, name, going_on = Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "1"
folder = runs / name
if not going_on:
    folder.mkdir(parents=True)
signal.signal(signal.SIGTERM, lambda *_: (write(status="stopped"), os._exit(143)))


def write(**facts) -> None:
    staged = folder / ".run.json"
    staged.write_text(json.dumps(facts))
    os.replace(staged, folder / "run.json")


(folder / "luthier.yaml").touch()
write(status="running")
done = [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()] if (folder / "metrics.jsonl").exists() else []
for step in range(len(done) + 1, 13):
    time.sleep(0.004)
    with open(folder / "metrics.jsonl", "a") as stream:
        stream.write(json.dumps({"kind": "train", "step": step, "loss": 1.0 / step, "tokens": 10}) + "\n")
with open(folder / "completed", "a") as stream:
    stream.write("once\n")
write(status="done")
