"""`push`: a verified folder to a model hub. The only verb that sends anything anywhere, and only when it is told to."""
import os
from pathlib import Path

from luthier.errors import DiskError, RecipeError
from luthier.files import listing
from luthier.files import verify as check
from luthier.runs import folder as runs
from luthier.runs.events import Event, Say, silent
from luthier.verbs.results import Answered


def push(source: str, repository: str, *, private: bool = True, token: str | None = None, endpoint: str | None = None, say: Say = silent) -> Answered:
    """Send a run's model or an exported folder, whole, in one commit. Returns `{repository, url, files, commit}`.

    The folder is verified first; RecipeError for a name that is no repository or a token that is refused, DiskError where the hub cannot be reached.
    """
    if repository.count("/") != 1 or not all(part and part.replace("-", "").replace("_", "").replace(".", "").isalnum() for part in repository.split("/")):
        raise RecipeError(f"{repository!r} is no repository; write OWNER/NAME", code="R184", hint="luthier push last me/my-model")
    folder = Path(source) if Path(source).is_dir() and not (Path(source) / "run.json").exists() else runs.find(source).model_folder
    manifest = check(folder)
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    import httpx2
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import HfHubHTTPError

    api = HfApi(endpoint=endpoint or os.environ.get("HF_ENDPOINT"), token=token or os.environ.get("HF_TOKEN"))
    names = [*listing(folder), "manifest.json"]
    say(Event("phase", f"sending {len(names)} files to {repository}", {"name": "push"}))
    try:
        api.create_repo(repository, private=private, exist_ok=True)
        commit = api.create_commit(repository, [CommitOperationAdd(name, str(folder / name)) for name in names], commit_message="Upload with Luthier")
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        if status in (401, 403):
            raise RecipeError(f"the hub refuses: {status}", code="R184", hint="set HF_TOKEN to a token that may write to this repository") from None
        raise DiskError(f"the hub answers {status}", code="F122", hint="try again later") from None
    except (OSError, httpx2.TransportError) as error:
        raise DiskError(f"the hub cannot be reached: {type(error).__name__}", code="F122", hint="check the connection, HF_ENDPOINT and HF_HUB_OFFLINE") from None
    return Answered({"repository": repository, "url": commit.commit_url, "commit": commit.oid, "files": len(names), "run": manifest.get("run")})
