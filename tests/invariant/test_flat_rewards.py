"""Objectives that write their own batches draw the same loss curve as their flat scripts on the rollouts they kept; micro-batches and a resume change nothing."""
import copy
import json
import re
from types import SimpleNamespace

import pytest
import torch
from preference_world import SEED, flat, losses, materials, small_llama

from luthier.data.records import Message, Prompt
from luthier.objectives.grpo import GRPO, advantages, group_loss
from luthier.objectives.ppo import PPO, generalised, steered
from luthier.objectives.rollouts import Rollout, punished
from luthier.preparation.examples import Example, example
from luthier.preparation.store import TokenStore
from luthier.training.loop import train
from luthier.training.optimizer import adamw, load_state, state_tensors
from luthier.training.schedule import Schedule

PROMPTS = 24


class Letters:
    """A tokenizer for texts of numbers."""

    all_special_ids = [0, 1, 2]

    def decode(self, tokens, **_):
        return " ".join(str(token) for token in tokens if token > 2)


def even(task, prompts, answers):
    """The share of even tokens: something that sampling can find."""
    numbers = [[int(number) for number in re.findall(r"\d+", answer)] for answer in answers]
    return [sum(number % 2 == 0 for number in row) / max(1, len(row)) for row in numbers]


@pytest.fixture
def world(tmp_path):
    """A function from a budget to fresh materials with 24 prompts."""
    draw = torch.Generator().manual_seed(1)
    rows = []
    for record in range(PROMPTS):
        made = example(torch.randint(3, 97, (int(torch.randint(2, 8, (1,), generator=draw)),), generator=draw).tolist(), label=0)
        rows.append(Example(made.tokens, made.weights, 0, 0, record))
    store = TokenStore.build(tmp_path / "store", rows, "prompts")
    records = [Prompt((Message("user", str(number)),)) for number in range(PROMPTS)]

    def make(budget: int, folder: str = "run"):
        (tmp_path / folder).mkdir(exist_ok=True)
        network = small_llama()
        given = materials(network, {"train": store}, budget=budget, batch_size=4, folder=tmp_path / folder, task=SimpleNamespace(inner=None, grade=even), records=lambda split: records)
        given.language_model.tokenizer = Letters()
        return given

    return make


def kept(given) -> list[dict]:
    return [json.loads(path.read_text()) for path in sorted((given.folder / "rollouts").iterdir())]


QUICK = {"max_answer_tokens": 8, "temperature": 0.9}


@pytest.mark.parametrize("updates", [1, 3])
def test_grpo_equals_the_flat_script(world, updates):
    given = world(64)
    twin = copy.deepcopy(given.network)
    objective = GRPO(**QUICK, group_size=4, updates_per_rollout=updates, kl=0.1)
    ours = losses(objective, given, steps=6 * updates)
    theirs = list(flat("grpo").train(twin, kept(given), peak=1e-3, warmup=5, group=4, updates=updates, kl=0.1, temperature=0.9))
    print(f"largest difference over {len(ours)} steps: {max(abs(a - b) for a, b in zip(ours, theirs, strict=True)):.2e}")
    assert ours == pytest.approx(theirs, abs=1e-5)
    assert any(abs(one) > 1e-3 for one in ours) or updates == 1


def test_ppo_equals_the_flat_script(world):
    given = world(64)
    twin = copy.deepcopy(given.network)
    ours = losses(PPO(**QUICK, passes=2, group_size=2, kl=0.2, kl_aim=0.5, entropy=0.01), given, steps=12)
    theirs = list(flat("ppo").train(twin, kept(given), peak=1e-3, warmup=5, passes=2, kl=0.2, kl_aim=0.5, entropy=0.01, temperature=0.9))
    print(f"largest difference over {len(ours)} steps: {max(abs(a - b) for a, b in zip(ours, theirs, strict=True)):.2e}")
    assert ours == pytest.approx(theirs, abs=2e-5)


