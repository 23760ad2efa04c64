"""config.json read by our own rules: known fields only, no code named by a file, sizes bounded before anything is built.

A field is known when the configuration class of Transformers declares it or the family lists it; others are left out and told. Fields
through which a file could choose code (`auto_map`, `trust_remote_code`, anything that starts with an underscore) are never passed on.
"""
import dataclasses
import json
from pathlib import Path

from transformers import CONFIG_MAPPING, PreTrainedConfig

from luthier.errors import CheckpointError, RecipeError, Refused
from luthier.files import resolve
from luthier.models.families import MEMBERS, family_of

MAX_CONFIG_BYTES = 1 << 20
MAX_DEPTH = 16
LIMITS = {  # far beyond any network that exists, far below what would hurt
    "num_hidden_layers": 1024, "n_layer": 1024, "num_layers": 1024, "vocab_size": 1 << 24, "hidden_size": 1 << 17, "n_embd": 1 << 17,
    "intermediate_size": 1 << 20, "n_inner": 1 << 20, "num_attention_heads": 1 << 12, "n_head": 1 << 12, "num_key_value_heads": 1 << 12,
    "head_dim": 1 << 14, "max_position_embeddings": 1 << 26, "n_positions": 1 << 26, "num_labels": 1 << 20, "num_experts": 1 << 12,
    "num_local_experts": 1 << 12, "type_vocab_size": 1 << 16,
}
HARMLESS = {  # fields that say nothing about this network, left out without a word
    "_name_or_path", "transformers_version", "torch_dtype", "dtype", "use_cache", "pretraining_tp", "task_specific_params", "architectures",
    "model_type", "output_past", "quantization_config", "num_labels", "finetuning_task", "directionality", "_num_labels",
}
FORBIDDEN = ("auto_map", "trust_remote_code", "custom_pipelines")


def path_inside(folder: Path, name: str, root: Path | None = None) -> Path:
    """The file `name` of a folder, its links followed; a target outside `root` (by default the folder) is Refused."""
    root = Path(folder if root is None else root).resolve()
    return resolve(root, (Path(folder).resolve() / name).relative_to(root).as_posix() if name and Path(folder).resolve() != root else name)


def read_object(folder: Path, name: str, *, root: Path | None = None, limit: int = MAX_CONFIG_BYTES) -> dict:
    """A JSON object from a model folder: inside it (or `root`), within `limit` bytes, no duplicate keys, bounded depth; else Refused."""
    path = path_inside(folder, name, root)
    if not path.is_file():
        raise CheckpointError(f"there is no file {Path(folder) / name}", code="C114", file=str(Path(folder) / name), hint="a model is a folder with config.json and model.safetensors")
    if path.stat().st_size > limit:
        raise Refused(f"{path} has {path.stat().st_size:,} bytes; at most {limit:,} are read", code="S105", file=str(path))
    try:
        value = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise Refused(f"{path} is not a sound JSON file: {error}", code="S105", file=str(path), hint="download the model again") from None
    if not isinstance(value, dict) or depth(value) > MAX_DEPTH:
        raise Refused(f"{path} does not hold one flat JSON object", code="S105", file=str(path), hint="download the model again")
    return value


def unique(pairs: list[tuple]) -> dict:
    """A dict from pairs, refusing a key that comes twice."""
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key comes twice")
    return value


def depth(value) -> int:
    """How deep containers nest; the JSON reader has bounded it by its own recursion limit."""
    layer, level = [value], 0
    while layer:
        layer = [item for outer in layer if isinstance(outer, (dict, list)) for item in (outer.values() if isinstance(outer, dict) else outer)]
        level += 1
    return level


def read_configuration(folder: Path, root: Path | None = None) -> tuple[PreTrainedConfig, list[str]]:
    """The configuration in a model folder and notices about fields left out. Unknown model types are a RecipeError, hostile files Refused."""
    raw = read_object(folder, "config.json", root=root)
    model_type = raw.get("model_type")
    if not isinstance(model_type, str) or model_type not in CONFIG_MAPPING:
        raise RecipeError(
            f"{folder}/config.json names the model type {model_type!r}, which this version of Transformers does not know",
            code="R120", hint=f"choose a model of one of these families: {', '.join(member.name for member in MEMBERS)}",
        )
    if "quantization_config" in raw:
        raise RecipeError(f"{folder} holds quantised weights, which cannot be trained here", code="R121", hint="choose the unquantised model")
    check_limits(raw, folder)
    config_class = CONFIG_MAPPING[model_type]
    known = {field.name for field in dataclasses.fields(config_class)} | set(family_of(model_type).further_fields) | {*config_class.attribute_map, *config_class.attribute_map.values()}
    passed = {name: value for name, value in raw.items() if name in known and not name.startswith("_") and name not in FORBIDDEN}
    dropped = sorted(set(raw) - set(passed) - HARMLESS)
    passed = {name: value for name, value in passed.items() if name not in HARMLESS}
    try:
        config = config_class(**passed)
    except Exception as error:  # the validators of many configuration classes raise many types
        raise Refused(f"{folder}/config.json does not describe a {model_type} network: {error}", code="S106", hint="download the model again") from error
    notices = [f"config.json: left out {', '.join(dropped)}"] if dropped else []
    return config, notices


def check_limits(raw: dict, folder: Path) -> None:
    """Refuse sizes that no network has, before any code builds something from them."""
    for name, limit in LIMITS.items():
        value = raw.get(name)
        if value is None:
            continue
        least = 0 if name == "type_vocab_size" else 1  # DeBERTa has no token types
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= limit:
            raise Refused(f"{folder}/config.json: {name} is {str(value)[:40]}; allowed are whole numbers from {least} to {limit:,}", code="S106", field=name)
    if isinstance(raw.get("id2label"), dict) and len(raw["id2label"]) > LIMITS["num_labels"]:
        raise Refused(f"{folder}/config.json names {len(raw['id2label']):,} labels", code="S106", field="id2label")
