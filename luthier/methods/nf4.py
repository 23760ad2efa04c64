"""Linear layers in 4-bit NormalFloat with double quantisation, by bitsandbytes; the only file that imports it.

A block of 64 weights has one 8-bit constant; 256 of those have one float32 constant.
"""
import torch
from torch import nn

from luthier.errors import RecipeError
from luthier.methods.targets import inside_whole, saved_whole
from luthier.models.heads import body_of, transformer_of
from luthier.models.language_model import LanguageModel

BLOCK, BLOCKS = 64, 256


def library():
    """bitsandbytes, or the sentence that says how to get it."""
    try:
        import bitsandbytes
    except ImportError:
        raise RecipeError("method qlora needs bitsandbytes", code="R173", field="method", hint="pip install -c constraints.txt '.[quant]', or use method=lora") from None
    return bitsandbytes


def chosen(language_model: LanguageModel) -> dict[str, nn.Linear]:
    """The layers that become 4-bit: every linear layer of the body whose weights came from a file, by its full name."""
    network = language_model.network
    body, whole = body_of(network), set(inside_whole(network, saved_whole(language_model)))
    inside = {id(module) for module in body.modules() if module is not network.get_output_embeddings()}
    # T5 casts what goes into these layers to the type of their weights, which for 4-bit ones is uint8: garbage without an error.
    kept = set(network._keep_in_fp32_modules or ())
    return {
        name: module for name, module in network.named_modules()
        if type(module) is nn.Linear and id(module) in inside and name not in whole and not kept & set(name.split("."))
    }


def quantise(language_model: LanguageModel) -> None:
    """Replace linear layers by 4-bit ones, one after the other; shapes without storage are only marked."""
    network = language_model.network
    if any(parameter.is_meta for parameter in network.parameters()):
        for module in chosen(language_model).values():
            module.becomes_nf4 = True
        return
    bitsandbytes = library()
    for name, module in chosen(language_model).items():
        parent, last = network.get_submodule(name.rpartition(".")[0]), name.rpartition(".")[2]
        setattr(parent, last, four_bit(bitsandbytes, module))
    own_memory(network)
    network.is_loaded_in_4bit = True  # what PEFT asks for


def own_memory(network: nn.Module) -> None:
    """Give each weight that stays as it is memory of its own.

    Weights read as they are stored are parts of the file mapped into memory, and one of them left would keep the whole file there.
    """
    for parameter in network.parameters():
        if is_mapped(parameter):
            parameter.data = parameter.data.clone()


def is_mapped(tensor: torch.Tensor) -> bool:
    """Whether a tensor lies in memory that is not its own to resize: a file's."""
    return not tensor.untyped_storage().resizable()


def four_bit(bitsandbytes, layer: nn.Linear) -> nn.Module:
    """The layer with 4-bit weights that are never repacked in place."""
    device = layer.weight.device
    made = bitsandbytes.nn.Linear4bit(layer.in_features, layer.out_features, bias=layer.bias is not None, compress_statistics=True, quant_type="nf4", device="meta")
    made.weight = bitsandbytes.nn.Params4bit(layer.weight.data, requires_grad=False, compress_statistics=True, quant_type="nf4", module=made).to(device)
    made.bias = layer.bias
    made.support_avx512bf16_for_cpu = False
    return made.train(layer.training)


def round_to_nf4(language_model: LanguageModel, dtype: torch.dtype) -> None:
    """Give the linear layers of a network that has never run the values that 4-bit weights stand for; `dtype` is the type they were quantised from."""
    functional = library().functional
    with torch.no_grad():
        for module in chosen(language_model).values():
            packed, state = functional.quantize_4bit(module.weight.to(dtype), blocksize=BLOCK, compress_statistics=True, quant_type="nf4")
            module.weight.copy_(functional.dequantize_4bit(packed, state).to(module.weight.dtype))


def kept_dtype(network: nn.Module) -> torch.dtype:
    """The type that the base had before it was quantised: that of its embedding."""
    return transformer_of(network).get_input_embeddings().weight.dtype


def left_alone(network: nn.Module) -> list[str]:
    """Full names of the linear layers that are not 4-bit, for whoever quantises the same base elsewhere."""
    transformer = transformer_of(network)
    names = {name.split(".modules_to_save.")[0].removesuffix(".original_module").removesuffix(".base_layer") for name, module in transformer.named_modules() if type(module) is nn.Linear and ".lora_" not in name}
    return sorted(names)


def stored_bytes(network: nn.Module, all_in_type: int) -> int:
    """Bytes of all weights, 4-bit ones and their constants included; layers that are only marked count as if they were."""
    saved = constants = 0
    for module in network.modules():
        if isinstance(module, nn.Linear) and hasattr(module, "becomes_nf4"):
            weight = module.weight
            saved += weight.numel() * weight.element_size() - -(-weight.numel() // 2)
            constants += bytes_of_constants(weight.numel())
        elif hasattr(module, "quant_state") and module.quant_state is not None:
            constants += bytes_of_constants(module.quant_state.shape.numel())
    return all_in_type - saved + constants


def bytes_of_constants(count: int) -> int:
    """One byte for each block of weights, four for each 256 blocks."""
    blocks = -(-count // BLOCK)
    return blocks + 4 * -(-blocks // BLOCKS)