@pytest.mark.parametrize("objective", [
    GRPO(**QUICK, group_size=4), GRPO(**QUICK, group_size=4, average="token", entropy=0.02, clip_high=0.28), GRPO(**QUICK, group_size=4, average="constant", scale="none", updates_per_rollout=2, entropy=0.02),
    PPO(**QUICK, passes=2, minibatches=2),
], ids=["grpo", "dapo", "dr-grpo", "ppo"])  # fmt: skip
def test_micro_batches_change_nothing(world, objective):
    whole, single = (losses(copy.deepcopy(objective), world(budget, f"run-{budget}"), steps=8) for budget in (4096, 1))
    assert single == pytest.approx(whole, abs=2e-5)


@pytest.mark.parametrize("objective", [GRPO(**QUICK, group_size=4, updates_per_rollout=3), PPO(**QUICK, passes=3, kl_aim=0.5)], ids=["grpo", "ppo"])
@pytest.mark.parametrize("stop", [3, 5])
def test_resumed_anywhere_it_ends_with_the_same_bits(world, objective, stop):
    """Stopped between rollouts and in the middle of the updates on one."""

    def run(given, until: int, state=None):
        prepared = objective.prepared(given)
        parameters = dict(given.network.named_parameters())
        optimizer = adamw(parameters, weight_decay=0.0, beta1=0.9, beta2=0.999, epsilon=1e-8)
        if state:
            with torch.no_grad():
                for name, tensor in parameters.items():
                    tensor.copy_(state[0][name])
            load_state(optimizer, parameters, state[1])
        begin = stop if state else 0
        list(train(given.network, prepared, optimizer, Schedule(1e-3, 9, 2, "cosine"), steps=until, seed=SEED, start=begin, updates=begin))
        return {name: tensor.detach().clone() for name, tensor in parameters.items()}, {name: tensor.clone() for name, tensor in state_tensors(optimizer, parameters).items()}

    straight, _ = run(world(64, "straight"), 9)
    halted = run(world(64, "halted"), stop)
    again, _ = run(world(64, "halted"), 9, halted)
    assert all(torch.equal(straight[name], again[name]) for name in straight)


def test_flat_groups_give_way_to_other_prompts(world):
    """Only prompts of an even number can be answered unlike: the others are redrawn, and the next run draws the same."""

    def rigged(task, prompts, answers):
        return [float(len(answer)) if int(prompt.messages[0].content) % 2 == 0 else 0.5 for prompt, answer in zip(prompts, answers, strict=True)]

    def made(redraws: int, folder: str) -> list[dict]:
        given = world(4096, folder)
        given.task.grade = rigged
        losses(GRPO(**QUICK, group_size=4, redraws=redraws), given, steps=4)
        return kept(given)

    flat = lambda rollout: sum(len(set(rollout["rewards"][at : at + 4])) == 1 for at in range(0, 16, 4))
    plain, redrawn, again = made(0, "plain"), made(3, "redrawn"), made(3, "again")
    assert sum(map(flat, plain)) >= 4 and sum(map(flat, redrawn)) < sum(map(flat, plain)) / 2 and redrawn == again
    assert all(len(rollout["answers"]) == 16 and len(set(rollout["examples"])) == 4 for rollout in redrawn)
    assert sum(rollout["redrawn"] for rollout in redrawn) > 0 == sum(rollout["redrawn"] for rollout in plain)
    for rollout in redrawn:  # every answer stands behind its own prompt and has its own reward
        assert all((reward == 0.5) == (example % 2 == 1) for example, reward in zip(rollout["examples"], rollout["rewards"], strict=True))


def test_overlong_answers_lose_up_to_a_point(world):
    assert [punished(tokens, 10, 4) for tokens in (1, 6, 7, 8, 10)] == [0.0, 0.0, 0.25, 0.5, 1.0]
    plain, soft = world(4096, "plain"), world(4096, "soft")
    for given, overlong in ((plain, 0), (soft, 4)):
        losses(GRPO(**QUICK, group_size=4, overlong=overlong), given, steps=1)
    pairs = list(zip(kept(plain)[0]["rewards"], kept(soft)[0]["rewards"], kept(plain)[0]["answers"], strict=True))
    assert all(before - after == pytest.approx(punished(len(answer), 8, 4)) for before, after, answer in pairs) and any(before > after for before, after, _ in pairs)
    with pytest.raises(ValueError, match="overlong"):
        GRPO(max_answer_tokens=8, overlong=9)


