"""What a network sees before every text: learned embeddings (prompt) or learned keys and values (prefix), put in at the body, so that nobody can forget them.

PEFT adds them in the forward of its wrapper, which losses, label scores and generation here never call: they ask the body for hidden states.
So the body gets two hooks. The first widens mask and positions and puts the virtual positions in front; the second cuts the hidden states of
virtual tokens off again. Every caller sees a network whose texts simply begin at position K. With a cache, the virtual positions enter it once.

B rows, T tokens, S tokens of the text so far, K virtual positions.
"""
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from peft import PeftModel
from peft.utils.other import AuxiliaryTrainingWrapper
from torch import Tensor, nn
from transformers import DynamicCache

from luthier.errors import RecipeError
from luthier.methods import adapters
from luthier.methods.before_source import SourceFront
from luthier.models.families import Family
from luthier.models.heads import body_of, transformer_of
from luthier.models.language_model import LanguageModel


def inject(language_model: LanguageModel, config) -> PeftModel:
    """Freeze the network and put virtual positions in front of every text it reads."""
    network = adapters.inject(language_model, config)
    settle(network, config, language_model.family)
    return network


def settle(network: PeftModel, config, family: Family) -> None:
    """Install the hooks; PEFT's own way of adding the same is put out of use, else it would come twice. Shapes without storage stay as they are."""
    if any(parameter.is_meta for parameter in network.parameters()):
        return
    if family.kind == "encoder_decoder":
        network.front = SourceFront(network, config.num_virtual_tokens)
        network.front.install()
        network.forward = network.base_model.forward
        return must_be_read(network)
    body = body_of(network).get_submodule(family.reader)
    # An encoder's head for whole texts reads the first position, which is then a virtual one, as in PEFT; a decoder's looks for the last one of the text.
    reads_first = family.kind == "encoder" and type(transformer_of(network)).__name__.endswith("ForSequenceClassification")
    front = Front(network, config.num_virtual_tokens, is_prefix=config.peft_type == "PREFIX_TUNING", keeps_all=reads_first)
    body.register_forward_pre_hook(front.before, with_kwargs=True)
    body.register_forward_hook(front.after)
    network.front = front
    network.forward = network.base_model.forward
    must_be_read(network)
    if front.is_prefix:
        network.gradient_checkpointing_enable = refuse_recomputing


@torch.no_grad()
def must_be_read(network: PeftModel) -> None:
    """Both ways into the network, whole and by its body, must lead through the hooks exactly once; else RecipeError."""
    front, was_training = network.front, network.training
    network.eval()
    tokens = torch.ones(1, 2, dtype=torch.long, device=next(network.parameters()).device)
    read = {"input_ids": tokens, **({"decoder_input_ids": tokens} if transformer_of(network).config.is_encoder_decoder else {})}
    for way in (network, body_of(network)):
        front.reads = 0
        way(**read)
        if front.reads != 1:
            model_type = transformer_of(network).config.model_type
            raise RecipeError(f"virtual positions cannot be put in front of a {model_type} network: its parts do not read through one body", code="R172", field="method", hint="choose method=lora")
    network.train(was_training)


def refuse_recomputing(*arguments, **named) -> None:
    """Transformers drops keys and values that come from outside when it recomputes; the prefix would vanish without a word."""
    raise RecipeError("a prefix is lost where activations are recomputed", code="R172", field="training.gradient_checkpointing", hint="set training.gradient_checkpointing=false, or method=prompt")


@contextlib.contextmanager
def switched_off(network: PeftModel) -> Iterator[None]:
    """The base as it was."""
    wrapped = [module for module in network.modules() if isinstance(module, AuxiliaryTrainingWrapper)]
    network.front.is_on = False
    for module in wrapped:
        module.enable_adapters(False)
    try:
        yield
    finally:
        network.front.is_on = True
        for module in wrapped:
            module.enable_adapters(True)


