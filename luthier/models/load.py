"""Load a base model from a folder, a shipped name or a hub id, or start one from a configuration with fresh weights.

Weights come through our own checked reader; Transformers only receives a configuration object and a dict of tensors, never a path.
"""
from dataclasses import dataclass
from pathlib import Path

import torch
import transformers
from torch import Tensor, nn
from transformers import PreTrainedConfig

from luthier.errors import CheckpointError, RecipeError, Refused
from luthier.files import digest, sha256_file
from luthier.models import attention, quick_layers
from luthier.models.configuration import read_configuration
from luthier.models.families import Family, family_of
from luthier.models.head_kinds import HEAD_KINDS, auto_class
from luthier.models.heads import CausalHead, Head
from luthier.models.language_model import LanguageModel
from luthier.models.location import Location, locate
from luthier.models.logprobs import LogitTransform
from luthier.models.quick_dropout import is_dropout
from luthier.models.tokenizer import load_tokenizer
from luthier.models.weights import Stored, pickled_side_files, read_headers, read_tensors, weight_files

PLAIN_HEADS = {"decoder": "causal", "encoder": "sequence_class", "encoder_decoder": "seq2seq"}
"""The head by which a family of each kind is measured before a task is known."""


@dataclass(frozen=True)
class ModelFacts:
    """What a configuration and the headers of the weight files say, nothing loaded."""

    name: str
    """The name as given."""
    kind: str
    """decoder, encoder or encoder_decoder."""
    architecture: str
    """The configuration's model type."""
    parameters: int
    """Distinct parameters of the network."""
    vocabulary: int
    """Rows of the embedding."""
    width: int
    """Size of a hidden state."""
    layers: int
    """Number of blocks."""
    context: int
    """The longest sequence, in tokens."""
    stored_bytes: int
    """Size of the weight files."""
    template: bool
    """Whether a chat template comes with it."""
    sentence: str
    """How the name was read."""
    revision: str | None
    """The commit of a hub model."""


def facts(name: str) -> ModelFacts:
    """Facts from the configuration and file headers; no weight is read."""
    place = locate(name)
    config, _ = read_configuration(place.folder, place.root)
    family = family_of(config.model_type)
    files = weight_files(place.folder, root=place.root) if any(place.folder.glob("*.safetensors*")) else []
    if files:
        check_layers(config, read_headers(files))
    skeleton = build_skeleton(config, PLAIN_HEADS[family.kind])
    return ModelFacts(
        name=name, kind=family.kind, architecture=config.model_type, parameters=sum(p.numel() for p in skeleton.parameters()),
        vocabulary=config.vocab_size, width=config.hidden_size, layers=config.num_hidden_layers, context=family.context(config),
        stored_bytes=sum(path.stat().st_size for path in files), template=has_template(place), sentence=place.sentence, revision=place.revision,
    )


def has_template(place: Location) -> bool:
    """Whether a chat template lies in the folder."""
    inline = place.folder / "tokenizer_config.json"
    return (place.folder / "chat_template.jinja").exists() or (inline.exists() and '"chat_template"' in inline.read_text(encoding="utf-8", errors="replace"))


def build_skeleton(config: PreTrainedConfig, head: str) -> nn.Module:
    """The network on the meta device: shapes without memory."""
    if type(config) not in auto_class(head)._model_mapping:
        raise RecipeError(f"a {config.model_type} model has no {head} head", code="R122", hint="choose another model or task")
    try:
        with torch.device("meta"):
            return auto_class(head).from_config(config)
    except Exception as error:  # hostile values surface anywhere inside a constructor
        raise Refused(f"config.json does not describe a {config.model_type} network: {type(error).__name__}: {str(error)[:120]}", code="S106", hint="download the model again") from error


