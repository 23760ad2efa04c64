"""How much memory a training needs, from shapes alone: the network is run on tensors without storage and what autograd would keep is counted.

Peak = weights + gradients + optimizer + activations of one micro-batch + buffers of the loss + what the libraries take. Nothing is loaded.
"""
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call

from luthier.errors import DoesNotFit
from luthier.models import quick_layers
from luthier.models.configuration import read_configuration
from luthier.models.families import Family, family_of
from luthier.models.head_kinds import HEAD_KINDS, auto_class
from luthier.models.heads import body_of, transformer_of
from luthier.models.language_model import LanguageModel
from luthier.models.load import PLAIN_HEADS, prepare_configuration
from luthier.models.location import Location, locate
from luthier.models.logprobs import BLOCK_ROWS, BLOCK_WORDS, CHUNK_BYTES

LIBRARIES = {"cpu": 540 << 20, "cuda": 900 << 20, "mps": 700 << 20}
"""Resident size of the process before a network is there: interpreter, PyTorch, Transformers, PEFT; on a GPU the device's own context."""
TOUCHED = {"cpu": 35 << 20, "cuda": 0, "mps": 0}
"""Pages of the libraries that only a training step touches."""
WORKING = {"cpu": 0.88, "cuda": 0.15, "mps": 0.3}
"""Intermediate results of the two passes and gaps between blocks, as a share of what is kept; measured on a CPU, whose heap gives little back, assumed elsewhere."""
RECOMPUTED_WORKING = {"cpu": 1.0, "cuda": 0.3, "mps": 0.5}
"""The same where activations are computed again, as a share of what would be kept without that: the heap does not give back what each block took."""
FROM_THE_HEAP = 32 << 20
"""Blocks that are larger stand beside the heap: while the gradient of so large an embedding is summed, it is there twice."""
HEAD_CHUNKS = 2
"""Chunks of logits that live at once: what becomes of the logits in place, and one more."""


@dataclass(frozen=True)
class MemoryPlan:
    """The memory of one training, by part."""

    parts: dict[str, int] = field(default_factory=dict)
    """Bytes of weights, gradients, optimizer, activations, loss, working space and libraries."""
    trainable: int = 0
    """Parameters that are learned."""
    parameters: int = 0
    """Parameters in all."""

    @property
    def total(self) -> int:
        """Bytes at the peak."""
        return sum(self.parts.values())

    def judge(self, free: int) -> str:
        """fits, tight (less than a tenth to spare) or no, in so many free bytes."""
        return "no" if self.total > free else "tight" if self.total > 0.9 * free else "fits"


def plan_memory(
    name: str, method, *, rows: int, length: int, precision: str = "fp32", labels: int = 2, gradient_checkpointing: bool = False, device: str = "cpu",
    moments: Callable[[nn.Module], int] | None = None,
) -> MemoryPlan:
    """Plan the training of a model (name as in `load`) by a method on micro-batches of `rows` x `length` tokens.

    `moments` counts the bytes of the optimizer's state (none: two moments in float32). `precision` is fp32 or bf16 (as the recipe's: what learns stays in float32, frozen weights are kept in bf16). Costs a second or two and no
    memory; errors are those of reading the configuration.
    """
    place = locate(name)
    config, _ = read_configuration(place.folder, place.root)
    family = family_of(config.model_type)
    low = torch.bfloat16 if precision == "bf16" else None
    with torch.device("meta"):
        language_model = shape_of(place, config, family, labels, low if low is not None and method.base_is_frozen else torch.float32)
        language_model.head.autocast = low
        if device == "cpu":
            quick_layers.quicken(language_model.network)
        network = method.apply(language_model)
        network.train()
    kept = lambda: kept_bytes(network, low, rows, min(length + method.positions, language_model.context), learned_input=method.positions > 0)
    activations = kept()
    working = int((RECOMPUTED_WORKING if gradient_checkpointing else WORKING)[device] * activations)
    if gradient_checkpointing:
        network.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        network.enable_input_require_grads()
        activations = kept()
    trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
    learned = sum(parameter.numel() for parameter in trainable)
    twice = max((4 * parameter.numel() for parameter in trainable if 4 * parameter.numel() > FROM_THE_HEAP), default=0)
    parts = {
        "weights": method.stored_bytes(network),
        "gradients": 4 * learned, "optimizer": 8 * learned if moments is None else moments(network), "activations": activations,
        "loss": loss_bytes(language_model, rows * min(length, language_model.context), device), "working": working + twice + TOUCHED[device], "libraries": LIBRARIES[device],
    }
    return MemoryPlan(parts, learned, language_model.num_parameters)


