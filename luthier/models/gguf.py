"""A decoder as a GGUF file, and back: for the families whose copies can be proven, over the `gguf` package's writer and names.

The conventions are those of llama.cpp: Llama's query and key rows are interleaved anew for its rotary kernel, norms and biases stay float32, a
tied output layer is left out. The tokenizer goes along as tokens, merges and the name of its pre-tokenizer, or as pieces with scores
(`gguf_pieces.py`); `tokenizer_of` builds it again from these, as a reader of the file would.
"""
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from luthier.errors import RecipeError, Refused, WorkFailed
from luthier.models import gguf_pieces
from luthier.models.gguf_header import check_words, header_of
from luthier.models.gguf_pieces import CONTROL, NORMAL, UNUSED, USER_DEFINED
from luthier.models.heads import CausalHead, transformer_of
from luthier.models.language_model import LanguageModel

PRECISIONS = ("f32", "f16", "bf16", "q8_0", "q4_0")
PRE_TOKENIZERS = ("gpt-2", "smollm", "llama-bpe", "qwen2")
MOST_CONTEXT = 1 << 24
ARCHITECTURES = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3"}
"""Model types that are converted, and their names in GGUF."""
GPT2_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def pre_tokenizer_of(name: str):
    """What a reader of the file does before it merges, by the name that stands in the file."""
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    if name == "gpt-2":
        return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    if name == "smollm":
        return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    words = {"llama-bpe": LLAMA3_WORDS, "qwen2": QWEN2_WORDS}[name]
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(words), "isolated"), byte_level])


def pre_tokenizer_name(described: dict | None) -> str | None:
    """The name in GGUF of a pre-tokenizer as tokenizer.json describes it; None where there is none."""
    parts = (described or {}).get("pretokenizers", [described or {}])
    kinds = [part.get("type") for part in parts]
    last = parts[-1]
    if kinds[-1:] != ["ByteLevel"] or last.get("add_prefix_space"):
        return None
    if kinds == ["ByteLevel"] and last.get("use_regex", True):
        return "gpt-2"
    if kinds == ["Digits", "ByteLevel"] and parts[0].get("individual_digits") and last.get("use_regex", True):
        return "smollm"
    if kinds == ["Split", "ByteLevel"] and not last.get("use_regex", True):
        return {LLAMA3_WORDS: "llama-bpe", QWEN2_WORDS: "qwen2"}.get((parts[0].get("pattern") or {}).get("Regex", ""))
    return None


def refuse_unproven(language_model: LanguageModel) -> None:
    """What cannot be proven here is not written: RecipeError X110 with the reason."""
    config = transformer_of(language_model.network).config
    described = json.loads(language_model.tokenizer.backend_tokenizer.to_str())
    reason = ""
    if config.model_type not in ARCHITECTURES:
        reason = f"{config.model_type} networks are not converted; there are: {', '.join(ARCHITECTURES)}"
    elif config.model_type == "mistral" and config.sliding_window and config.sliding_window < config.max_position_embeddings:
        reason = "this Mistral attends in windows, which the file's readers do not"
    elif (config.rope_parameters or {}).get("rope_type", "default") != "default":
        reason = f"its positions are scaled ({config.rope_parameters['rope_type']})"
    elif gguf_pieces.is_pieces(described):
        reason = gguf_pieces.refusal(described) or ""
    elif described["model"]["type"] != "BPE" or pre_tokenizer_name(described["pre_tokenizer"]) is None or described["normalizer"]:
        reason = f"its tokenizer ({described['model']['type']}) is neither of SentencePiece's kind nor a byte-level BPE whose pre-tokenizer has a name in GGUF"
    if reason:
        raise RecipeError(f"no GGUF of {language_model.name}: {reason}", code="X110", hint="export it merged; other converters may know it")