def load(
    name: str, *, head: str = "causal", labels: list[str] | None = None, dtype: torch.dtype = torch.float32,
    autocast: torch.dtype | None = None, scratch_seed: int | None = None, seed: int = 17, device: str = "cpu", revision: str | None = None,
    keep_labels: bool = False,
) -> LanguageModel:
    """A language model ready for a method.

    `dtype` is the type that parameters are kept in, `autocast` the type of matrix products (None: that of the parameters). With `scratch_seed`
    the weights are fresh random numbers of that seed and none are read. `labels` name the outputs of a `sequence_class` head, whose new
    weights are drawn from `seed`; with `keep_labels` the outputs and their names are those of the model's own configuration. Errors: RecipeError (no such model, wrong kind), Refused (unsafe files), CheckpointError, NonFinite.
    """
    quiet_libraries()
    place = locate(name, revision=revision)
    config, notices = read_configuration(place.folder, place.root)
    family = family_of(config.model_type)
    prepare_configuration(config, head, labels, family, keep_labels=keep_labels)
    tokenizer, template, told = load_tokenizer(place.folder, place.root, config)
    if HEAD_KINDS[head].outputs and family.kind == "decoder" and config.pad_token_id is None:
        config.pad_token_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    notices += told
    if scratch_seed is not None:
        network, fingerprint = fresh_network(config, head, scratch_seed, dtype), digest(config.to_json_string(), f"scratch {scratch_seed}")
        fresh = tuple(name for name, _ in network.named_parameters())
    else:
        files = weight_files(place.folder, root=place.root)
        network, fresh, told = network_from(files, config, head, dtype, seed)
        fingerprint = digest(config.model_type, *(sha256_file(path) for path in files))
        notices += told + [f"never opened: {', '.join(pickled)}" for pickled in [pickled_side_files(place.folder)] if pickled]
    resized = fit_embedding(network, len(tokenizer), seed, notices)
    network.to(device)
    choose_attention(network, device, {dtype, autocast})
    if device == "cpu":
        quick_layers.quicken(network)
    model_head = head_for(network, head, family)
    model_head.autocast = autocast
    return LanguageModel(
        network=network, tokenizer=tokenizer, head=model_head, name=name, folder=place.folder, context=context_of(config, family, tokenizer),
        fingerprint=fingerprint, template=template, family=family, notices=notices + model_head.notices, revision=place.revision,
        resized=resized, fresh=fresh, labels=tuple(labels or ()),
    )


def quiet_libraries() -> None:
    """Transformers' load reports and progress bars repeat what our notices say."""
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()


def prepare_configuration(config: PreTrainedConfig, head: str, labels: list[str] | None, family: Family, *, keep_labels: bool = False) -> None:
    """Check that the head suits the family, and write the class names where the ecosystem looks for them."""
    kind = HEAD_KINDS[head]
    if head == "causal" and family.kind == "encoder":
        raise RecipeError(f"a {config.model_type} model is an encoder: it cannot write text", code="R123", hint="use `task: classification`, or a decoder as model")
    if kind.outputs is not None and not keep_labels:
        if not labels and head != "regression":
            raise RecipeError("a classification head needs its labels", code="R124", hint="pass the labels of the training rows")
        names = kind.outputs(labels or [])
        config.id2label = dict(enumerate(names))
        config.label2id = {name: index for index, name in enumerate(names)}
    for name, value in kind.configuration.items():
        setattr(config, name, value)
    if kind.outputs is not None and config.num_labels == 1:
        config.problem_type = "regression"  # one score is no choice among classes, and stock libraries refuse to load it as one


def fresh_network(config: PreTrainedConfig, head: str, seed: int, dtype: torch.dtype) -> nn.Module:
    """A network with random weights that only the seed decides."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return auto_class(head).from_config(config).to(dtype)


def network_from(files: list, config: PreTrainedConfig, head: str, dtype: torch.dtype, seed: int) -> tuple[nn.Module, tuple[str, ...], list[str]]:
    """The network with the weights of checked files, the names of its fresh parameters and notices; missing weights are an error, surplus ones a notice."""
    stored = read_headers(files)
    check_layers(config, stored)
    skeleton = build_skeleton(config, head)
    check_size(skeleton, stored, config)
    tensors = read_tensors(files, dtype=dtype)
    notices = tie_by_what_is_stored(skeleton, config, tensors)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            network, info = type(skeleton).from_pretrained(None, config=config, state_dict=tensors, dtype=dtype, output_loading_info=True)
        except RuntimeError as error:
            raise CheckpointError(f"the weights in {files[0].parent} do not fit their configuration: {str(error)[:300]}", code="C112") from None
    fresh = tuple(sorted(name for name in info["missing_keys"] if HEAD_KINDS[head].fresh and is_head(name, skeleton.base_model_prefix)))
    missing = sorted(set(info["missing_keys"]) - set(fresh))
    if missing:
        raise CheckpointError(f"{files[0].parent} lacks the weights {', '.join(missing[:5])} ({len(missing)} in all)", code="C113", hint="download the model again")
    if fresh:
        notices.append(f"new weights, to be learned: {', '.join(fresh)}")
    if surplus := sorted(info["unexpected_keys"]):
        notices.append(f"{len(surplus)} stored tensors are not part of this network and were left: {', '.join(surplus[:3])}{' ...' if len(surplus) > 3 else ''}")
    return network, fresh, notices


def is_head(name: str, prefix: str) -> bool:
    """Whether a parameter belongs to a classification head; poolers sit inside the body but are part of it, and are often not stored."""
    return not name.startswith(prefix + ".") or ".pooler." in name


def choose_attention(network: nn.Module, device: str, dtypes: set) -> None:
    """On a CPU, attention in bf16 runs block by block, and one with dropout draws its numbers quickly; networks that chose anything but PyTorch's plain attention keep it."""
    if device == "cpu" and network.config._attn_implementation == "sdpa" and (torch.bfloat16 in dtypes or any(map(is_dropout, network.modules()))):
        network.set_attn_implementation(attention.NAME)


