"""Prompts and a reward to a verdict; a reward that fails is told in a sentence and leaves a run that can be continued."""
import json
import signal
import time

import pytest
from preference_data import write

import luthier
from luthier.data.records import Message, Prompt
from luthier.errors import RecipeError, Refused, WorkFailed
from luthier.objectives.rewards import Reward

QUICK = {
    "training.threads": 1, "evaluation.resamples": 200, "training.validation_rows": 8, "training.batch_size": 4, "training.max_steps": 6, "training.learning_rate": 3e-3, "data.test": 0.2,
    "training.evaluate_every": 3, "objective.name": "grpo", "objective.group_size": 6, "objective.max_answer_tokens": 8, "training.warmup": 0.0, "training.schedule": "constant",
}
HONEST = "def reward(prompts, answers, items):\n    return [answer.count('e') / 4 for answer in answers]\n"


@pytest.fixture
def prompts(here):
    return write(here / "prompts.jsonl", [{"prompt": f"where is thing {number}?", "level": number % 3} for number in range(60)])


def train(prompts, base, name: str, **more):
    return luthier.train(str(prompts), {"model": str(base), "method": "full", "task": "chat", **QUICK, **{key.replace("__", "."): value for key, value in more.items()}}, name=name)


def code(here, source: str) -> dict:
    """A reward function in a file, and what confirms it."""
    path = here / "reward.py"
    path.write_text(source)
    with pytest.raises(Refused) as refused:
        luthier.check("prompts.jsonl", {"task": "chat", "objective.name": "grpo", "objective.rewards": [f"python:{path}:reward"]})
    assert refused.value.code == "S130" and source.splitlines()[0] in refused.value.message
    return {"objective__rewards": [f"python:{path}:reward"], "objective__confirm": refused.value.hint.split("=")[1]}


def warnings(here, name: str) -> list[dict]:
    rows = [json.loads(line) for line in (here / f"runs/{name}/events.jsonl").read_text().splitlines()]
    return [row for row in rows if row["kind"] == "warning"]


def test_prompts_hold_nothing_to_learn_and_are_right_so(here, base, prompts):
    found = luthier.check(str(prompts), {"model": str(base), "task": "chat", "objective.name": "grpo", "objective.rewards": ["regex:e"]}).to_dict()
    assert found["ok"] and not [one for one in found["findings"] if one["code"] == "D411"], found["findings"]


def test_grpo_raises_a_reward_that_can_be_checked(here, base, prompts):
    result = train(prompts, base, "climb", objective__rewards=["regex:e", "regex:t", "regex:h"], training__max_steps=16, objective__group_size=8, training__learning_rate=1e-2)
    assert result.verdict["metric"] == "reward"
    rows = [json.loads(line) for line in (here / "runs/climb/metrics.jsonl").read_text().splitlines()]
    figures = [row["figures"] for row in rows if row["kind"] == "train"]
    assert {"reward", "kl", "entropy", "clipped", "zero_spread_groups", "answer_tokens", "reward_spread"} <= set(figures[0])
    first, last = (sum(one["reward"] for one in part) / 4 for part in (figures[:4], figures[-4:]))
    assert last > first, (first, last)
    assert figures[0]["kl"] == pytest.approx(0, abs=1e-6) and figures[-1]["kl"] > 0
    kept = sorted((here / "runs/climb/rollouts").iterdir())
    assert len(kept) == 16 and json.loads(kept[0].read_text())["texts"]


def test_ppo_leaves_no_trace_of_its_value_in_the_model(here, base, prompts):
    train(prompts, base, "ppo", objective__name="ppo", objective__group_size=2, objective__passes=2, objective__rewards=["regex:e"])
    from safetensors import safe_open

    with safe_open(here / "runs/ppo/model/model.safetensors", "np") as file:
        assert not [name for name in file.keys() if "value" in name]  # noqa: SIM118 - not a dict
    assert json.loads((here / "runs/ppo/run.json").read_text())["reload"]["ok"]


