"""PEFT's adapters: choose layers, inject, save and load by strict rules, merge. The only file that imports PEFT.

Foreign adapter folders are read like foreign models: bounded JSON, known fields, checked safetensors, never a pickle.
"""
import dataclasses
import difflib
import json
import warnings
from pathlib import Path

import torch
from peft import LoraConfig, PeftConfig, PeftModel, get_peft_model
from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict
from torch import nn
from transformers.pytorch_utils import Conv1D

from luthier.errors import CheckpointError, RecipeError, Refused
from luthier.files import resolve
from luthier.models.configuration import read_object
from luthier.models.heads import body_of, transformer_of
from luthier.models.language_model import LanguageModel
from luthier.models.load import load as load_base
from luthier.models.saving import refuse_non_finite, save_tokenizer, write_side_file
from luthier.models.weights import read_tensors

CONFIG, TENSORS, ORIGIN = "adapter_config.json", "adapter_model.safetensors", "luthier.json"
TASK_TYPES = {"causal": "CAUSAL_LM", "sequence_class": "SEQ_CLS"}
PASSED = (  # fields of a saved configuration that describe the adapter; everything else is refused when it is set
    "r", "lora_alpha", "lora_dropout", "target_modules", "exclude_modules", "modules_to_save", "bias", "use_rslora", "use_dora", "fan_in_fan_out",
    "rank_pattern", "alpha_pattern", "layers_to_transform", "layers_pattern", "task_type", "init_lora_weights", "inference_mode", "ensure_weight_tying",
)


# ---- choosing layers ----------------------------------------------------------------------------
def linear_names(network: nn.Module) -> list[str]:
    """Last names of the linear layers of the body, the output head left out, in the order of the network."""
    names = (name.rsplit(".", 1)[-1] for name, module in body_of(network).named_modules() if isinstance(module, (nn.Linear, Conv1D)))
    return list(dict.fromkeys(names))


def saved_whole(language_model: LanguageModel) -> list[str]:
    """Modules that must be learned and saved as they are: those whose weights no file held, and an embedding that was grown."""
    network = language_model.network
    prefix = network.base_model_prefix + "."
    modules = list(dict.fromkeys(name.removeprefix(prefix).split(".")[0] for name in language_model.fresh))
    if language_model.resized:
        named = {id(module): name.rsplit(".", 1)[-1] for name, module in network.named_modules()}
        output = network.get_output_embeddings()
        grown = [network.get_input_embeddings(), *([output] if output is not None and not is_tied(network) else [])]
        modules += [named[id(module)] for module in grown]
    return modules


def is_tied(network: nn.Module) -> bool:
    """Whether the output layer is the input embedding."""
    output = network.get_output_embeddings()
    return output is not None and output.weight is network.get_input_embeddings().weight


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


def lora_config(settings, language_model: LanguageModel) -> LoraConfig:
    """PEFT's configuration of our settings on this network."""
    network = language_model.network
    whole = saved_whole(language_model)
    if settings.rank < 1 or settings.alpha <= 0 or not 0 <= settings.dropout < 1:
        raise RecipeError("method: rank must be at least 1, alpha above 0 and dropout from 0 to below 1", code="R126", field="method")
    if len(language_model.fresh) == len(list(network.parameters())):
        raise RecipeError("LoRA on random weights would freeze noise", code="R127", field="method", hint="use `method: full` to train from scratch")
    targets = chosen_targets(settings.targets, network)
    inside_whole = [name for name, module in network.named_modules() if isinstance(module, nn.Linear) and set(name.split(".")) & set(whole)]
    return LoraConfig(
        task_type=TASK_TYPES[language_model.head.kind], r=settings.rank, lora_alpha=settings.alpha, lora_dropout=settings.dropout, target_modules=targets,
        exclude_modules=inside_whole or None, modules_to_save=whole or None, bias="none", fan_in_fan_out=has_transposed(network, targets),
        ensure_weight_tying=bool(language_model.resized) and is_tied(network),
    )


def has_transposed(network: nn.Module, targets: list[str]) -> bool:
    """Whether the adapted layers keep their weights transposed, as GPT-2's do."""
    return any(isinstance(module, Conv1D) and name.rsplit(".", 1)[-1] in targets for name, module in network.named_modules())


# ---- injecting ----------------------------------------------------------------------------------
def inject(language_model: LanguageModel, config: PeftConfig) -> PeftModel:
    """Wrap the network; what is learned is kept in float32, the base stays as it is and is frozen."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PEFT warns of tied embeddings and of names, which saving and loading settle here
        network = get_peft_model(language_model.network, config)
    kept = network.peft_config["default"]
    place = language_model.folder
    kept.base_model_name_or_path = language_model.name if language_model.revision and place and str(place) != language_model.name else str(place)
    kept.revision = language_model.revision
    for parameter in network.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return network


# ---- saving and loading -------------------------------------------------------------------------
def save(network: PeftModel, language_model: LanguageModel, folder: Path) -> None:
    """PEFT's own files, the tokenizer, and a side file that names the base by its fingerprint."""
    refuse_non_finite(network)
    network.save_pretrained(folder, safe_serialization=True, save_embedding_layers=False)
    sort_names(folder / CONFIG)
    save_tokenizer(language_model, folder)
    write_side_file(folder, ORIGIN, {"base": {"name": language_model.name, "fingerprint": language_model.fingerprint, "labels": list(language_model.labels)}})