# ---- numbers worked by hand -----------------------------------------------------------------------
def rollout(rewards: list, ended: list | None = None) -> Rollout:
    count = len(rewards)
    return Rollout(0, [0] * count, [[3]] * count, [[4]] * count, [[-1.0]] * count, ["x"] * count, rewards, ended or [True] * count)


def test_advantages_worked_by_hand():
    """1 and 3: mean 2, deviation sqrt 2; an answer without a reward is left out of mean and average."""
    assert advantages(rollout([1.0, 3.0]), GRPO(group_size=2))[0] == pytest.approx([-0.70706, 0.70706], abs=1e-5)
    assert advantages(rollout([1.0, 3.0]), GRPO(group_size=2, scale="none"))[0] == [-1.0, 1.0]
    values, counts = advantages(rollout([1.0, None, 3.0, 2.0, 2.0, 2.0]), GRPO(group_size=3, scale="none", drop_flat_groups=True))
    assert values == [-1.0, 0.0, 1.0, 0.0, 0.0, 0.0] and counts == [1.0, 0.0, 1.0, 0.0, 0.0, 0.0]
    assert advantages(rollout([0.0, 1.0], [True, False]), GRPO(group_size=2, drop_cut_short=True))[1] == [1.0, 0.0]


@pytest.mark.parametrize(("average", "wanted"), [("answer", (-1.2 - 0.5, 2.0)), ("token", (-2.4 - 0.5, 3.0)), ("constant", ((-2.4 - 0.5) / 10, 2.0))])
def test_group_loss_worked_by_hand(average, wanted):
    """Ratios 1.5 (clipped to 1.2) twice with advantage 1, and 0.5 once with advantage 1, which clipping lets be."""
    logprob = torch.tensor([[1.5, 1.5], [0.5, 1.0]]).log()
    batch = SimpleNamespace(weight_BT=torch.tensor([[0.0, 1.0, 1.0], [0.0, 1.0, 0.0]]))
    answers = SimpleNamespace(batch=batch, counts_B=torch.ones(2), behaviour_BT=torch.zeros(2, 2), advantage_B=torch.ones(2), reference_BT=None, rows_a_token=2 / 3)
    total, count, figures = group_loss(logprob, torch.zeros(2, 2), answers, GRPO(average=average, max_answer_tokens=10))
    assert (total.item(), count) == pytest.approx(wanted, abs=1e-5)
    assert figures["clipped"] == (2.0, 3.0)


def test_the_kl_may_count_by_the_ratio():
    """Ratio 2 and a reference of half the probability: d = ln 1/2, KL term 1/2 - ln 1/2 - 1 = 0.193147, doubled by the ratio."""
    logprob, batch = torch.tensor([[2.0]]).log(), SimpleNamespace(weight_BT=torch.tensor([[0.0, 1.0]]))
    answers = SimpleNamespace(batch=batch, counts_B=torch.ones(1), behaviour_BT=torch.zeros(1, 1), advantage_B=torch.zeros(1), reference_BT=torch.zeros(1, 1), rows_a_token=1.0)
    for by_ratio, wanted in ((False, 0.193147), (True, 0.386294)):
        assert group_loss(logprob, torch.zeros(1, 1), answers, GRPO(kl=1.0, kl_by_ratio=by_ratio))[0].item() == pytest.approx(wanted, abs=1e-5)


def test_generalised_advantages_worked_by_hand():
    """d2 = 1 - 0.5 = 0.5; d1 = 0 + 0.5 - 0.2 = 0.3; A1 = 0.3 + 0.95 * 0.5."""
    assert generalised([0.0, 1.0], [0.2, 0.5], 1.0, 0.95) == pytest.approx([0.775, 0.5])


def test_the_kl_is_steered():
    assert steered(0.1, 12.0, 6.0, 100) == pytest.approx(0.1 * 1.02) and steered(0.1, 0.0, 6.0, 100) == pytest.approx(0.1 * 0.98)
    assert steered(0.1, 99.0, 0.0, 100) == 0.1