FAILURES = {
    "raises": ("def reward(prompts, answers, items):\n    return [1 / 0 for _ in answers]\n", "T301", "raised ZeroDivisionError"),
    "is too short": ("def reward(prompts, answers, items):\n    return [1.0]\n", "T301", "1 figures for 24 answers"),
    "dies": ("import os\n\ndef reward(prompts, answers, items):\n    os._exit(3)\n", "T301", "exit code 3"),
    "hangs": ("import time\n\ndef reward(prompts, answers, items):\n    time.sleep(60)\n", "T302", "gave no answer within 1 s"),
    "is NaN": ("def reward(prompts, answers, items):\n    return [float('nan')] * len(answers)\n", "T303", "no answer of step 1 has a reward"),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failing_reward_is_a_sentence(here, base, prompts, failure):
    source, expected, sentence = FAILURES[failure]
    given = code(here, source)
    with pytest.raises(WorkFailed) as failed:
        # no test rows: the reward is first asked in the first step
        train(prompts, base, "fails", **given, objective__reward_seconds=1.0, data__test=0, data__validation=0)
    assert failed.value.code == expected and sentence in failed.value.message and failed.value.hint
    assert json.loads((here / "runs/fails/run.json").read_text())["status"] == "failed"


def test_a_pattern_that_takes_for_ever_is_a_sentence():
    reward = Reward(["regex:^(a+)+$"], seconds=0.3).check()
    asked, quick = [Prompt((Message("user", "say a"),))], ["aaaa"]
    assert reward(None, asked, quick) == [1.0]
    before = signal.getsignal(signal.SIGALRM)
    began = time.perf_counter()
    with pytest.raises(WorkFailed) as failed:
        reward(None, asked, ["a" * 60 + "!"])
    assert failed.value.code == "T302" and "within 0.3 s" in failed.value.message and time.perf_counter() - began < 5
    assert signal.getsignal(signal.SIGALRM) is before and signal.getitimer(signal.ITIMER_REAL)[0] == 0
    assert reward(None, asked, quick) == [1.0]


def test_a_failure_in_the_middle_is_continued(here, base, prompts):
    """It works for two rollouts, fails, is mended, and goes on from the checkpoint."""
    fragile = "import os\n\ndef reward(prompts, answers, items):\n    os.makedirs('calls', exist_ok=True)\n    open('calls/' + str(len(os.listdir('calls'))), 'w').close()\n    if len(os.listdir('calls')) > 3 and not os.path.exists('mended'):\n        raise ValueError('broken')\n    return [answer.count('e') / 4 for answer in answers]\n"
    given = code(here, fragile)
    with pytest.raises(WorkFailed):
        train(prompts, base, "broken", **given, data__test=0, data__validation=0, training__save_every=1)
    (here / "mended").touch()
    result = luthier.train(None, {}, resume="broken")
    assert result.status == "done"
    rows = [json.loads(line) for line in (here / "runs/broken/metrics.jsonl").read_text().splitlines() if '"train"' in line]
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]


def test_some_answers_without_a_reward_are_left_out(here, base, prompts):
    source = "def reward(prompts, answers, items):\n    return [float('nan') if n % 3 == 0 else float(n % 2) for n in range(len(answers))]\n"
    train(prompts, base, "patchy", **code(here, source), data__test=0, data__validation=0)
    assert any(row["data"]["code"] == "T303" and "8 of 24 answers" in row["message"] for row in warnings(here, "patchy"))


def test_a_constant_reward_is_told_and_moves_nothing(here, base, prompts):
    source = "def reward(prompts, answers, items):\n    return [0.5] * len(answers)\n"
    with pytest.raises(WorkFailed) as failed:  # the save-and-reload check sees that nothing was learned
        train(prompts, base, "flat", **code(here, source), objective__kl=0.0, data__test=0, data__validation=0)
    assert any(row["data"]["code"] == "T304" and "is 0.5 for every answer" in row["message"] for row in warnings(here, "flat"))
    assert "does nothing" in failed.value.message


def test_a_changed_function_is_shown_again(here, base, prompts):
    given = code(here, HONEST)
    (here / "reward.py").write_text(HONEST.replace("4", "5"))
    with pytest.raises(Refused) as refused:
        train(prompts, base, "changed", **given)
    assert "has changed since it was confirmed" in refused.value.message


@pytest.mark.parametrize(("rewards", "weights"), [([], None), (["taste:fine"], None), (["regex:("], None), (["regex:a"], [1.0, 2.0]), (["python:nowhere.py:f"], None), (["run:nobody"], None)])
def test_rewards_that_cannot_be_had(here, base, prompts, rewards, weights):
    with pytest.raises(RecipeError) as error:
        train(prompts, base, "no", objective__rewards=rewards, objective__weights=weights)
    assert error.value.hint and not (here / "runs/no/model").exists()
