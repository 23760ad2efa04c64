"""Distillation (arXiv:1503.02531): learn what a larger model says, token by token.

`learn: distribution` minimises, at every learned token, temperature^2 * KL(teacher || student), both at that temperature, mixed with the cross-entropy of the
rows' own answers: (1 - mix) * KL part + mix * cross-entropy. `learn: text` has the teacher write an answer to every training prompt once, before the first
step, and learns those by cross-entropy (sequence-level distillation, arXiv:1606.07947).

Teacher and student must have one tokenizer: what is compared are distributions over the same tokens.
"""
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Gt, Le

from luthier.errors import RecipeError
from luthier.objectives.loss import Loss


@dataclass
class Distill:
    """Learn from a larger model."""

    name: ClassVar[str] = "distill"
    rate_factor: ClassVar[float] = 1.0
    examples_a_unit: ClassVar[int] = 1
    learns_tokens: ClassVar[bool] = True
    record: ClassVar[type | None] = None

    teacher: str = ""
    """The larger model: a path, a shipped name or a hub id."""
    learn: Literal["distribution", "text"] = "distribution"
    """The teacher's distribution at each token of the rows' answers, or answers of its own."""
    temperature: Annotated[float, Gt(0), Le(10)] = 1.0
    """Above 1, what the teacher finds unlikely counts more."""
    mix: Annotated[float, Ge(0), Le(1)] = 0.0
    """Share of plain cross-entropy beside the teacher's distribution."""
    max_answer_tokens: Annotated[int, Ge(1)] = 128
    """Longest answer that the teacher writes."""

    def lesson(self, task):
        """Every task that predicts tokens, as it is."""
        if task.head("decoder") != "causal":
            raise RecipeError(f"objective distill compares distributions over tokens, and task {task.name} has none", code="R190", field="objective", hint="use task: chat, causal_lm, or classification on a decoder")
        if not self.teacher:
            raise RecipeError("objective.teacher names no model", code="R193", field="objective.teacher", hint="for example objective.teacher=Qwen/Qwen3-8B, or a folder")
        return task

    def prepared(self, materials) -> "PreparedDistill":
        """Loads the teacher, frozen; RecipeError R193 where its tokenizer is another."""
        from luthier.models.load import load  # torch

        student = materials.language_model
        teacher = load(self.teacher, dtype=next(student.network.parameters()).dtype, autocast=student.head.autocast, device=str(student.device))
        if teacher.tokenizer.get_vocab() != student.tokenizer.get_vocab():
            raise RecipeError(f"{self.teacher} has another tokenizer than {student.name}", code="R193", field="objective.teacher", hint="choose a teacher of the same family")
        if teacher.head.whole_logits or student.head.whole_logits:
            raise RecipeError("distributions can be compared only where logits are one linear map of hidden states", code="R193", field="objective.teacher", hint="choose bases of another family")
        teacher.network.requires_grad_(False).eval()
        return PreparedDistill(self, materials, teacher) if self.learn == "distribution" else PreparedText(self, materials, teacher)


