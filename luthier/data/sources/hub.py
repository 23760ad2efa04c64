"""Data sets of the Hugging Face hub, through `datasets`: no code of theirs is run, the user's HF_TOKEN and cache are used."""
import os
import re
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from luthier.data.findings import Finding
from luthier.data.sources.parquet import with_class_names
from luthier.data.sources.rows import Row
from luthier.errors import DataError
from luthier.files import digest

NAME = re.compile(r"(?:hub:)?(?P<id>[\w][\w.-]*/[\w][\w.-]*)(?::(?P<config>[\w.+-]+))?(?:@(?P<revision>[\w./-]+))?", re.ASCII)
SPLITS = {"train": "train", "training": "train", "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation", "test": "test", "testing": "test", "eval": "test"}
UNREACHABLE = {"ConnectionError", "ConnectError", "TimeoutError", "ConnectTimeout", "ReadTimeout", "NewConnectionError", "MaxRetryError", "LocalEntryNotFoundError", "gaierror"}
"""Names of the errors, in whichever library, that mean that no answer came."""


@dataclass(frozen=True)
class HubName:
    """`user/name[:config][@revision]`."""

    id: str
    config: str | None = None
    revision: str | None = None


def parse_name(name: str) -> HubName | None:
    """The parts of a hub id; None where it is none."""
    match = NAME.fullmatch(name)
    return HubName(match["id"], match["config"], match["revision"]) if match else None


class HubSplit:
    """One split of a data set, on this machine's disk, mapped into memory."""

    def __init__(self, split, name: str):
        self.split = split
        self.name = name

    def rows(self, max_line_bytes: int) -> Iterator[Row | Finding]:
        """Rows as plain values, class numbers as their names."""
        inner = {column: feature if hasattr(feature, "names") else feature.feature if hasattr(feature, "feature") else feature for column, feature in self.split.features.items()}
        names = {column: list(feature.names) for column, feature in inner.items() if type(feature).__name__ == "ClassLabel"}
        for number, values in enumerate(self.split, 1):
            yield Row(with_class_names(dict(values), names), None, None, number, self.name)

    def fingerprint(self) -> str:
        """A hash of the files it was made from (addresses with their revision, sizes)."""
        sums = self.split.info.download_checksums or {}
        return digest("hub", self.name, repr(sorted((address, repr(value)) for address, value in sums.items())), str(len(self.split)))


def load(name: str) -> dict[str, HubSplit]:
    """The splits of a hub data set by their usual names (train, validation, test).

    Raises DataError D132 with a sentence for a name that does not exist, one that needs a token, a missing configuration, and no network.
    """
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    reached = _offline_asked() or reachable()
    if not reached and "huggingface_hub" not in sys.modules:
        os.environ["HF_HUB_OFFLINE"] = "1"  # read once, when the library is loaded: the cache answers at once, instead of retries for half a minute
    import datasets

    parts = parse_name(name) or HubName(name)
    datasets.disable_progress_bars()
    try:
        found = datasets.load_dataset(parts.id, name=parts.config, revision=parts.revision, token=os.environ.get("HF_TOKEN") or None)
    except Exception as error:
        raise told(name, error, reached=reached) from error
    splits: dict[str, HubSplit] = {}
    for split, rows in found.items():
        if (usual := SPLITS.get(str(split).lower())) and usual not in splits:
            splits[usual] = HubSplit(rows, f"{name}/{split}")
    if "train" not in splits and len(found) == 1:
        split, rows = next(iter(found.items()))
        return {"train": HubSplit(rows, f"{name}/{split}")}
    if "train" not in splits:
        raise DataError(f"{name} has no training split", code="D132", hint=f"its splits are: {', '.join(map(str, found))}", file=name)
    return splits


def _offline_asked() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def reachable(seconds: float = 5.0) -> bool:
    """Whether the hub's address answers; taken for granted where a proxy stands between."""
    if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")):
        return True
    address = urlsplit(os.environ.get("HF_ENDPOINT") or "https://huggingface.co")
    try:
        socket.create_connection((address.hostname or "", address.port or (80 if address.scheme == "http" else 443)), seconds).close()
    except (OSError, ValueError):
        return False
    return True


def told(name: str, error: Exception, *, reached: bool = True) -> DataError:
    """The sentence for what went wrong between this machine and the hub; every cause in the chain of errors is looked at."""
    chain, kinds, texts = error, set(), []
    while chain is not None and len(texts) < 10:
        kinds |= {kind.__name__ for kind in type(chain).__mro__}
        texts.append(str(chain))
        chain = chain.__cause__ or chain.__context__
    first = " ".join(texts[0].split())[:300]
    token = "HF_TOKEN is set, but does not allow it" if os.environ.get("HF_TOKEN") else "no HF_TOKEN is set"
    if "GatedRepoError" in kinds or "is a gated dataset" in first:
        return _error(name, f"{name} is gated, and {token}", f"accept its terms on https://huggingface.co/datasets/{name.split(':')[0].split('@')[0]} and set HF_TOKEN")
    if any("trust_remote_code" in text or "scripts are no longer supported" in text for text in texts):
        return _error(name, f"{name} is a loading script, and no code of a data set is run", "use its Parquet files: name@refs/convert/parquet")
    offline = "OfflineModeIsEnabled" in kinds or _offline_asked()
    unreachable = kinds & UNREACHABLE or not reached
    if offline and reached and (unreachable or "OfflineModeIsEnabled" in kinds):
        return _error(name, f"{name} is not on this machine, and offline mode is on", "unset HF_HUB_OFFLINE; if a file or folder was meant, there is none of that name here")
    if "RevisionNotFoundError" in kinds:
        return _error(name, f"{name} has no such revision", "leave out @revision, or look at its branches and tags")
    if "BuilderConfig" in first or "Config name is missing" in first:
        return _error(name, f"{name}: {first}", "name the configuration: user/name:config")
    if kinds & {"DatasetNotFoundError", "RepositoryNotFoundError"}:
        return _error(name, f"there is no data set {name} on the hub that this machine may see, and no file of that name here ({token})", "check the spelling; for a private one set HF_TOKEN; for a file give its path, as ./name")
    if unreachable:
        return _error(name, f"the hub cannot be reached for {name}, and it is not in this machine's cache", "check the network; if a file or folder was meant, there is none of that name here")
    return _error(name, f"{name} cannot be loaded from the hub: {type(error).__name__}: {first}", "try another revision, or download its files and give the folder")


def _error(name: str, message: str, hint: str) -> DataError:
    return DataError(message, code="D132", hint=hint, file=name)
