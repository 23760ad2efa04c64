"""Rewards that a rule checks, on the sums of the sample world: mean reward on unseen prompts before and after, seed by seed.

    python benchmarks/rewards.py DATA grpo|ppo SEED[,SEED ...] [key=value ...]

The base is TinyStories-656K below DATA/models, every weight learned, float32, one thread. The grader gives a quarter each for a number, the instrument, a full
stop and the right number. grpo: 40 steps of 4 prompts x 8 answers; ppo: 40 rollouts of the same, four passes, a weak pull to the start.
"""
import os
import sys
import tempfile
import time
from pathlib import Path

import luthier
from luthier.data.samples import write
from luthier.runs import folder as runs
from luthier.settings.reading import read_word

SETTINGS = {
    "task": "chat", "method": "full", "data.test": 0.3, "data.validation": 0.1, "training.precision": "fp32", "training.threads": 1, "training.batch_size": 4, "training.learning_rate": 5e-4,
    "training.validation_rows": 48, "objective.group_size": 8, "objective.max_answer_tokens": 24,
}
OBJECTIVES = {
    "grpo": {"training.max_steps": 40, "training.evaluate_every": 10},
    "ppo": {"training.max_steps": 160, "training.evaluate_every": 40, "objective.passes": 4, "objective.kl": 0.01},
}


def main(data: Path, objective: str, seeds: list[int], more: list[str]) -> None:
    folder = Path(tempfile.mkdtemp(prefix="rewards-"))
    os.environ["LUTHIER_RUNS"] = str(folder / "runs")
    file = write(folder / "sums", kind="sums", rows=600, seed=1)
    for seed in seeds:
        began = time.perf_counter()
        given = {**SETTINGS, **OBJECTIVES[objective], **{key: read_word(value) for key, value in (word.split("=", 1) for word in more)}, "model": str(data / "models" / "TinyStories-656K"), "objective.name": objective, "seed": seed}
        verdict = luthier.train(str(file), {**given, "objective.rewards": [f"grader:{file.parent / 'sums.grader.json'}"]}, name=f"seed-{seed}").verdict
        values = {line["name"]: line["value"] for line in verdict["contestants"]}
        ends = verdict["paired_test"]["others"]["base"]["difference"]
        figures = [row["figures"] for row in runs.find(f"seed-{seed}").rows("metrics.jsonl") if row["kind"] == "train"]
        print(
            f"{objective} seed {seed}: reward {values['base']:.3f} to {values['tuned']:.3f} on {verdict['n']} unseen prompts, {ends['value']:+.3f} [{ends['low']:+.3f}, {ends['high']:+.3f}]; "
            f"KL {figures[-1]['kl']:.2f}, entropy {figures[0]['entropy']:.2f} to {figures[-1]['entropy']:.2f}; {time.perf_counter() - began:.0f} s"
        )
        for name in ("win_rate", "forgetting", "reward_hacking"):
            print(f"  {verdict[name]['sentence'] or 'no reward hacking'}")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], [int(word) for word in sys.argv[3].split(",")], sys.argv[4:])
