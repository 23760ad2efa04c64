"""PEFT's adapters: inject, save and load by strict rules, merge; for every method whose result is an adapter folder.

Foreign adapter folders are read like foreign models: bounded JSON, known fields, checked safetensors, never a pickle.
"""
import copy
import dataclasses
import json
import warnings
from pathlib import Path

import torch
from peft import IA3Config, LoraConfig, PeftConfig, PeftModel, PrefixTuningConfig, PromptTuningConfig, get_peft_model
from peft.utils import ModulesToSaveWrapper, get_peft_model_state_dict, set_peft_model_state_dict
from torch import nn

from luthier.errors import CheckpointError, RecipeError, Refused
from luthier.files import resolve
from luthier.methods.bottleneck import BottleneckConfig
from luthier.methods.targets import inside_whole, is_tied, saved_whole
from luthier.models.configuration import read_object
from luthier.models.heads import transformer_of
from luthier.models.language_model import LanguageModel
from luthier.models.load import load as load_base
from luthier.models.saving import refuse_non_finite, save_tokenizer, write_side_file
from luthier.models.weights import read_tensors

CONFIG, TENSORS, ORIGIN = "adapter_config.json", "adapter_model.safetensors", "luthier.json"
TASK_TYPES = {
    "causal": "CAUSAL_LM", "seq2seq": "SEQ_2_SEQ_LM", "sequence_class": "SEQ_CLS", "multi_label": "SEQ_CLS", "regression": "SEQ_CLS", "token_class": "TOKEN_CLS",
}
"""PEFT's word for each head; a head that it has no word for is adapted as a plain network."""
COMMON = ("modules_to_save", "task_type", "inference_mode")
TARGETED = ("target_modules", "exclude_modules", "layers_to_transform", "layers_pattern", "fan_in_fan_out")
FRONT = ("num_virtual_tokens", "token_dim", "num_transformer_submodules", "num_attention_heads", "num_layers")
KINDS: dict[str, tuple[type, tuple[str, ...]]] = {  # fields of a saved configuration that describe the adapter; what else is set is refused
    "LORA": (LoraConfig, (
        *COMMON, *TARGETED, "r", "lora_alpha", "lora_dropout", "bias", "use_rslora", "use_dora", "rank_pattern", "alpha_pattern", "init_lora_weights",
        "ensure_weight_tying", "target_parameters",
    )),
    "BOTTLENECK": (BottleneckConfig, (*COMMON, "target_modules", "source_modules", "exclude_modules", "bottleneck_dim", "activation", "scaling", "dropout")),
    "PREFIX_TUNING": (PrefixTuningConfig, (*COMMON, *FRONT, "encoder_hidden_size")),
    "PROMPT_TUNING": (PromptTuningConfig, (*COMMON, *FRONT, "prompt_tuning_init")),
    "IA3": (IA3Config, (*COMMON, "target_modules", "exclude_modules", "feedforward_modules", "fan_in_fan_out", "init_ia3_weights")),
}
SETS = ("target_modules", "exclude_modules", "modules_to_save", "feedforward_modules", "target_parameters")


# ---- injecting ----------------------------------------------------------------------------------
def shared_fields(language_model: LanguageModel) -> dict:
    """Fields of every kind of adapter: the head's type, and the modules that are learned and saved whole."""
    network = language_model.network
    if len(language_model.fresh) == len(list(network.parameters())):
        raise RecipeError("adapters on random weights would freeze noise", code="R127", field="method", hint="use `method: full` to train from scratch")
    whole = saved_whole(language_model)
    return {"task_type": TASK_TYPES.get(language_model.head.kind), "modules_to_save": whole or None}


def excluded(language_model: LanguageModel) -> list[str] | None:
    """Layers that no adapter may touch because they are learned whole."""
    return inside_whole(language_model.network, saved_whole(language_model)) or None