def sort_names(path: Path) -> None:
    """PEFT writes sets in an order that changes from process to process; sorted, equal runs leave equal bytes."""
    raw = json.loads(path.read_text(encoding="utf-8"))
    for name in ("target_modules", "exclude_modules", "modules_to_save"):
        raw[name] = sorted(raw[name]) if isinstance(raw[name], list) else raw[name]
    path.write_text(json.dumps(raw, indent=2, sort_keys=True), encoding="utf-8")


def load(language_model: LanguageModel, folder: Path) -> PeftModel:
    """A saved adapter on its base, ready to answer or to go on learning. Strict: see the errors."""
    folder = Path(folder)
    config = read_config(folder)
    check_origin(folder, language_model)
    network = inject(language_model, config)
    tensors = read_tensors([resolve(folder, TENSORS)])
    expected = get_peft_model_state_dict(network, save_embedding_layers=False)
    wrong = sorted(set(expected) ^ set(tensors)) or sorted(name for name in expected if expected[name].shape != tensors[name].shape)
    if wrong:
        raise CheckpointError(
            f"the adapter in {folder} does not fit this base: {', '.join(wrong[:3])} ({len(wrong)} tensors differ)", code="C121", file=str(folder),
            hint="load it on the base it was trained on",
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        set_peft_model_state_dict(network, tensors)
    return network


def read_config(folder: Path) -> PeftConfig:
    """An adapter's configuration from known fields; anything that names code, or a kind we do not load, is refused."""
    pickled = [name for name in ("adapter_model.bin", "adapter_model.pt") if (folder / name).exists()]
    if not (folder / TENSORS).exists():
        if pickled:
            raise Refused(f"{folder} has its adapter only as {pickled[0]}, a format that can run code when it is opened", code="S101", file=str(folder / pickled[0]))
        raise CheckpointError(f"{folder} holds no {TENSORS}", code="C120", file=str(folder), hint="name the folder of a saved adapter")
    raw = read_object(folder, CONFIG)
    if raw.get("peft_type") != "LORA":
        raise CheckpointError(f"{folder} holds an adapter of type {str(raw.get('peft_type'))[:40]!r}; LORA is what loads here", code="C122", file=str(folder / CONFIG))
    defaults = {field.name: field.default for field in dataclasses.fields(LoraConfig)}
    told = {"peft_type", "peft_version", "base_model_name_or_path", "revision", "auto_mapping", *PASSED}
    strange = [name for name, value in raw.items() if name not in told and value not in (None, False, {}, [], defaults.get(name))]
    if strange:
        raise Refused(f"{folder / CONFIG} sets {', '.join(sorted(strange)[:5])}, which is not understood here", code="S106", file=str(folder / CONFIG))
    try:
        return LoraConfig(**{name: raw[name] for name in PASSED if name in raw} | {"inference_mode": False})
    except (TypeError, ValueError) as error:
        raise Refused(f"{folder / CONFIG} does not describe an adapter: {error}", code="S106", file=str(folder / CONFIG)) from None


def check_origin(folder: Path, language_model: LanguageModel) -> None:
    """An adapter that names another base is a CheckpointError with both hashes; a foreign one without that file is judged by its shapes alone."""
    if not (folder / ORIGIN).exists():
        return
    base = read_object(folder, ORIGIN).get("base")
    if not isinstance(base, dict) or base.get("fingerprint") != language_model.fingerprint:
        named = base if isinstance(base, dict) else {}
        raise CheckpointError(
            f"the adapter in {folder} was trained on {named.get('name')} ({str(named.get('fingerprint'))[:12]}), this base is {language_model.name} "
            f"({language_model.fingerprint[:12]})", code="C123", file=str(folder), hint="load it on the base it was trained on",
        )


# ---- merging ------------------------------------------------------------------------------------
def merge(network: PeftModel, language_model: LanguageModel) -> nn.Module:
    """Load the base anew in float32, put the adapter on it and add it to the weights; the live network is left alone."""
    if language_model.folder is None:
        raise RecipeError("a network that never lay on a disk cannot be merged", code="R128", hint="save the base first")
    labels = list(language_model.labels) or None
    fresh = load_base(str(language_model.folder), head=language_model.head.kind, labels=labels, dtype=torch.float32)
    config = LoraConfig(**{field: getattr(network.peft_config["default"], field) for field in PASSED} | {"inference_mode": False})
    merged = inject(fresh, config)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        set_peft_model_state_dict(merged, get_peft_model_state_dict(network, save_embedding_layers=False))
    merged = merged.merge_and_unload(safe_merge=True)
    return transformer_of(merged).requires_grad_(True)
