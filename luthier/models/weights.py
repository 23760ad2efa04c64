"""Safetensors files read without trust: the header is checked against the file's size before any tensor is touched.

Only names inside the model folder are opened (a shard index is a foreign file too), and weights that are not finite never reach a network.
"""
import json
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from luthier.errors import CheckpointError, NonFinite, Refused
from luthier.models.configuration import path_inside, read_object, unique

MAX_HEADER_BYTES = 25 << 20
MAX_INDEX_BYTES = 64 << 20
BITS = {
    "F64": 64, "F32": 32, "F16": 16, "BF16": 16, "F8_E4M3": 8, "F8_E5M2": 8,
    "I64": 64, "I32": 32, "I16": 16, "I8": 8, "U64": 64, "U32": 32, "U16": 16, "U8": 8, "BOOL": 8,
}
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".mdl", ".joblib", ".distcp", ".npy", ".npz", ".h5", ".msgpack", ".metadata")
SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"


@dataclass(frozen=True)
class Stored:
    """One tensor as its file's header describes it."""

    dtype: str
    """Safetensors' name of the type."""
    shape: tuple[int, ...]
    """Its shape."""
    file: Path
    """The file that holds it."""

    @property
    def numel(self) -> int:
        """Number of elements."""
        count = 1
        for size in self.shape:
            count *= size
        return count


def weight_files(folder: Path, *, root: Path | None = None) -> list[Path]:
    """The safetensors files of a model folder; a folder that has only pickles, or an index that leads outside, is Refused."""
    if (folder / SINGLE).exists():
        return [shard(folder, SINGLE, root)]
    if (folder / INDEX).exists():
        names = read_object(folder, INDEX, root=root, limit=MAX_INDEX_BYTES).get("weight_map")
        if not isinstance(names, dict) or not names or not all(isinstance(name, str) for name in names.values()):
            raise Refused(f"{folder / INDEX} does not map tensors to files", code="S105", file=str(folder / INDEX))
        return [shard(folder, name, root) for name in sorted(set(names.values()))]
    pickled = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLES)
    if pickled:
        raise Refused(
            f"{folder} has its weights only as {pickled[0]}, a format that can run code when it is opened",
            code="S101", file=str(folder / pickled[0]), hint="choose a model with model.safetensors, or convert it where you trust it",
        )
    raise CheckpointError(f"{folder} holds no {SINGLE}", code="C110", file=str(folder), hint="name the folder that holds config.json and model.safetensors")


def shard(folder: Path, name: str, root: Path | None) -> Path:
    """A weight file by the name that an index gives it: one plain name that ends in .safetensors, whose target lies inside `root`."""
    if "/" in name or "\\" in name or "\0" in name or not name.endswith(".safetensors"):
        raise Refused(f"the index names the file {name[:80]!r}, which is not a safetensors file of its folder", code="S104")
    path = path_inside(folder, name, root)
    if not path.is_file():
        raise CheckpointError(f"{folder / name} is missing", code="C111", file=str(folder / name), hint="download the model again")
    return path


def read_header(path: Path) -> dict[str, Stored]:
    """The tensors of a safetensors file. Every claim of the header is checked against the file's size; a false one is Refused."""
    size = path.stat().st_size

    def refused(what: str) -> Refused:
        return Refused(f"{path} is not a sound safetensors file: {what}", code="S102", file=str(path), hint="download the model again")

    with open(path, "rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or length > min(size - 8, MAX_HEADER_BYTES) or length < 2:
            raise refused(f"a header of {length:,} bytes in a file of {size:,}")
        if stream.read(1) != b"{":
            raise refused("the header is not a JSON object")
        stream.seek(8)
        raw = stream.read(length)
    try:
        header = json.loads(raw.decode("utf-8"), object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise refused(f"the header cannot be read ({error})") from None
    header.pop("__metadata__", None)
    spans, stored = [], {}
    for name, entry in header.items():
        try:
            dtype, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
            tensor = Stored(dtype, tuple(shape), path)
            sound = len(entry) == 3 and len(shape) <= 8 and all(type(number) is int and number >= 0 for number in (*shape, begin, end))
            sound = sound and tensor.numel * BITS[dtype] == (end - begin) * 8 and end <= size - 8 - length
        except (KeyError, TypeError, ValueError):
            sound = False
        if not sound:
            raise refused(f"the entry of tensor {name[:80]!r} is false")
        stored[name] = tensor
        spans.append((begin, end))
    check_spans(spans, size - 8 - length, refused)
    return stored


def check_spans(spans: list[tuple[int, int]], data_bytes: int, refused) -> None:
    """Tensors must cover the data exactly: no overlap, no hole, no trailing bytes."""
    position = 0
    for begin, end in sorted(spans):
        if begin != position:
            raise refused("tensors overlap" if begin < position else "there is a hole between tensors")
        position = end
    if position != data_bytes:
        raise refused(f"{data_bytes - position:,} bytes belong to no tensor")


def read_headers(files: list[Path]) -> dict[str, Stored]:
    """The tensors of all files of a model; a name that comes twice is Refused."""
    stored: dict[str, Stored] = {}
    for path in files:
        for name, tensor in read_header(path).items():
            if name in stored:
                raise Refused(f"the tensor {name[:80]!r} is in {stored[name].file.name} and in {path.name}", code="S102", file=str(path))
            stored[name] = tensor
    return stored


def read_tensors(files: list[Path], *, dtype: torch.dtype | None = None) -> dict[str, Tensor]:
    """All tensors of checked files, floating ones as `dtype`. NaN or infinity is NonFinite and names the tensor."""
    tensors: dict[str, Tensor] = {}
    for path in files:
        read_header(path)
        try:
            with safe_open(path, "pt") as stream:
                for name in stream.keys():
                    tensors[name] = finite(name, stream.get_tensor(name), path, dtype)
        except SafetensorError as error:
            raise Refused(f"{path} is not a sound safetensors file: {error}", code="S102", file=str(path), hint="download the model again") from None
    return tensors


def finite(name: str, tensor: Tensor, path: Path, dtype: torch.dtype | None) -> Tensor:
    """The tensor in its new type, after a scan for NaN and infinity."""
    if not tensor.is_floating_point():
        return tensor
    if tensor.numel() and not all(torch.isfinite(edge) for edge in tensor.float().aminmax()):
        raise NonFinite(f"the weight {name} in {path} is not finite", code="T103", file=str(path), hint="these weights are broken; use another checkpoint")
    return tensor if dtype is None else tensor.to(dtype)


def pickled_side_files(folder: Path) -> list[str]:
    """Names of files beside the weights that no code of ours ever opens."""
    return sorted(entry.name for entry in os.scandir(folder) if entry.name.endswith(PICKLES))
