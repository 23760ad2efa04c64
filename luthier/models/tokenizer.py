"""A model folder's tokenizer, read from its files only: no code from the folder, no network."""
import contextlib
import importlib.util
import io
from pathlib import Path

from transformers import AutoTokenizer, PreTrainedConfig, PreTrainedTokenizerFast

from luthier.errors import RecipeError, Refused
from luthier.models.configuration import FORBIDDEN, path_inside, read_configuration, read_object

MAX_TOKENIZER_BYTES = 256 << 20
TEMPLATE_BYTES = 1 << 20
PIECES = ("spiece.model", "sentencepiece.bpe.model", "tokenizer.model")
"""Files of SentencePiece, by the names that families give them."""
CHECKED = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")


def load_tokenizer(folder: Path, root: Path, config: PreTrainedConfig | None = None) -> tuple[object, str | None, list[str]]:
    """The tokenizer, its chat template and notices. `config` is the checked configuration; without it, it is read here. Files that name code, are damaged or absurdly large are Refused."""
    notices = []
    config = read_configuration(folder, root)[0] if config is None else config
    for name in CHECKED:
        if (folder / name).exists():
            entries = read_object(folder, name, root=root, limit=MAX_TOKENIZER_BYTES)
            named = [key for key in FORBIDDEN if key in entries]
            if named:
                raise Refused(
                    f"{folder / name} names code of its own ({', '.join(named)}), which is never run", code="S103", file=str(folder / name),
                    hint="choose a model whose tokenizer is a tokenizer.json",
                )
    stored = read_object(folder, "tokenizer.json", root=root, limit=MAX_TOKENIZER_BYTES) if (folder / "tokenizer.json").exists() else None
    if stored is None:
        require_pieces(folder, root)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            tokenizer = AutoTokenizer.from_pretrained(folder, config=config, local_files_only=True, trust_remote_code=False)
            if stored is not None:
                tokenizer = follow_the_file(tokenizer, folder, stored, notices)
    except Exception as error:  # a damaged tokenizer raises anything, also Rust panics as plain exceptions
        raise Refused(f"the tokenizer in {folder} cannot be read: {str(error)[:300]}", code="S105", file=str(folder), hint="download the model again") from error
    template = tokenizer.chat_template
    if isinstance(template, dict):
        template = template.get("default")
    if template is not None and len(template) > TEMPLATE_BYTES:
        raise Refused(f"the chat template of {folder} has {len(template):,} characters", code="S105", file=str(folder))
    if tokenizer.pad_token_id is None:
        notices.append("the tokenizer has no padding token: its end token fills short rows, attended to by nothing")
    return tokenizer, template, notices


def require_pieces(folder: Path, root: Path) -> None:
    """RecipeError where a folder brings its tokenizer as a SentencePiece file alone and the package that reads it is missing; Refused where the file is not whole."""
    found = [name for name in PIECES if (folder / name).exists() and is_pieces(path_inside(folder, name, root))]
    if found and importlib.util.find_spec("sentencepiece") is None:
        raise RecipeError(
            f"the tokenizer in {folder} is a SentencePiece file ({found[0]}), which needs the package sentencepiece", code="R200", file=str(folder / found[0]),
            hint="pip install -c constraints.txt '.[sentencepiece]'; models that luthier saves need it no more",
        )
    for name in found:
        refuse_cut_pieces(path_inside(folder, name, root))


def refuse_cut_pieces(path: Path) -> None:
    """Refused where a SentencePiece file is damaged. One cut between two pieces is sound to every parser and merely knows fewer words: what stands behind the pieces must be there."""
    from sentencepiece import sentencepiece_model_pb2

    held = sentencepiece_model_pb2.ModelProto()
    try:
        held.ParseFromString(path.read_bytes())
        whole = held.HasField("trainer_spec") and held.HasField("normalizer_spec")
    except Exception:  # protobuf's own error, which only its package knows
        whole = False
    if not whole:
        raise Refused(f"{path} is damaged or cut short", code="S105", file=str(path), hint="download the model again")


def is_pieces(path: Path) -> bool:
    """Whether a file begins as SentencePiece's do; other tokenizers use the same names for text files. One of absurd size is Refused."""
    if path.stat().st_size > MAX_TOKENIZER_BYTES:
        raise Refused(f"{path} has {path.stat().st_size:,} bytes; at most {MAX_TOKENIZER_BYTES:,} are read", code="S105", file=str(path))
    with open(path, "rb") as stream:
        return stream.read(1) == b"\n"


def follow_the_file(tokenizer, folder: Path, stored: dict, notices: list[str]):
    """Tokenizer classes of some architectures add tokens that no file names, whose ids the network does not have; then the file alone decides."""
    held = [entry["id"] for entry in stored.get("added_tokens", []) if isinstance(entry, dict) and isinstance(entry.get("id"), int)]
    vocabulary = stored.get("model", {}).get("vocab", {})
    size = max([len(vocabulary) - 1, *held, *(vocabulary.values() if isinstance(vocabulary, dict) else ())], default=-1) + 1
    if size >= len(tokenizer):
        return tokenizer
    notices.append(f"the tokenizer is read from tokenizer.json alone: its class adds {len(tokenizer) - size} tokens that the file does not have")
    return PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