def check_size(skeleton: nn.Module, stored: dict[str, Stored], config: PreTrainedConfig) -> None:
    """Before memory is taken: the network must not be larger than what the files hold explains."""
    needed = sum(parameter.numel() for parameter in skeleton.parameters())
    held = sum(tensor.numel for tensor in stored.values())
    if needed > 1.5 * held + 4_000_000:
        raise Refused(f"config.json describes {needed:,} parameters, the weight files hold {held:,}", code="S107", hint="download the model again")


def check_layers(config: PreTrainedConfig, stored: dict[str, Stored]) -> None:
    """Before anything is built, even without memory: every layer has tensors of its own."""
    if len(stored) < config.num_hidden_layers:
        raise Refused(f"config.json describes {config.num_hidden_layers} layers, the weight files hold {len(stored)} tensors", code="S107", hint="download the model again")


def tie_by_what_is_stored(skeleton: nn.Module, config: PreTrainedConfig, tensors: dict[str, Tensor]) -> list[str]:
    """Settle embedding and output layer when only one of the two is stored, whatever the configuration says."""
    output = skeleton.get_output_embeddings()
    if output is None:
        return []
    names = {id(parameter): name for name, parameter in skeleton.named_parameters(remove_duplicate=False)}
    embedding_name = next(name for name, module in skeleton.named_modules() if module is skeleton.get_input_embeddings()) + ".weight"
    output_name = next(name for name, module in skeleton.named_modules() if module is output) + ".weight"
    prefix = skeleton.base_model_prefix + "."
    embedding_stored = next((name for name in (embedding_name, embedding_name.removeprefix(prefix)) if name in tensors), None)
    if embedding_stored is None and output_name in tensors:
        tensors[embedding_name] = tensors[output_name]
        config.tie_word_embeddings = True
        return ["only the output layer is stored: it serves as the input embedding too"]
    if any(tensor.shape == output.weight.shape for name, tensor in tensors.items() if name not in (embedding_stored, output_name)):
        return []  # stored under a name of its family's own, which loading knows
    if output_name not in tensors and embedding_stored is not None and not config.tie_word_embeddings and id(output.weight) in names:
        config.tie_word_embeddings = True
        return ["no output layer is stored: the input embedding serves as the output layer too"]
    return []


def fit_embedding(network: nn.Module, num_tokens: int, seed: int, notices: list[str]) -> int:
    """Grow the embedding when the tokenizer has more tokens than rows; returns the rows added."""
    rows = network.get_input_embeddings().weight.shape[0]
    if num_tokens <= rows:
        return 0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network.resize_token_embeddings(num_tokens)
    notices.append(f"the tokenizer has {num_tokens - rows} tokens more than the embedding had rows; rows were added and must be learned")
    return num_tokens - rows


def head_for(network: nn.Module, head: str, family: Family) -> Head:
    """The head of a fresh network; one that writes words is probed against the network's own logits."""
    if head != "causal":
        found = HEAD_KINDS[head].make()
        if HEAD_KINDS[head].outputs is None:
            found.probe(network)
        return found
    causal = CausalHead(LogitTransform(family.logit_scale(network.config), family.logit_softcap(network.config)))
    causal.probe(network)
    return causal


def context_of(config: PreTrainedConfig, family: Family, tokenizer) -> int:
    """The longest sequence that both network and tokenizer take."""
    stated = tokenizer.model_max_length
    return min(family.context(config), stated) if stated and stated > 0 else family.context(config)


def replace_weights(language_model: LanguageModel, folder: Path) -> nn.Module:
    """Put the weights of a saved model folder into a network of the same shape; any difference in names or shapes is a CheckpointError."""
    network, folder = language_model.network, Path(folder)
    config, _ = read_configuration(folder)
    saved, fresh, _ = network_from(weight_files(folder), config, language_model.head.kind, network.dtype, 0)
    own, other = network.state_dict(), saved.state_dict()
    wrong = sorted({*(set(own) ^ set(other)), *fresh}) or sorted(name for name in own if own[name].shape != other[name].shape)
    if wrong:
        raise CheckpointError(f"{folder} holds another network: {', '.join(wrong[:5])} ({len(wrong)} tensors differ)", code="C112", file=str(folder), hint="load it on the base it was made from")
    network.load_state_dict(other)
    return network
