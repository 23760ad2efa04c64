"""Where a model name leads: an existing path, a model that ships with Luthier, or a hub id in the shared Hugging Face cache."""
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from luthier.errors import RecipeError, Refused

SHIPPED = {"spruce": Path(__file__).with_name("spruce")}
WANTED = ["config.json", "generation_config.json", "*.safetensors", "*.safetensors.index.json", "tokenizer*", "special_tokens_map.json",
          "added_tokens.json", "vocab.*", "merges.txt", "*.jinja", "spiece.model", "sentencepiece.bpe.model", "adapter_config.json", "README.md"]
NEVER = ["*.bin", "*.pt", "*.pth", "*.py", "*.pkl", "original/*", "onnx/*", "consolidated*"]


@dataclass(frozen=True)
class Location:
    """A model folder on this machine and how its name was read."""

    kind: Literal["path", "shipped", "hub"]
    """The reading taken."""
    name: str
    """The name as given."""
    folder: Path
    """The folder that holds config.json."""
    root: Path
    """Files of the model must lie inside it: the folder, or the cache entry whose files the folder links to."""
    revision: str | None = None
    """The commit of a hub model."""

    @property
    def sentence(self) -> str:
        """The reading taken, in words."""
        what = {"path": f"the folder {self.folder}", "shipped": "the base that ships with Luthier", "hub": f"the hub model at commit {self.revision}"}
        return f"model {self.name}: {what[self.kind]}"


def locate(name: str, *, revision: str | None = None) -> Location:
    """Find a model. Contains `/` or `.` and exists: a path; else a shipped name; else a hub id, fetched into the shared cache."""
    if not name or "\0" in name:
        raise RecipeError("the model name is empty or has a NUL byte", code="R110", hint="name a folder, a shipped model or a hub id")
    path = Path(name).expanduser()
    if ("/" in name or "." in name) and path.exists():
        return at_path(name, path)
    if name in SHIPPED:
        return Location("shipped", name, SHIPPED[name], SHIPPED[name].resolve())
    if name.startswith(("/", "./", "../", "~")) or name.count("/") > 1 or "\\" in name:
        raise RecipeError(f"there is no folder {name}", code="R111", hint=f"check the path; shipped models: {', '.join(SHIPPED)}")
    if "/" not in name and path.is_dir():
        raise RecipeError(f"{name} is neither a shipped model ({', '.join(SHIPPED)}) nor a hub id", code="R111", hint=f"for the folder, type ./{name}")
    return from_hub(name, revision)


def at_path(name: str, path: Path) -> Location:
    """A folder of the user's; a snapshot inside the Hugging Face cache may link to its blobs, nothing else may lead outside."""
    folder = path.resolve()
    if not folder.is_dir():
        raise RecipeError(f"{name} is a file; a model is a folder with config.json and model.safetensors", code="R112", hint="name the folder")
    entry = folder.parent.parent
    cached = folder.parent.name == "snapshots" and entry.name.startswith("models--")
    return Location("path", name, folder, entry if cached else folder, folder.name if cached else None)


def from_hub(name: str, revision: str | None) -> Location:
    """Fetch a hub model into the shared cache, or use what lies there; every failure is a sentence."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from huggingface_hub import snapshot_download  # costs half a second, paid only by hub ids
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=WANTED, ignore_patterns=NEVER)).resolve()
    except HFValidationError:
        raise RecipeError(f"{name!r} is no existing path, no shipped model ({', '.join(SHIPPED)}) and no valid hub id", code="R111", hint="check the spelling") from None
    except GatedRepoError:
        raise RecipeError(
            f"the hub model {name} is gated: its owner wants you to accept terms first", code="R113",
            hint=f"accept them at https://huggingface.co/{name}, then set HF_TOKEN or run `hf auth login`",
        ) from None
    except RevisionNotFoundError:
        raise RecipeError(f"the hub model {name} has no revision {revision}", code="R114", hint="name a branch, tag or commit that exists") from None
    except RepositoryNotFoundError:
        raise RecipeError(
            f"there is no folder {name}, no shipped model of this name ({', '.join(SHIPPED)}) and no public hub model", code="R111",
            hint="check the spelling; for a private model set HF_TOKEN",
        ) from None
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise RecipeError(
            f"{name} is no existing path and no shipped model ({', '.join(SHIPPED)}); as a hub id it is not in the cache and the hub cannot be reached "
            f"({type(error).__name__})", code="R115", hint="go online once, set HF_HOME to a cache that has it, or name a local folder",
        ) from None
    if not (folder / "config.json").exists():
        raise Refused(f"the hub entry {name} holds no config.json: it is no Transformers model", code="S103")
    return Location("hub", name, folder, folder.parent.parent, folder.name)
