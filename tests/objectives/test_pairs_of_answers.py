"""What is learned and judged of two answers to one prompt: both or none, after the same turns, token for token, and on one side of the split."""
from types import SimpleNamespace

import numpy as np
import pytest

from luthier.data.records import Message, Preference
from luthier.objectives.dpo import DPO
from luthier.objectives.kto import KTO
from luthier.objectives.orpo import ORPO
from luthier.preparation.examples import Prepared, example
from luthier.tasks import comparing
from luthier.tasks.chat import Chat
from luthier.tasks.pairs import paired


def pair(chosen: str, rejected: str, prompt: str = "hi") -> Preference:
    return Preference((Message("user", prompt),), chosen, rejected)


class Words:
    """A renderer whose tokens are words; what is longer than five is left out."""

    def __init__(self):
        self.asked = []

    def conversations(self, records, *, together=1):
        self.asked.append((len(records), together))
        return [self.one([len(message.content) for message in record.messages for _ in message.content.split()], record) for record in records]

    def one(self, tokens, record):
        answer = len(record.messages[-1].content.split())
        weights = [0.0] * (len(tokens) - answer) + [1.0] * answer
        return Prepared((example(tokens, weights),), None, 1) if len(tokens) <= 5 else Prepared((), "longer than the context", len(tokens))


@pytest.mark.parametrize(("chosen", "rejected", "reason"), [("a b", "c", None), ("a b c d e f", "c", "longer than the context"), ("a", "b c d e f", "longer than the context")])
def test_both_answers_or_none(chosen, rejected, reason):
    renderer = Words()
    found = paired(Chat(), "dpo").examples([pair(chosen, rejected)], renderer)[0]
    assert found.left_out == reason and [one.label for one in found.examples] == ([] if reason else [1, 0])
    assert found.cut >= 2 and renderer.asked == [(2, 2)], "what is lost is counted, and both sides lose the same turns"


def test_a_prompt_stands_on_one_side_of_the_split():
    task = paired(Chat(), "dpo")
    assert task.identity(pair("a", "b")) == task.identity(pair("c", "d")) != task.identity(pair("a", "b", "bye"))


def test_the_likelier_answer_is_the_likelier_one_a_token(monkeypatch):
    """Ten tokens at 10 nats against two at 4: the longer answer is likelier token for token, the shorter one in all."""
    sides = tuple(example([1, *range(2, 2 + count)], [0.0] + [1.0] * count) for count in (10, 2))
    monkeypatch.setattr(comparing, "nll_of", lambda model, rows: [10.0, 4.0])
    model = SimpleNamespace(head=SimpleNamespace(kind="causal"))
    chosen, rejected, nll, rejected_nll, tokens, _ = next(comparing.liked(model, [Prepared(sides)], say=lambda event: None))
    assert (chosen, rejected, nll, rejected_nll, tokens) == (-1.0, -2.0, 10.0, 4.0, 10)
    answer = paired(Chat(), "dpo").preference(pair("x", "y"), chosen, rejected, nll, rejected_nll, tokens, 0.0)
    assert answer.label == "chosen" and np.isclose(answer.value, 1.0) and answer.rejected_nll is None
    measured = [objective.lesson(Chat()).preference(pair("x", "y"), chosen, rejected, nll, rejected_nll, tokens, 0.0).rejected_nll for objective in (DPO(), KTO(records="pairs"), ORPO())]
    assert measured == [4.0, 4.0, None], "only what is learned against the starting model is measured so: likelihood alone raises long answers more"


def test_a_margin_becomes_a_probability_by_its_temperature():
    task = paired(Chat(), "reward", scored=True)
    shares = [one.preference(pair("x", "y"), 1.0, -1.0, None, None, 3, 0.0).probabilities["chosen"] for one in (task, task.calibrated({"temperature": 2.0}))]
    assert shares == pytest.approx([1 / (1 + np.exp(-2.0)), 1 / (1 + np.exp(-1.0))])