@dataclass
class PreparedDistill:
    """A teacher's distributions over prepared batches."""

    settings: Distill
    materials: object
    teacher: object
    """The teacher's `LanguageModel`."""

    @property
    def steps_per_epoch(self) -> int:
        return self.materials.plain_order.steps_per_epoch

    def batches(self, network, start: int):
        return self.materials.steps(start)

    def loss(self, network, batch) -> Loss:
        import torch

        from luthier.models.heads import hidden_states, running
        from luthier.models.logprobs import cross_entropy_sum
        from luthier.models.teaching import divergence_sum

        learned = batch.weight_BT[:, 1:] != 0
        weight_N, settings = batch.weight_BT[:, 1:][learned].float(), self.settings
        with torch.no_grad(), running(self.teacher.network, self.teacher.head.autocast):
            teacher_NE = hidden_states(self.teacher.network, batch.tokens_BT, batch.attend_BT, batch.position_BT)[:, :-1][learned]
        with running(network, self.materials.head.autocast):
            hidden_ND = hidden_states(network, batch.tokens_BT, batch.attend_BT, batch.position_BT)[:, :-1][learned]
            student = output_of(network, self.materials.head)
            kl = divergence_sum(hidden_ND, student, teacher_NE, output_of(self.teacher.network, self.teacher.head), weight_N, temperature=settings.temperature)
            total = (1 - settings.mix) * settings.temperature**2 * kl
            if settings.mix:
                total = total + settings.mix * cross_entropy_sum(hidden_ND, student.weight_VD, batch.tokens_BT[:, 1:][learned], weight_N, bias_V=student.bias_V, transform=student.transform)
        count = weight_N.sum().item()
        return Loss(total, count, batch.tokens_BT.numel(), {"kl": (kl.item(), count)})

    def validation(self, network, scores) -> tuple[float, float]:
        from luthier.objectives.materials import summed

        return summed(self, network, (self.materials.batch("validation", rows) for rows in self.materials.held_out()))

    def finish(self, network) -> None:
        """Nothing was added."""


class PreparedText:
    """Cross-entropy of answers that the teacher wrote."""

    def __init__(self, settings: Distill, materials, teacher):
        self.settings, self.materials = settings, materials
        self.rows = {split: written(teacher, store, settings.max_answer_tokens, materials.language_model.context) for split, store in materials.stores.items()}
        self.orders = {split: materials.order(lengths=[len(tokens) for tokens, _ in rows]) for split, rows in self.rows.items()}

    @property
    def steps_per_epoch(self) -> int:
        return self.orders["train"].steps_per_epoch

    def batch(self, split: str, rows: list):
        from luthier.objectives.sequences import stacked

        model = self.materials.language_model
        return stacked([self.rows[split][index] for row in rows for index in row], model.pad_token, model.device)

    def batches(self, network, start: int):
        number = start
        while True:
            yield [self.batch("train", rows) for rows in self.orders["train"].step(number)]
            number += 1

    def loss(self, network, batch) -> Loss:
        total, count = self.materials.head.loss(network, batch.tokens_BT, batch.weight_BT, attend_BT=batch.attend_BT)
        return Loss(total, count, batch.tokens_BT.numel())

    def validation(self, network, scores) -> tuple[float, float]:
        from luthier.objectives.materials import summed, whole

        if "validation" not in self.rows:
            return 0.0, 0.0
        lengths = [len(tokens) for tokens, _ in self.rows["validation"]]
        return summed(self, network, (self.batch("validation", rows) for rows in whole(lengths, 4 * self.materials.tokens_per_micro_batch, self.materials.language_model.context)))

    def finish(self, network) -> None:
        """Nothing was added."""


def output_of(network, head):
    """The output layer of a network, as it runs."""
    from luthier.models.heads import projection_of
    from luthier.models.teaching import Output

    layer = projection_of(network).layer
    return Output(layer.weight, layer.bias, head.transform)


def written(teacher, store, max_answer_tokens: int, context: int) -> list[tuple[list[int], list[float]]]:
    """Each example's prompt with the answer that the teacher writes to it, greedily; an example whose prompt fills the context keeps its own answer."""
    from luthier.generation.local import generate

    examples = list(store)
    starts = [int((example.weights != 0).argmax()) for example in examples]
    open_rows = [at for at, start in enumerate(starts) if 0 < start < context]
    answers = dict(zip(open_rows, generate(teacher, [examples[at].tokens[: starts[at]].tolist() for at in open_rows], max_new_tokens=max_answer_tokens), strict=True))
    rows = []
    for at, example in enumerate(examples):
        if at in answers:
            prompt, answer = example.tokens[: starts[at]].tolist(), answers[at].tokens
            rows.append((prompt + answer, [0.0] * len(prompt) + [1.0] * len(answer)))
        else:
            rows.append((example.tokens.tolist(), example.weights.tolist()))
    return rows