def require_room(plan: MemoryPlan, free: int) -> None:
    """DoesNotFit, with the largest part and what to change, when a plan needs more than is free."""
    if plan.judge(free) != "no":
        return
    largest = max(plan.parts, key=lambda part: plan.parts[part])
    change = {
        "activations": "halve training.tokens_per_micro_batch, or set training.gradient_checkpointing=true; neither changes what is learned",
        "loss": "halve training.tokens_per_micro_batch; it does not change what is learned",
        "working": "halve training.tokens_per_micro_batch; it does not change what is learned", "libraries": "close other programs",
        "optimizer": "training.optimizer=adamw_8bit keeps its moments in a quarter of that, or method=lora learns a small part of the weights",
    }
    raise DoesNotFit(
        f"this training needs about {plan.total / 2**20:,.0f} MiB, {free / 2**20:,.0f} MiB are free; the largest part is {largest}", code="M101",
        hint=change[largest] if largest in change else "use method=lora, training.precision=bf16 or a smaller base",
    )


def shape_of(place: Location, config, family: Family, labels: int, dtype: torch.dtype) -> LanguageModel:
    """A language model of shapes only: no tokenizer, no weights."""
    kind = PLAIN_HEADS[family.kind]
    prepare_configuration(config, kind, [str(number) for number in range(labels)], family)
    network = auto_class(kind).from_config(config, dtype=dtype)
    fresh = () if not HEAD_KINDS[kind].fresh else tuple(name for name, _ in network.named_parameters() if not name.startswith(network.base_model_prefix + "."))
    head = HEAD_KINDS[kind].make()
    return LanguageModel(
        network=network, tokenizer=None, head=head, name=place.name, folder=place.folder, context=family.context(config), fingerprint="",
        template=None, family=family, fresh=fresh,
    )


def kept_bytes(network: nn.Module, autocast: torch.dtype | None, rows: int, length: int, *, learned_input: bool = False) -> int:
    """Bytes that autograd keeps between forward and backward pass, each storage once, parameters left out; with `learned_input`, gradients go back to the embeddings."""
    body, kept, alive = body_of(network), {}, []
    halved = bool(family_of(transformer_of(network).config.model_type).experts) and autocast is None  # the products of experts have shapes for bf16 alone
    with FakeTensorMode():  # unlike the meta device, it knows which kernels and types a real CPU would use
        state = {
            name: torch.empty(tensor.shape, dtype=torch.bfloat16 if halved and tensor.is_floating_point() else tensor.dtype, requires_grad=tensor.requires_grad)
            for name, tensor in (*body.named_parameters(), *body.named_buffers())
        }
        known = {tensor.untyped_storage()._cdata for tensor in state.values()}

        def note(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage._cdata not in known:
                kept[storage._cdata] = storage.nbytes()
                alive.append(storage)
            return tensor

        low = contextlib.nullcontext() if autocast is None else torch.autocast("cpu", autocast)
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor), low:
            read = {"input_ids": torch.zeros(rows, length, dtype=torch.long), "use_cache": False}
            if transformer_of(network).config.is_encoder_decoder:  # the budget of a micro-batch is shared by what is read and what is written
                read |= {"input_ids": read["input_ids"][:, : -(-length // 2)], "decoder_input_ids": read["input_ids"][:, : max(1, length // 2)]}
            if learned_input:
                width, dtype = network.get_input_embeddings().weight.shape[1], next(iter(state.values())).dtype
                read["inputs_embeds"] = torch.empty(*read.pop("input_ids").shape, width, dtype=dtype, requires_grad=True)
            alive.append(functional_call(body, state, kwargs=read))
    return sum(kept.values()) * (2 if halved else 1)


def loss_bytes(language_model: LanguageModel, positions: int, device: str) -> int:
    """Buffers of the cross-entropy: logits in chunks, or in blocks where the output layer is frozen; the hidden states it reads and their gradient. The gradient of a learned head is one of the gradients."""
    if language_model.head.kind != "causal":
        return 0
    head = language_model.network.get_output_embeddings()
    vocabulary, width = head.weight.shape
    states = 2 * 4 * positions * width
    learns, capped = any(parameter.requires_grad for parameter in head.parameters()), language_model.family.logit_softcap(language_model.network.config) is not None
    if device == "cpu" and not (learns or capped) and head.weight.dtype == torch.float32 and language_model.head.autocast is None:
        return 4 * min(BLOCK_ROWS, positions) * (BLOCK_WORDS + width) + states
    chunk = min(max(CHUNK_BYTES, 64 * vocabulary), 4 * positions * vocabulary)
    return HEAD_CHUNKS * chunk + states