def keeps_ties(language_model: LanguageModel) -> bool:
    """Whether an embedding that is learned whole is the output layer too."""
    return bool(language_model.resized) and is_tied(language_model.network)


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
    raw |= {name: sorted(raw[name]) for name in SETS if isinstance(raw.get(name), list)}
    path.write_text(json.dumps(raw, indent=2, sort_keys=True), encoding="utf-8")


def load(language_model: LanguageModel, folder: Path, *, kind: str) -> PeftModel:
    """A saved adapter of PEFT's type `kind` on its base, ready to answer or to go on learning. Strict: see the errors."""
    folder = Path(folder)
    config = read_config(folder, kind)
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


def kind_of(folder: Path) -> str:
    """PEFT's name of the type that an adapter folder says it is."""
    return str(read_object(folder, CONFIG).get("peft_type"))


def read_config(folder: Path, kind: str) -> PeftConfig:
    """An adapter's configuration from known fields; anything that names code, or another kind of adapter, is refused."""
    pickled = [name for name in ("adapter_model.bin", "adapter_model.pt") if (folder / name).exists()]
    if not (folder / TENSORS).exists():
        if pickled:
            raise Refused(f"{folder} has its adapter only as {pickled[0]}, a format that can run code when it is opened", code="S101", file=str(folder / pickled[0]))
        raise CheckpointError(f"{folder} holds no {TENSORS}", code="C120", file=str(folder), hint="name the folder of a saved adapter")
    raw = read_object(folder, CONFIG)
    if raw.get("peft_type") != kind:
        raise CheckpointError(f"{folder} holds an adapter of type {str(raw.get('peft_type'))[:40]!r}; {kind} is what this method loads", code="C122", file=str(folder / CONFIG))
    config_class, passed = KINDS[kind]
    defaults = {field.name: field.default for field in dataclasses.fields(config_class)}
    told = {"peft_type", "peft_version", "base_model_name_or_path", "revision", "auto_mapping", *passed}
    strange = [name for name, value in raw.items() if name not in told and value not in (None, False, {}, [], defaults.get(name))]
    if strange:
        raise Refused(f"{folder / CONFIG} sets {', '.join(sorted(strange)[:5])}, which is not understood here", code="S106", file=str(folder / CONFIG))
    try:
        return config_class(**{name: raw[name] for name in passed if name in raw} | {"inference_mode": False})
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
def fresh_base(language_model: LanguageModel) -> LanguageModel:
    """The base loaded anew in float32."""
    if language_model.folder is None:
        raise RecipeError("a network that never lay on a disk cannot be merged", code="R128", hint="save the base first")
    labels = list(language_model.labels) or None
    return load_base(str(language_model.folder), head=language_model.head.kind, labels=labels, dtype=torch.float32)


def merge(network: PeftModel, language_model: LanguageModel) -> nn.Module:
    """Load the base anew in float32, put the adapter on it and add it to the weights; the live network is left alone."""
    return merge_onto(fresh_base(language_model), network)


def merge_onto(fresh: LanguageModel, network: PeftModel) -> nn.Module:
    """The adapter of a live network, added to the weights of a base that has just been loaded."""
    config = copy.deepcopy(network.peft_config["default"])
    config.inference_mode = False
    merged = inject(fresh, config)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        set_peft_model_state_dict(merged, get_peft_model_state_dict(network, save_embedding_layers=False))
        unwrap_whole(merged)
        merged = merged.merge_and_unload(safe_merge=True)
    return transformer_of(merged).requires_grad_(True)


def unwrap_whole(network: PeftModel) -> None:
    """Put modules that were learned whole back to their places; PEFT's own merging expects each to be one layer. Tied embeddings stay tied by PEFT's way."""
    for name, module in list(network.named_modules()):
        if isinstance(module, ModulesToSaveWrapper) and not hasattr(module.original_module, "weight"):
            parent, last = network.get_submodule(name.rpartition(".")[0]), name.rpartition(".")[2]
            setattr(parent, last, module.modules_to_save[module.active_adapters[0]])
