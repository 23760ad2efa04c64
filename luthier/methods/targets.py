"""Which layers a method touches: by the last names of linear layers, or by the places of a block that the family's file tells.

A place is the path of a module behind the number of its block: `mlp.down_proj` of `model.layers.3.mlp.down_proj`.
"""
import difflib
import re
from collections.abc import Iterable, Sequence

from torch import nn
from transformers.pytorch_utils import Conv1D

from luthier.errors import RecipeError
from luthier.models.families import FAMILIES, Family
from luthier.models.heads import body_of
from luthier.models.language_model import LanguageModel

BLOCK = re.compile(r"^(.*?\.)?(\d+)\.(.+)$")
LINEAR = (nn.Linear, Conv1D)


# ---- by last name -------------------------------------------------------------------------------
def linear_names(network: nn.Module) -> list[str]:
    """Last names of the linear layers of the body, the output head left out, in the order of the network."""
    output = network.get_output_embeddings()  # inside what counts as the body of some encoder-decoders, and tied to the embedding there
    names = (name.rsplit(".", 1)[-1] for name, module in body_of(network).named_modules() if isinstance(module, LINEAR) and module is not output)
    return list(dict.fromkeys(names))


def chosen_targets(asked: list[str] | None, network: nn.Module) -> list[str]:
    """The layers to adapt; a name that the network lacks is a RecipeError with the nearest ones."""
    known = linear_names(network)
    if asked is None:
        return known
    for name in asked:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            raise RecipeError(
                f"method.targets names {name!r}, which is no linear layer of this network; there are: {', '.join(known)}",
                code="R125", field="method.targets", hint=f"did you mean {near[0]}?" if near else "leave targets out to adapt them all",
            )
    if not asked:
        raise RecipeError("method.targets is empty, so nothing would be learned", code="R125", field="method.targets", hint="leave it out to adapt all linear layers")
    return list(asked)


def has_transposed(network: nn.Module, targets: Sequence[str]) -> bool:
    """Whether the adapted layers keep their weights transposed, as GPT-2's do."""
    return any(isinstance(module, Conv1D) and name.rsplit(".", 1)[-1] in targets for name, module in network.named_modules())


# ---- by block -----------------------------------------------------------------------------------
def block_of(name: str) -> tuple[str, int, str] | None:
    """(list of blocks, number, place) of a module's name; None for what lies in no block."""
    match = BLOCK.match(name)
    return (match[1] or "", int(match[2]), match[3]) if match else None


def num_blocks(network: nn.Module) -> int:
    """Blocks of the longest stack of a network."""
    numbers = [block[1] for name, _ in body_of(network).named_modules() if (block := block_of(name))]
    return max(numbers, default=-1) + 1


def chosen_blocks(asked: list[int] | None, network: nn.Module, field: str) -> list[int] | None:
    """Numbers of blocks, counted from 0, negative ones from the end; one that does not exist is a RecipeError."""
    if asked is None:
        return None
    count = num_blocks(network)
    wrong = [number for number in asked if not -count <= number < count]
    if wrong or not asked:
        what = f"names block {wrong[0]}" if wrong else "is empty, so nothing would be learned"
        raise RecipeError(f"{field} {what}; this network has the blocks 0 to {count - 1}, and -1 is the last", code="R125", field=field)
    return sorted({number % count for number in asked})


def modules_at(network: nn.Module, places: Sequence[str]) -> list[str]:
    """Full names of the modules that stand at one of these places of any block, in the order of the network."""
    wanted = set(places)
    return [name for name, _ in network.named_modules() if (block := block_of(name)) and block[2] in wanted]


def places_of(language_model: LanguageModel, what: str) -> list[str]:
    """Full names of the modules that play the part `what` (a field of Family) in every block.

    An architecture without a file is searched for the places of those that have one; where none fits, RecipeError lists what is known.
    """
    family, network = language_model.family, language_model.network
    told = getattr(family, what)
    found = modules_at(network, told or sorted({place for known in FAMILIES.values() for place in getattr(known, what)}))
    if not found:
        raise unknown_places(family, network, what)
    return found


def unknown_places(family: Family, network: nn.Module, what: str) -> RecipeError:
    """Nothing of a network plays a part that a method needs."""
    known = ", ".join(sorted({known.name for known in FAMILIES.values() if getattr(known, what)}))
    return RecipeError(
        f"where a {network.config.model_type} network has its {what.replace('_', ' ')} is not known; it is for: {known}", code="R170", field="method",
        hint="method=lora adapts every linear layer of any network",
    )


# ---- what has to be learned whatever the method ---------------------------------------------------
def is_tied(network: nn.Module) -> bool:
    """Whether the output layer is the input embedding."""
    output = network.get_output_embeddings()
    return output is not None and output.weight is network.get_input_embeddings().weight


def new_modules(language_model: LanguageModel) -> list[str]:
    """The modules, by the first part of their names, whose weights no file held."""
    prefix = language_model.network.base_model_prefix + "."
    return list(dict.fromkeys(name.removeprefix(prefix).split(".")[0] for name in language_model.fresh))


def new_weights(language_model: LanguageModel, trainable: Iterable[str]) -> list[str]:
    """Which of these tensors belong to a head whose weights no file held; none where the body starts from nothing too."""
    body = language_model.network.base_model_prefix + "."
    if any(name.startswith(body) and ".pooler." not in name for name in language_model.fresh):
        return []
    new = set(new_modules(language_model))
    return [name for name in trainable if new & set(name.split("."))]


def saved_whole(language_model: LanguageModel) -> list[str]:
    """Modules that must be learned and saved as they are: those whose weights no file held, and an embedding that was grown."""
    network = language_model.network
    modules = new_modules(language_model)
    if language_model.resized:
        named = {id(module): name.rsplit(".", 1)[-1] for name, module in network.named_modules()}
        output = network.get_output_embeddings()
        grown = [network.get_input_embeddings(), *([output] if output is not None and not is_tied(network) else [])]
        modules += [named[id(module)] for module in grown]
    return modules


def inside_whole(network: nn.Module, whole: Sequence[str]) -> list[str]:
    """Linear layers inside modules that are learned whole: no adapter belongs there."""
    return [name for name, module in network.named_modules() if isinstance(module, nn.Linear) and set(name.split(".")) & set(whole)]