# ---- writing ------------------------------------------------------------------------------------
def write_gguf(network: nn.Module, language_model: LanguageModel, path: Path, *, precision: str, name: str) -> None:
    """Write a plain float32 network and the tokenizer of `language_model`. RecipeError where the copy could not be proven."""
    import gguf

    refuse_unproven(language_model)
    network = transformer_of(network)
    config = network.config
    architecture = ARCHITECTURES[config.model_type]
    writer = gguf.GGUFWriter(path, architecture)
    write_numbers(writer, config, name, precision)
    write_tokenizer(writer, language_model, config.vocab_size)
    names = gguf.get_tensor_name_map({value: key for key, value in gguf.MODEL_ARCH_NAMES.items()}[architecture], config.num_hidden_layers)
    tied = config.tie_word_embeddings
    for tensor_name, tensor in network.state_dict().items():
        if tied and tensor_name == "lm_head.weight":
            continue
        new_name = names.get_name(tensor_name, try_suffixes=(".weight", ".bias"))
        if new_name is None:
            raise RecipeError(f"no GGUF of {language_model.name}: there is no place for its tensor {tensor_name}", code="X110", hint="export it merged")
        data = tensor.detach().float().cpu().numpy()
        if architecture == "llama" and (found := re.search(r"\.(q|k)_proj\.(weight|bias)$", tensor_name)):
            data = interleaved(data, config.num_attention_heads if found[1] == "q" else config.num_key_value_heads)
        add_tensor(writer, new_name, np.ascontiguousarray(data), precision)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def interleaved(data: np.ndarray, heads: int) -> np.ndarray:
    """Rows of each head in the order of llama.cpp's rotary kernel: first and second half by turns."""
    return data.reshape(heads, 2, data.shape[0] // heads // 2, *data.shape[1:]).swapaxes(1, 2).reshape(data.shape)


def add_tensor(writer, name: str, data: np.ndarray, precision: str) -> None:
    """Matrices in the wanted precision, vectors in float32; rows that do not fill whole blocks of a quantised type stay float16."""
    import gguf

    kind = {"f32": "F32", "f16": "F16", "bf16": "BF16", "q8_0": "Q8_0", "q4_0": "Q4_0"}[precision] if data.ndim > 1 else "F32"
    if kind in ("Q8_0", "Q4_0") and data.shape[-1] % 32:
        kind = "F16"
    if kind == "Q4_0" and name.startswith(("token_embd", "output.")):
        kind = "Q8_0"  # four bits there cost more quality than they save
    quantised = getattr(gguf.GGMLQuantizationType, kind)
    writer.add_tensor(name, gguf.quants.quantize(data, quantised), raw_dtype=quantised)


def write_numbers(writer, config, name: str, precision: str) -> None:
    """The shape of the network."""
    import gguf

    head_dim = config.head_dim if hasattr(config, "head_dim") and config.head_dim else config.hidden_size // config.num_attention_heads
    writer.add_name(name)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_rope_dimension_count(head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    kinds = {"f32": "ALL_F32", "f16": "MOSTLY_F16", "bf16": "MOSTLY_BF16", "q8_0": "MOSTLY_Q8_0", "q4_0": "MOSTLY_Q4_0"}
    writer.add_file_type(getattr(gguf.LlamaFileType, kinds[precision]))


def write_tokenizer(writer, language_model: LanguageModel, rows: int) -> None:
    """Tokens, kinds, merges or scores, the pre-tokenizer's name, special ids and the chat template."""
    tokenizer = language_model.tokenizer
    described = json.loads(tokenizer.backend_tokenizer.to_str())
    pieces = gguf_pieces.is_pieces(described)
    unknown = described["model"].get("unk_token") if pieces else None
    vocabulary = {number: token for token, number in described["model"]["vocab"].items()}
    added = {entry["id"]: entry for entry in described["added_tokens"]}
    tokens = [added[number]["content"] if number in added else vocabulary.get(number, f"[unused{number}]") for number in range(max(rows, len(tokenizer)))]
    kinds = [
        (CONTROL if added[number]["special"] else USER_DEFINED) if number in added and tokens[number] != unknown
        else (gguf_pieces.kind_of(tokens[number], unknown) if pieces else NORMAL) if number in vocabulary else UNUSED for number in range(len(tokens))
    ]
    writer.add_tokenizer_model("llama" if pieces else "gpt2")
    writer.add_tokenizer_pre("default" if pieces else pre_tokenizer_name(described["pre_tokenizer"]))
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    if pieces:
        writer.add_token_scores(gguf_pieces.scores_of(described, tokens))
        writer.add_add_space_prefix(gguf_pieces.space_prefix(described))
        if unknown in tokens:
            writer.add_unk_token_id(tokens.index(unknown))
    else:
        writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in described["model"]["merges"]])
    for token, add in ((tokenizer.bos_token_id, writer.add_bos_token_id), (tokenizer.eos_token_id, writer.add_eos_token_id), (tokenizer.pad_token_id, writer.add_pad_token_id)):
        if token is not None:
            add(token)
    own = tokenizer("x")["input_ids"]
    writer.add_add_bos_token(bool(own) and own[0] == tokenizer.bos_token_id)
    writer.add_add_eos_token(bool(own) and own[-1] == tokenizer.eos_token_id)
    if language_model.template is not None:
        writer.add_chat_template(language_model.template)


