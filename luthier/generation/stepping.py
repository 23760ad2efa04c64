"""One more token for many rows through blocks of Llama's shape, without what a general pass does beside it.

A step over one token a row is many small operations. Here queries, keys and values come out of one product and so do the two halves of the
feed-forward layer, the rotation is applied once to queries and keys together, groups of queries share their keys without copies of them, and the
mask is made once a step. A network takes this way only if its blocks hold exactly the parts that are known here and if its own pass gives the same
numbers when it is tried; every other one goes on through its own pass.

N rows, D width, H heads of keys, G queries to each, C columns, W head width.
"""
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import DynamicCache

from luthier.generation.slots import SlotLayer, Slots
from luthier.models.heads import body_of, transformer_of
from luthier.models.language_model import LanguageModel

BODY = {"embed_tokens", "layers", "norm", "rotary_emb"}
BLOCK = {"self_attn", "mlp", "input_layernorm", "post_attention_layernorm"}
ATTENTION = {"q_proj", "k_proj", "v_proj", "o_proj"}
NORMS = {"q_norm", "k_norm"}
FEED_FORWARD = {"gate_proj", "up_proj", "down_proj", "act_fn"}
AGREEMENT = 1e-4
"""Largest difference of two hidden states that counts as rounding, relative to the largest number in them."""


@dataclass
class Joined:
    """Layers that read the same input, as one product. Their own weights become parts of its weight, so that nothing is kept twice."""

    layers: Sequence[nn.Linear]

    def __post_init__(self):
        self.weight = torch.cat([layer.weight.data for layer in self.layers])
        self.bias = torch.cat([layer.bias.data for layer in self.layers]) if self.layers[0].bias is not None else None
        self.sizes = [layer.out_features for layer in self.layers]
        for layer, part in zip(self.layers, self.weight.split(self.sizes), strict=True):
            layer.weight.data = part
        self.places = [layer.weight.data_ptr() for layer in self.layers]

    def __call__(self, inputs: Tensor) -> Tensor:
        return F.linear(inputs, self.weight, self.bias)

    @property
    def whole(self) -> bool:
        """Whether the layers' weights still are these."""
        return all(layer.weight.data_ptr() == place for layer, place in zip(self.layers, self.places, strict=True))


def norm_of(module: nn.Module) -> Callable[[Tensor], Tensor]:
    """A norm as one operation, where it is the plain one over the root of the mean square and says so by what it gives; else the module itself."""
    known = vars(module).get("variance_epsilon")
    if known is None or set(dict(module.named_parameters())) != {"weight"}:
        return module
    shape, weight = tuple(module.weight.shape), module.weight
    probe = torch.linspace(-3, 2, 4 * weight.numel(), dtype=weight.dtype, device=weight.device).view(4, -1).sin()
    with torch.inference_mode():
        wanted, found = module(probe), F.rms_norm(probe, shape, weight, known)
    return (lambda states: F.rms_norm(states, shape, module.weight, known)) if torch.allclose(wanted, found, rtol=1e-5, atol=1e-6) else module


