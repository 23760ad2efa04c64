"""The save-and-reload check: what was saved, loaded by stock libraries in a fresh process, must be the model in memory and not its base."""
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from luthier.errors import WorkFailed
from luthier.models.head_kinds import HEAD_KINDS
from luthier.models.heads import transformer_of
from luthier.models.language_model import LanguageModel
from luthier.models.load import load
from luthier.models.weights import read_tensors

SCRIPT = Path(__file__).with_name("freshcheck_script.py")
TOLERANCE = 1e-4
SECONDS = 600


@contextlib.contextmanager
def in_float32(network: nn.Module) -> Iterator[None]:
    """The same network with float32 arithmetic; low-precision weights return to their type afterwards, without loss."""
    kept = {name: parameter.dtype for name, parameter in network.named_parameters() if parameter.is_floating_point()}  # quantised weights stay as they are
    was_training = network.training
    network.eval()
    for name, parameter in network.named_parameters():
        if name in kept:
            parameter.data = parameter.data.float()
    try:
        yield
    finally:
        for name, parameter in network.named_parameters():
            if name in kept:
                parameter.data = parameter.data.to(kept[name])
        network.train(was_training)


@torch.no_grad()
def memory_logits(network: nn.Module, probes: Sequence[Sequence[int]]) -> list[Tensor]:
    """Logits of each probe alone, in float32, from the network in memory."""
    with in_float32(network):
        device = next(network.parameters()).device
        rows = [torch.tensor([list(probe)], device=device) for probe in probes]
        written = [{"decoder_input_ids": row} if network.config.is_encoder_decoder else {} for row in rows]
        return [network(input_ids=row, **more).logits[0].float().cpu() for row, more in zip(rows, written, strict=True)]


def fresh_check(network: nn.Module, language_model: LanguageModel, method, folder: Path, probes: Sequence[Sequence[int]], *, threads: int | None = None) -> dict:
    """Compare a saved folder with the network in memory on probe token ids.

    Returns {"ok", "equal", "moved", "max_difference", "moved_by", "seconds", "sentence"}: `max_difference` between memory and disk (equal:
    at most 1e-4, float32), `moved_by` between the tuned model and its base (moved: more than 0).
    """
    began = time.perf_counter()
    probes = [list(probe) for probe in probes if len(probe)]
    here = memory_logits(network, probes)
    frozen = method.base_is_frozen
    there = run_fresh(network, language_model, folder, probes, frozen, threads or torch.get_num_threads(), method.for_stock(network))
    tuned = [there[f"tuned.{index}"] for index in range(len(probes))]
    if frozen:
        base = [there[f"base.{index}"] for index in range(len(probes))]
    else:
        base = [row.float() for row in base_logits(language_model, probes)]
    difference, moved_by = largest_gap(here, tuned), largest_gap(tuned, base)
    equal, moved = difference <= TOLERANCE, moved_by > 0
    found = {"ok": equal and moved, "equal": equal, "moved": moved, "max_difference": difference, "moved_by": moved_by, "seconds": round(time.perf_counter() - began, 2)}
    return found | {"sentence": sentence(found)}


def sentence(found: dict) -> str:
    """The result in words."""
    if not found["equal"]:
        return f"the saved model is NOT the one in memory: loaded by stock libraries in a fresh process its logits differ by {found['max_difference']:.2g}"
    if not found["moved"]:
        return "the saved model does nothing: loaded by stock libraries in a fresh process it answers exactly as the base"
    return f"saved and reloaded: stock libraries in a fresh process compute the same logits (largest difference {found['max_difference']:.1g}), and not the base's"


def largest_gap(left: Sequence[Tensor], right: Sequence[Tensor]) -> float:
    """Largest absolute difference; infinite where shapes differ or a value is not a number."""
    gaps = [(a - b).abs().max().item() if a.shape == b.shape else float("inf") for a, b in zip(left, right, strict=True)]
    return max((gap if gap == gap else float("inf") for gap in gaps), default=float("inf"))


def run_fresh(network: nn.Module, language_model: LanguageModel, folder: Path, probes: list[list[int]], frozen: bool, threads: int, further: dict) -> dict[str, Tensor]:
    """Run the script and read what it wrote; WorkFailed with its last words when it fails."""
    with tempfile.TemporaryDirectory(prefix="luthier-freshcheck-") as scratch:
        out = Path(scratch) / "logits.safetensors"
        request = {
            "folder": str(Path(folder).resolve()), "base": str(language_model.folder) if frozen else "", "auto": HEAD_KINDS[language_model.head.kind].auto,
            "labels": transformer_of(network).config.num_labels if HEAD_KINDS[language_model.head.kind].outputs else 0, "base_dtype": base_dtype(network), "vocabulary": transformer_of(network).get_input_embeddings().weight.shape[0],
            "probes": probes, "out": str(out), "threads": threads, **further,
        }
        path = Path(scratch) / "request.json"
        path.write_text(json.dumps(request), encoding="utf-8")
        try:
            done = subprocess.run([sys.executable, "-I", str(SCRIPT), str(path)], capture_output=True, text=True, timeout=SECONDS)
        except subprocess.TimeoutExpired:
            raise WorkFailed(f"the save-and-reload check did not finish in {SECONDS} s", code="C131", file=str(folder)) from None
        if done.returncode or not out.exists():
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise WorkFailed(f"stock libraries cannot load the saved model: {last[:300]}", code="C130", file=str(folder), hint="the model in memory is unharmed; keep the checkpoint")
        return read_tensors([out])


def base_dtype(network: nn.Module) -> str:
    """The type in which frozen weights were kept."""
    frozen = [parameter.dtype for parameter in network.parameters() if not parameter.requires_grad and parameter.is_floating_point()]
    return str((frozen or [torch.float32])[0]).removeprefix("torch.")


def base_logits(language_model: LanguageModel, probes: list[list[int]]) -> list[Tensor]:
    """Logits of the base as it lies on the disk, since full fine-tuning has overwritten it in memory; of no shape when it never lay there."""
    if language_model.folder is None or not any(language_model.folder.glob("*.safetensors*")):
        return [torch.zeros(()) for _ in probes]
    labels = list(language_model.labels) or None
    base = load(str(language_model.folder), head=language_model.head.kind, labels=labels)
    return memory_logits(base.network, probes)
