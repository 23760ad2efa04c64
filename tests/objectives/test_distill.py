"""A student comes nearer to its teacher; the divergence in chunks equals what whole logits give."""
import pytest
import torch

from luthier.errors import RecipeError
from luthier.models import logprobs
from luthier.models.load import load
from luthier.models.logprobs import LogitTransform
from luthier.models.teaching import Output, divergence_sum
from luthier.objectives.distill import Distill
from luthier.objectives.materials import Materials
from luthier.preparation.examples import example
from luthier.preparation.store import TokenStore
from luthier.training.loop import train
from luthier.training.optimizer import adamw
from luthier.training.schedule import Schedule


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_divergence_equals_whole_logits(monkeypatch, temperature):
    monkeypatch.setattr(logprobs, "CHUNK_BYTES", 4 * 23 * 16)
    torch.manual_seed(1)
    hidden, weight, bias, teacher_hidden, teacher_weight = torch.randn(40, 8), torch.randn(23, 8), torch.randn(23), torch.randn(40, 12), torch.randn(23, 12)
    counts, transform = torch.rand(40), LogitTransform(0.7, 4.0)

    def run(compute):
        leaves = [tensor.clone().requires_grad_() for tensor in (hidden, weight, bias)]
        total = compute(*leaves)
        total.backward()
        return total.item(), [leaf.grad for leaf in leaves]

    def plainly(hidden, weight, bias):
        own = (4.0 * torch.tanh(0.7 * (hidden @ weight.t() + bias) / 4.0) / temperature).log_softmax(-1)
        wanted = (teacher_hidden @ teacher_weight.t() / temperature).log_softmax(-1)
        return (counts[:, None] * wanted.exp() * (wanted - own)).sum()

    ours = run(lambda hidden, weight, bias: divergence_sum(hidden, Output(weight, bias, transform), teacher_hidden, Output(teacher_weight), counts, temperature=temperature))
    theirs = run(plainly)
    assert ours[0] == pytest.approx(theirs[0], rel=1e-5)
    assert all(torch.allclose(mine, other, atol=2e-5) for mine, other in zip(ours[1], theirs[1], strict=True))


@pytest.fixture
def store(tmp_path):
    torch.manual_seed(2)
    return TokenStore.build(tmp_path / "store", [example(torch.randint(8, 200, (12,)).tolist(), [0.0] * 4 + [1.0] * 8) for _ in range(32)], "rows")


@pytest.mark.parametrize("learn", ["distribution", "text"])
def test_a_student_comes_nearer_to_its_teacher(tiny_model, store, learn):
    student, teacher = load(str(tiny_model("llama"))), str(tiny_model("llama_untied"))
    student.network.requires_grad_(True)
    prepared = Distill(teacher=teacher, learn=learn, max_answer_tokens=6).prepared(Materials(student, {"train": store, "validation": store}, batch_size=8, tokens_per_micro_batch=64, seed=3))
    before = prepared.validation(student.network, {})
    list(train(student.network, prepared, adamw(dict(student.network.named_parameters()), weight_decay=0.0, beta1=0.9, beta2=0.99, epsilon=1e-8), Schedule(3e-3, 40, 2, "constant"), steps=40, seed=3))
    after = prepared.validation(student.network, {})
    assert before[1] == after[1] and after[0] < 0.7 * before[0]


def test_another_tokenizer_is_refused(tiny_model, store, test_data):
    student = load(str(tiny_model("llama")))
    with pytest.raises(RecipeError) as error:
        Distill(teacher=str(test_data / "models" / "stories260K")).prepared(Materials(student, {"train": store}, batch_size=8, tokens_per_micro_batch=64, seed=3))
    assert error.value.code == "R193"
