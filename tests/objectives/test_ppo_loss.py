"""PPO's loss against numbers worked by hand: what clipping of ratios and of values costs, and where no gradient is left."""
from types import SimpleNamespace

import pytest
import torch

from luthier.objectives.ppo import PPO, clipped_loss

SETTINGS = PPO(clip=0.2, value_clip=0.2, value_weight=1.0, entropy=0.0)


def lossed(ratios, advantages, values, before, returns, counts=1.0):
    """Total, tokens, figures and gradients of one answer of so many tokens; a prompt token stands before them."""
    logprob = torch.tensor([ratios]).log().requires_grad_()
    value = torch.tensor([values], requires_grad=True)
    size = len(ratios)
    more = {"advantages": torch.tensor([advantages]), "values": torch.tensor([before]), "returns": torch.tensor([returns])}
    answers = SimpleNamespace(batch=SimpleNamespace(weight_BT=torch.tensor([[0.0] + [1.0] * size])), counts_B=torch.tensor([counts]), behaviour_BT=torch.zeros(1, size), more=more)
    total, tokens, figures = clipped_loss(logprob, value, torch.zeros(1, size), answers, SETTINGS)
    total.backward()
    return total.item(), tokens, figures, logprob.grad[0].tolist(), value.grad[0].tolist()


def test_a_ratio_is_clipped_on_the_side_that_would_gain():
    """Twice as likely or half as likely, wanted or not: -min(r A, clip(r) A) is -1.2, 2, -0.5, 0.8."""
    total, tokens, figures, slope, _ = lossed([2.0, 2.0, 0.5, 0.5], [1.0, -1.0, 1.0, -1.0], [0.0] * 4, [0.0] * 4, [0.0] * 4)
    assert total == pytest.approx(-1.2 + 2.0 - 0.5 + 0.8) and tokens == 4
    assert slope == pytest.approx([0.0, 2.0, -0.5, 0.0]), "what is clipped pulls no further"
    assert figures["clipped"] == (2.0, 4.0)


def test_a_value_that_ran_away_is_clipped_to_the_worse_of_both():
    """From 0 to 0.5 with 1 to come: the step that counts is 0.2, (0.2 - 1)^2 / 2; to 1 with 0.5 to come: the value itself is worse, (1 - 0.5)^2 / 2; to 0.1: both are one."""
    total, _, figures, _, slope = lossed([1.0] * 3, [0.0] * 3, [0.5, 1.0, 0.1], [0.0] * 3, [1.0, 0.5, 0.3])
    assert total == pytest.approx(0.32 + 0.125 + 0.02) and figures["value_loss"][0] == pytest.approx(total)
    assert slope == pytest.approx([0.0, 0.5, -0.2]), "a value beyond its step is not pulled further"


def test_an_answer_without_a_reward_counts_nothing():
    total, tokens, _, slope, _ = lossed([2.0, 0.5], [1.0, -1.0], [0.3] * 2, [0.0] * 2, [1.0] * 2, counts=0.0)
    assert (total, tokens) == (0.0, 0.0) and slope == [0.0, 0.0]
