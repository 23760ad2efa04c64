"""Bottleneck adapters as a type of PEFT: y' = y + s * U act(D x), a narrow layer beside a frozen one, U = 0 at the start.

Sequential (Houlsby et al., arXiv:1902.00751; Pfeiffer et al., arXiv:2005.00247): x is y, the output of a sublayer before the skip connection.
Parallel (He et al., arXiv:2110.04366): x is what went into the sublayer. D is drawn as in LoRA, so that the network starts as its base.

This file stands alone on torch and PEFT: put beside stock PEFT and imported, it makes such folders load there (`PeftModel.from_pretrained`).
"""
import math
from dataclasses import dataclass, field

import torch
from peft.config import PeftConfig
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer
from peft.utils import register_peft_method
from peft.utils.peft_types import PeftType
from torch import Tensor, nn

NAME = "BOTTLENECK"
ACTIVATIONS = {"relu": nn.functional.relu, "gelu": nn.functional.gelu, "silu": nn.functional.silu, "tanh": torch.tanh}


@dataclass
class BottleneckConfig(PeftConfig):
    """What an adapter folder says of bottleneck adapters."""

    target_modules: list[str] | None = field(default=None)
    """Full names of the layers whose outputs are adapted."""
    source_modules: dict[str, str] | None = field(default=None)
    """For parallel adapters: for each of them, the layer whose input is read."""
    exclude_modules: list[str] | None = field(default=None)
    modules_to_save: list[str] | None = field(default=None)
    bottleneck_dim: int = field(default=64)
    activation: str = field(default="relu")
    scaling: float = field(default=1.0)
    dropout: float = field(default=0.0)

    def __post_init__(self):
        super().__post_init__()
        self.peft_type = PeftType[NAME]
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation is {self.activation!r}; known are {', '.join(ACTIVATIONS)}")


class BottleneckLayer(nn.Module, BaseTunerLayer):
    """A frozen layer with a bottleneck behind or beside it."""

    adapter_layer_names = ("bottleneck_down", "bottleneck_up")
    other_param_names = ()

    def __init__(self, base_layer: nn.Module, adapter_name: str, config: BottleneckConfig, source: nn.Module | None):
        super().__init__()
        self.base_layer = base_layer
        self.bottleneck_down, self.bottleneck_up = nn.ModuleDict({}), nn.ModuleDict({})
        self.activation, self.scaling, self.is_parallel = config.activation, config.scaling, source is not None
        self.dropout = nn.Dropout(config.dropout)
        self.noted: Tensor | None = None
        self.merged_adapters = []
        width_out = base_layer.nf if hasattr(base_layer, "nf") else base_layer.out_features
        width_in = width_out if source is None else source.weight.shape[0] if hasattr(source, "nf") else source.in_features
        self.bottleneck_down[adapter_name] = nn.Linear(width_in, config.bottleneck_dim)
        self.bottleneck_up[adapter_name] = nn.Linear(config.bottleneck_dim, width_out)
        nn.init.kaiming_uniform_(self.bottleneck_down[adapter_name].weight, a=math.sqrt(5))
        for part in (self.bottleneck_down[adapter_name].bias, self.bottleneck_up[adapter_name].weight, self.bottleneck_up[adapter_name].bias):
            nn.init.zeros_(part)
        self._move_adapter_to_device_of_base_layer(adapter_name)
        self.set_adapter(adapter_name, inference_mode=config.inference_mode)

    def note(self, module: nn.Module, args: tuple) -> None:
        """A hook in front of the sublayer: remember what goes into it."""
        self.noted = args[0]

    def forward(self, x: Tensor, *args, **kwargs) -> Tensor:
        result = self.base_layer(x, *args, **kwargs)
        source, self.noted = self.noted if self.is_parallel else result, None
        if self.disable_adapters:
            return result
        for name in self.active_adapters:
            down, up = self.bottleneck_down[name], self.bottleneck_up[name]
            narrow = ACTIVATIONS[self.activation](down(source.to(down.weight.dtype)))
            result = result + (self.scaling * up(self.dropout(narrow))).to(result.dtype)
        return result


class BottleneckModel(BaseTuner):
    """A network with bottleneck adapters."""

    prefix: str = "bottleneck_"
    tuner_layer_cls = BottleneckLayer

    def _create_and_replace(self, peft_config, adapter_name, target, target_name, parent, current_key, **optional):
        source = None if not peft_config.source_modules else self.model.get_submodule(peft_config.source_modules[current_key])
        layer = BottleneckLayer(target, adapter_name, peft_config, source)
        self._replace_module(parent, target_name, layer, target)
        if source is not None:
            source.register_forward_pre_hook(layer.note)

    @staticmethod
    def _check_target_module_exists(peft_config, key: str) -> bool:
        """Full names only."""
        return key in (peft_config.target_modules or ())

    def _check_merge_allowed(self):
        raise ValueError("a bottleneck has a bend in it and cannot be added to a weight")


def register() -> None:
    """Make PEFT know the type; a second call does nothing."""
    if NAME in PeftType.__members__:
        return
    member = str.__new__(PeftType, NAME)
    member._name_ = member._value_ = NAME
    PeftType._member_names_.append(NAME)
    PeftType._member_map_[NAME] = PeftType._value2member_map_[NAME] = member
    type.__setattr__(PeftType, NAME, member)
    register_peft_method(name=NAME.lower(), config_cls=BottleneckConfig, model_cls=BottleneckModel, prefix="bottleneck_")


register()
