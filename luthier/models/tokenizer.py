"""A model folder's tokenizer, read from its files only: no code from the folder, no network."""
import contextlib
import io
from pathlib import Path

from transformers import AutoTokenizer

from luthier.errors import Refused
from luthier.files import resolve
from luthier.models.configuration import FORBIDDEN, read_object

MAX_TOKENIZER_BYTES = 256 << 20
TEMPLATE_BYTES = 1 << 20
CHECKED = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")


def load_tokenizer(folder: Path, root: Path) -> tuple[object, str | None, list[str]]:
    """The tokenizer, its chat template and notices. Files that name code, are damaged or absurdly large are Refused."""
    notices = []
    for name in CHECKED:
        if (folder / name).exists():
            entries = read_object_of(folder, root, name)
            named = [key for key in FORBIDDEN if key in entries]
            if named:
                raise Refused(
                    f"{folder / name} names code of its own ({', '.join(named)}), which is never run", code="S103", file=str(folder / name),
                    hint="choose a model whose tokenizer is a tokenizer.json",
                )
    if (folder / "tokenizer.json").exists():
        read_object_of(folder, root, "tokenizer.json")
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
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


def read_object_of(folder: Path, root: Path, name: str) -> dict:
    """A JSON object of the folder, or of the cache entry that it links to."""
    path = resolve(root, str((folder / name).relative_to(root)) if folder != root else name)
    return read_object(path.parent, path.name, limit=MAX_TOKENIZER_BYTES)