@dataclass(eq=False)
class Front:
    """The two hooks of one network."""

    network: PeftModel
    """Holds what is learned."""
    count: int
    """K."""
    is_prefix: bool
    """Keys and values instead of embeddings."""
    keeps_all: bool
    """Whether the hidden states of virtual tokens go on to the head."""
    is_on: bool = True
    """Off: the base as it was."""
    reads: int = 0
    """Times that a text was given its virtual positions."""
    cut: int = 0
    """Virtual positions at the front of the hidden states that are being computed."""

    # ---- before the body ------------------------------------------------------------------------
    def before(self, body: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict] | None:
        """Inputs with virtual positions in front."""
        self.cut = 0
        if not self.is_on:
            return None
        self.reads += 1
        kwargs = dict(kwargs, input_ids=args[0]) if args else dict(kwargs)
        tokens_BT, cache = kwargs["input_ids"], kwargs.get("past_key_values")
        begins = cache is None or cache.get_seq_length() == 0
        adds = 0 if self.is_prefix or not begins else self.count
        kwargs |= self.mask_and_positions(body, kwargs.get("attention_mask"), kwargs.get("position_ids"), adds)
        if self.is_prefix and begins:
            kwargs["past_key_values"] = self.filled(cache, len(tokens_BT))
        elif adds:
            embedded = transformer_of(self.network).get_input_embeddings()(tokens_BT)
            kwargs |= {"input_ids": None, "inputs_embeds": torch.cat([self.network.get_prompt(len(tokens_BT)).to(embedded.dtype), embedded], 1)}
            self.cut = 0 if self.keeps_all else self.count
        return (), kwargs

    def mask_and_positions(self, body: nn.Module, mask: Tensor | None, position_BT: Tensor | None, adds: int) -> dict:
        """Everyone sees the virtual positions, and texts begin behind them. Packed rows come with positions alone and get their mask here."""
        if mask is None and position_BT is not None and (position_BT[:, 1:] != position_BT[:, :-1] + 1).any():
            mask = own_text_only(position_BT)
        found = {}
        if mask is not None and mask.ndim == 4:
            found["attention_mask"] = as_added(self.widened(mask, adds), body)
        elif mask is not None:
            found["attention_mask"] = torch.cat([mask.new_ones(len(mask), self.count), mask], 1)
        if position_BT is not None:
            moved = position_BT + self.count
            found["position_ids"] = torch.cat([torch.arange(adds, device=moved.device).expand(len(moved), -1), moved], 1) if adds else moved
        return found

    def widened(self, mask_B1TS: Tensor, adds: int) -> Tensor:
        """A mask of who sees whom, with K columns in front that all see, and `adds` rows in front that see the columns before them."""
        if mask_B1TS.dtype != torch.bool:
            raise RecipeError("masks of added numbers cannot be widened by virtual positions", code="R172", field="method")
        wide = torch.cat([mask_B1TS.new_ones(*mask_B1TS.shape[:3], self.count), mask_B1TS], 3)
        if not adds:
            return wide
        first = mask_B1TS.new_zeros(*wide.shape[:2], adds, wide.shape[3])
        first[..., :adds] = torch.ones(adds, adds, dtype=torch.bool, device=first.device).tril()
        return torch.cat([first, wide], 2)

    def filled(self, cache: DynamicCache | None, rows: int) -> DynamicCache:
        """A cache that begins with the learned keys and values."""
        learned = self.network.get_prompt(rows)
        if cache is None:
            return learned
        for number, layer in enumerate(learned.layers):
            cache.update(layer.keys, layer.values, number)
        return cache

    # ---- behind the body ------------------------------------------------------------------------
    def after(self, body: nn.Module, args: tuple, output):
        """Hidden states of the text alone."""
        if self.cut:
            output.last_hidden_state = output.last_hidden_state[:, self.cut :]
        return output


def own_text_only(position_BT: Tensor) -> Tensor:
    """Who sees whom [B, 1, T, T] in packed rows: each token those before it in its own text; a text begins where positions start again."""
    starts = torch.ones_like(position_BT, dtype=torch.bool)
    starts[:, 1:] = position_BT[:, 1:] != position_BT[:, :-1] + 1
    text_BT = starts.cumsum(1)
    same = text_BT[:, :, None] == text_BT[:, None, :]
    return (same & torch.ones_like(same[0]).tril())[:, None]


def as_added(mask: Tensor, body: nn.Module) -> Tensor:
    """A mask in the form that the network's attention takes: booleans for PyTorch's kernel, numbers to add for attention written out."""
    if body.config._attn_implementation == "eager":
        dtype = next(body.parameters()).dtype
        return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, torch.finfo(dtype).min)
    return mask