class Block:
    """One block of the network."""

    def __init__(self, layer: nn.Module, head_width: int):
        attention, feed_forward = layer.self_attn, layer.mlp
        self.attention, self.feed_forward, self.width = attention, feed_forward, head_width
        self.queries, self.heads = attention.q_proj.out_features // head_width, attention.k_proj.out_features // head_width
        self.read = Joined((attention.q_proj, attention.k_proj, attention.v_proj))
        self.both = Joined((feed_forward.gate_proj, feed_forward.up_proj))
        self.normed = {name for name, _ in attention.named_children()} >= NORMS
        self.norm_before, self.norm_between = norm_of(layer.input_layernorm), norm_of(layer.post_attention_layernorm)

    def __call__(self, hidden_N1D: Tensor, turn: tuple[Tensor, Tensor], mask: Tensor | None, kept: SlotLayer, plain: bool) -> Tensor:
        """What comes out of the block; `plain`: no row wears an adapter, so layers may be joined."""
        rows, attention = len(hidden_N1D), self.attention
        inner = self.norm_before(hidden_N1D)
        if plain:
            turned, values = self.read(inner).split((sum(self.read.sizes[:2]), self.read.sizes[2]), -1)
        else:
            turned, values = torch.cat((attention.q_proj(inner), attention.k_proj(inner)), -1), attention.v_proj(inner)
        turned = self.turned(turned.view(rows, 1, self.queries + self.heads, self.width), turn)
        queries = turned[:, 0, : self.queries].reshape(rows, self.heads, -1, self.width)
        keys, values = kept.update(turned[:, 0, self.queries :, None], values.view(rows, self.heads, 1, self.width))
        seen = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask, scale=attention.scaling)
        hidden_N1D = hidden_N1D + attention.o_proj(seen.reshape(rows, 1, -1))
        return hidden_N1D + self.fed(self.norm_between(hidden_N1D), plain)

    def turned(self, states: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
        """Queries and keys [N, 1, heads, W], rotated to their positions."""
        if self.normed:
            states = torch.cat((self.attention.q_norm(states[:, :, : self.queries]), self.attention.k_norm(states[:, :, self.queries :])), 2)
        cos, sin = turn
        half = self.width // 2
        return states * cos + torch.cat((-states[..., half:], states[..., :half]), -1) * sin

    def fed(self, inner: Tensor, plain: bool) -> Tensor:
        if not plain:
            return self.feed_forward(inner)
        gate, up = self.both(inner).chunk(2, -1)
        return self.feed_forward.down_proj(self.feed_forward.act_fn(gate) * up)


class Stepper:
    """The short way through one network."""

    def __init__(self, body: nn.Module, head_width: int):
        self.body = body
        self.blocks = [Block(layer, head_width) for layer in body.layers]
        self.norm = norm_of(body.norm)
        self.passed_by = [body, body.norm, *(module for layer in body.layers for module in (layer, layer.self_attn, layer.input_layernorm, layer.post_attention_layernorm))]
        """Modules whose own forward is not called."""

    @property
    def usable(self) -> bool:
        """Whether the network still is what was tried: nothing hangs on a module that is passed by, and no weight was exchanged."""
        return not any(module._forward_hooks or module._forward_pre_hooks for module in self.passed_by) and all(block.read.whole and block.both.whole for block in self.blocks)

    def __call__(self, tokens_N1: Tensor, attend_NC: Tensor | None, positions_N1: Tensor, slots: Slots, *, plain: bool) -> Tensor:
        """Last hidden states [N, D] of one more token a row; its keys and values stand in the slots."""
        hidden_N1D = self.body.embed_tokens(tokens_N1)
        cos, sin = self.body.rotary_emb(hidden_N1D, positions_N1)
        turn = cos[:, :, None], sin[:, :, None]
        mask = None if attend_NC is None else attend_NC.bool()[:, None, None]
        for block, kept in zip(self.blocks, slots.layers, strict=True):
            hidden_N1D = block(hidden_N1D, turn, mask, kept, plain)
        return self.norm(hidden_N1D)[:, 0]


# ---- who may go this way ------------------------------------------------------------------------
def stepper_of(language_model: LanguageModel) -> Stepper | None:
    """The short way through a network, if it has one: the parts are those known here, and the numbers are its own."""
    body, head = body_of(language_model.network), language_model.head
    if head.autocast is not None or head.whole_logits or not of_known_shape(body):
        return None
    config = transformer_of(language_model.network).config
    stepper = Stepper(body, config.head_dim if hasattr(config, "head_dim") and config.head_dim else config.hidden_size // config.num_attention_heads)
    return stepper if agrees(stepper, config.num_hidden_layers, language_model.device) else None


def of_known_shape(body: nn.Module) -> bool:
    """Whether a body is made of the known parts only, each token sees all before it, and all linear layers are plain ones."""
    def parts(module: nn.Module) -> set[str]:
        return {name for name, _ in module.named_children()}

    if parts(body) != BODY or not all(parts(layer) == BLOCK and parts(layer.self_attn) - NORMS == ATTENTION and parts(layer.mlp) == FEED_FORWARD for layer in body.layers):
        return False
    windowed = any(kind != "full_attention" for kind in vars(body.config).get("layer_types") or ()) or vars(body.config).get("sliding_window") is not None
    read = [[layer.self_attn.get_submodule(name) for name in ("q_proj", "k_proj", "v_proj")] for layer in body.layers] + [[layer.mlp.gate_proj, layer.mlp.up_proj] for layer in body.layers]
    together = all(type(layer) is nn.Linear and (layer.bias is None) == (group[0].bias is None) and layer.weight.dtype == group[0].weight.dtype for group in read for layer in group)
    return not windowed and together


@torch.inference_mode()
def agrees(stepper: Stepper, num_layers: int, device) -> bool:
    """Whether the short way gives the network's own hidden states for three rows of different lengths, joined layers or not."""
    size = stepper.body.embed_tokens.num_embeddings
    prompts = [[(7 * at + 3 * row + 1) % size for at in range(length)] for row, length in enumerate((3, 6, 4))]
    wanted = torch.stack([stepper.body(input_ids=torch.tensor([[*prompt, 5 % size]], device=device), use_cache=False).last_hidden_state[0, -1] for prompt in prompts])
    for plain in (True, False):
        slots = Slots(num_layers, len(prompts))
        for prompt in prompts:
            cache = DynamicCache()
            stepper.body(input_ids=torch.tensor([prompt], device=device), past_key_values=cache, use_cache=True)
            slots.join(cache, [len(prompt)], [0])
        slots.make_room()
        try:
            found = stepper(torch.full((len(prompts), 1), 5 % size, device=device), slots.attend(device), slots.positions(device), slots, plain=plain)
        except (RuntimeError, ValueError, TypeError):  # parts of other sizes than these: not this shape after all
            return False
        if not (found - wanted).abs().max() <= AGREEMENT * wanted.abs().max().clamp(min=1e-3):
            return False
    return True
