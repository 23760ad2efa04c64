"""Killed at any moment and resumed, a run that learns from its own answers ends with the same bits: weights, optimizer, log, rollouts, and what stands beside the verdict."""
import os
import random
import signal
import time

import pytest
from preference_data import write
from test_resume import assert_same, finished, fruit, start, without_the_fresh_process  # noqa: F401 - the last is a fixture for every test here

from luthier.runs.folder import Run

SEED = 2026
OBJECTIVES = {
    "grpo": {"name": "grpo", "rewards": ["regex:e", "regex:t"], "group_size": 4, "max_answer_tokens": 8, "updates_per_rollout": 3, "watched": ["regex:h"]},
    "ppo": {"name": "ppo", "rewards": ["regex:e"], "group_size": 2, "max_answer_tokens": 8, "passes": 2, "kl_aim": 0.5},
}


def recipe(base, prompts, objective: str) -> dict:
    return {
        "model": str(base), "task": "chat", "method": "full", "objective": OBJECTIVES[objective], "data.train": str(prompts), "data.test": 0.2, "training.max_steps": 8, "training.batch_size": 4,
        "training.learning_rate": 3e-3, "training.precision": "fp32", "training.threads": 1, "training.evaluate_every": 4, "training.save_every": 1, "training.keep_checkpoints": 2, "training.validation_rows": 8,
        "evaluation.resamples": 200, "evaluation.win_rate.prompts": 8,
    }


def whole(run: Run) -> tuple[dict, dict]:
    """Bits of the run, and the bytes of its rollouts and of what was compared."""
    kept = {path.name: path.read_bytes() for path in sorted((run.path / "rollouts").iterdir())}
    return fruit(run), kept | {"win_rate.jsonl": (run.evaluation_folder / "win_rate.jsonl").read_bytes()}


@pytest.mark.parametrize("trials", [3, pytest.param(40, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_killed_at_random_moments_and_resumed(base, here, objective, trials):
    prompts = write(here / "prompts.jsonl", [{"prompt": f"where is thing {number}?"} for number in range(40)])
    values = recipe(base, prompts, objective)
    began = time.perf_counter()
    assert finished(values, prompts, name="unbroken") == 0
    wanted, seconds = whole(Run(here / "runs" / "unbroken")), time.perf_counter() - began
    draw, interrupted = random.Random(SEED), 0
    for trial in range(trials):
        process = start(values, prompts, name=f"trial-{trial}")
        process.join(draw.uniform(0.3, 0.9) * seconds)
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
            process.join()
        run = Run(here / "runs" / f"trial-{trial}")
        if not (run.path / "luthier.yaml").exists():
            continue  # killed before the run was written down
        if run.status() != "done":
            interrupted += 1
            assert finished({}, None, resume=run.name) == 0
        found = whole(run)
        assert_same(wanted[0], found[0])
        assert wanted[1] == found[1]
    print(f"{objective}: killed and resumed bit for bit, {interrupted} of {trials} in the middle")
    assert interrupted >= trials // 3