# ---- reading ------------------------------------------------------------------------------------
def read_gguf(path: Path, like: LanguageModel) -> LanguageModel:
    """The file as Transformers and a reader of its tokenizer see it, in float32; family and context are those of `like`."""
    path = Path(path)
    tokenizer, template = tokenizer_of(path)
    try:
        network = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32, local_files_only=True)
    except Exception as error:
        raise WorkFailed(f"Transformers cannot read {path.name}: {str(error)[:200]}", code="X111", file=str(path)) from error
    head = CausalHead(like.head.transform)
    head.probe(network)
    return LanguageModel(
        network=network.eval(), tokenizer=tokenizer, head=head, name=str(path), folder=None, context=min(like.context, network.config.max_position_embeddings), fingerprint="", template=template,
        family=like.family,
    )


def tokenizer_of(path: Path) -> tuple[PreTrainedTokenizerFast, str | None]:
    """The tokenizer and the chat template of a file, from nothing but what stands in it. Refused (S102, S105) where what it claims is false."""
    header = header_of(path)
    value = lambda name: header.get(f"tokenizer.ggml.{name}")
    if value("model") not in ("gpt2", "llama"):
        raise WorkFailed(f"{path.name} has a tokenizer of the kind {str(value('model'))[:40]!r}", code="X111", file=str(path))
    if value("model") == "gpt2" and value("pre") not in PRE_TOKENIZERS:
        raise WorkFailed(f"{path.name} cuts words as {str(value('pre'))[:40]!r} does, which is not known here; known are: {', '.join(PRE_TOKENIZERS)}", code="X111", file=str(path))
    check_words(header, path)
    try:
        return built(header, value), header.get("tokenizer.chat_template")
    except Exception as error:  # the tokenizers library raises nothing narrower
        raise Refused(f"the tokenizer in {path} cannot be built: {str(error)[:200]}", code="S105", file=str(path), hint="download the file again") from error


def built(header: Mapping[str, object], value: Callable) -> PreTrainedTokenizerFast:
    """The tokenizer that checked fields describe."""
    tokens, kinds = value("tokens"), value("token_type")
    vocabulary = {token: number for number, token in enumerate(tokens) if kinds[number] != UNUSED}
    unknown = tokens[found] if (found := value("unknown_token_id")) is not None else None
    if value("model") == "llama":
        plain = gguf_pieces.pieces_tokenizer(tokens, value("scores"), kinds, prefix=bool(value("add_space_prefix")), unknown=unknown)
    else:
        plain = byte_level_tokenizer(tokens, kinds, vocabulary, value("merges") or [], value("pre"))
    named = {name: tokens[found] for name in ("bos", "eos", "padding", "unknown") if (found := value(f"{name}_token_id")) is not None}
    if value("add_bos_token") or value("add_eos_token"):
        from tokenizers.processors import TemplateProcessing

        single = f"{named['bos']} " * bool(value("add_bos_token")) + "$A" + f" {named.get('eos')}" * bool(value("add_eos_token"))
        plain.post_processor = TemplateProcessing(single=single, special_tokens=[(token, vocabulary[token]) for token in named.values()])
    words = {"bos": "bos_token", "eos": "eos_token", "padding": "pad_token", "unknown": "unk_token"}
    return PreTrainedTokenizerFast(tokenizer_object=plain, **{words[name]: token for name, token in named.items()})


def context_of(path: Path) -> int:
    """Tokens of the longest text, as the file says; Refused (S106) where it says nothing of the kind."""
    header = header_of(path)
    found = header.get(f"{header.get('general.architecture')}.context_length")
    if type(found) is not int or not 1 <= found <= MOST_CONTEXT:
        raise Refused(f"{path} says a context of {str(found)[:40]}", code="S106", file=str(path), hint="download the file again")
    return found


def byte_level_tokenizer(tokens: list[str], kinds: list[int], vocabulary: dict[str, int], merges: list[str], pre_tokenizer: str) -> Tokenizer:
    """The byte-level tokenizer of a file."""
    plain = Tokenizer(models.BPE(vocab=vocabulary, merges=[tuple(merge.split(" ")) for merge in merges], fuse_unk=False))
    plain.pre_tokenizer, plain.decoder = pre_tokenizer_of(pre_tokenizer), decoders.ByteLevel()
    plain.add_tokens([AddedToken(token, special=kinds[number] == CONTROL, normalized=False) for number, token in enumerate(tokens) if kinds[number] in (CONTROL, USER_DEFINED)])
    return plain
