"""A checkpoint: the trainable tensors, the optimizer's tensors and a few integers, written whole or not at all.

Resume takes the newest folder that *verifies* against its manifest and says which it passed over. `best.json` and `last.json` are
pointers, written after the folder they name.
"""
import re
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from luthier.errors import CheckpointError, DiskError, NonFinite
from luthier.files import STAGING, read_json, staged_folder, verify, write_json

FORMAT = 1
FOLDER = re.compile(r"checkpoint-(\d+)")
FILES = {"weights.safetensors", "optimizer.safetensors", "state.json", "trainer_state.json"}


@dataclass
class State:
    """Everything of a run in progress that is not a tensor."""

    step: int
    """Optimizer steps finished: the cursor into the data."""
    updates: int
    """Updates made: the position of the schedule."""
    learned: float
    """Tokens or labels learned so far."""
    best_step: int = 0
    """Step of the best validation loss so far."""
    best_loss: float | None = None
    """That loss, nats per learned token or label."""
    looks_without_better: int = 0
    """Looks at validation since then."""
    nonfinite_steps: int = 0
    """Steps that were not finite, in the whole run."""
    watch: dict = field(default_factory=dict)
    """What the watcher remembers."""
    identity: dict = field(default_factory=dict)
    """What must be the same on resume: hashes of data, base, recipe fields, threads."""


def refuse_nonfinite(tensors: dict[str, Tensor], what: str) -> None:
    """No NaN or infinity ever reaches the disk."""
    wrong = [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]
    if wrong:
        raise NonFinite(f"{what} holds non-finite numbers in {wrong[0]}" + (f" and {len(wrong) - 1} more" if wrong[1:] else ""), code="T102", hint="lower training.learning_rate")


def trainer_state(state: State, history: list[dict], steps: int, epochs: float) -> dict:
    """The part of Transformers' `trainer_state.json` that plotting tools read."""
    best = f"checkpoint-{state.best_step}" if state.best_step else None
    return {
        "epoch": epochs * state.step / max(1, steps),
        "global_step": state.step,
        "max_steps": steps,
        "num_train_epochs": epochs,
        "log_history": history,
        "best_metric": state.best_loss,
        "best_model_checkpoint": best,
        "is_hyper_param_search": False,
        "is_local_process_zero": True,
        "is_world_process_zero": True,
    }


def save(root: Path, state: State, weights: dict[str, Tensor], optimizer: dict[str, Tensor], history: dict) -> Path:
    """Write `checkpoint-<step>` below `root`; NonFinite or DiskError leave the older ones as they were."""
    refuse_nonfinite(weights, "the model")
    refuse_nonfinite(optimizer, "the optimizer")
    final = Path(root) / f"checkpoint-{state.step}"
    with staged_folder(final, format=FORMAT, step=state.step, identity=state.identity) as folder:
        try:
            save_file({name: tensor.detach().contiguous() for name, tensor in weights.items()}, folder / "weights.safetensors")
            save_file({name: tensor.detach().contiguous() for name, tensor in optimizer.items()}, folder / "optimizer.safetensors")
        except SafetensorError as error:
            raise DiskError(f"cannot write {final}: {error}", code="F103", file=str(final), hint="free some space, then continue with --resume") from error
        write_json(folder / "state.json", asdict(state))
        write_json(folder / "trainer_state.json", history)
    point(root, "last", final, state.step, None)
    return final


def point(root: Path, name: str, folder: Path, step: int, loss: float | None) -> None:
    """Durably set the pointer `best` or `last`."""
    write_json(Path(root) / f"{name}.json", {"checkpoint": folder.name, "step": step, "loss": loss})


def repoint(root: Path, folder: Path, state: State) -> None:
    """Set both pointers as a checkpoint's state has them: a kill may have come between a folder and its pointer."""
    point(root, "last", folder, state.step, None)
    best = Path(root) / f"checkpoint-{state.best_step}"
    if state.best_step and best.is_dir():
        point(root, "best", best, state.best_step, state.best_loss)


def pointed(root: Path, name: str) -> Path | None:
    """The folder a pointer names, if both are there."""
    path = Path(root) / f"{name}.json"
    if not path.exists():
        return None
    folder = Path(root) / Path(read_json(path)["checkpoint"]).name
    return folder if folder.is_dir() else None


def all_checkpoints(root: Path) -> list[Path]:
    """Checkpoint folders below `root`, the newest first."""
    found = [(int(match[1]), path) for path in Path(root).iterdir() if (match := FOLDER.fullmatch(path.name)) and path.is_dir()]
    return [path for _, path in sorted(found, reverse=True)]


def checked(folder: Path) -> State:
    """The state in a checkpoint whose every byte is as it was written, of a format we know; else CheckpointError."""
    manifest = verify(folder)
    if manifest.get("format") != FORMAT:
        raise CheckpointError(f"{folder} has format {manifest.get('format')!r}; this version reads {FORMAT}", code="C103", file=str(folder))
    if set(manifest["files"]) != FILES:
        raise CheckpointError(f"{folder} does not hold exactly {', '.join(sorted(FILES))}", code="C101", file=str(folder))
    state = State(**read_json(folder / "state.json"))
    if FOLDER.fullmatch(folder.name)[1] != str(state.step):
        raise CheckpointError(f"{folder} holds step {state.step}: it was renamed or comes from elsewhere", code="C101", file=str(folder))
    return state


def newest(root: Path) -> tuple[Path, State, list[str]]:
    """The newest checkpoint that verifies, its state, and a sentence for each that was passed over."""
    passed_over = []
    for folder in all_checkpoints(root):
        try:
            return folder, checked(folder), passed_over
        except CheckpointError as error:
            passed_over.append(error.message)
    detail = "; ".join(passed_over) or "none was saved"
    raise CheckpointError(f"{root} has no valid checkpoint: {detail}", code="C102", file=str(root), hint="start the run again without --resume")


def weights_of(folder: Path) -> dict[str, Tensor]:
    """Weights of a checkpoint; never loaded where they hold non-finite numbers."""
    weights = load_file(folder / "weights.safetensors")
    refuse_nonfinite(weights, str(folder))
    return weights


def tensors_of(folder: Path) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Weights and optimizer tensors of a checkpoint."""
    return weights_of(folder), load_file(folder / "optimizer.safetensors")


def load_weights(parameters: dict[str, Tensor], weights: dict[str, Tensor], folder: Path) -> None:
    """Copy saved tensors into the trainable ones; names and shapes must fit exactly."""
    if set(parameters) != set(weights):
        odd = sorted(set(parameters) ^ set(weights))
        raise CheckpointError(f"{folder} does not fit this model: {odd[0]} and {len(odd) - 1} more stand on one side only", code="C104", file=str(folder))
    with torch.no_grad():
        for name, tensor in parameters.items():
            if tensor.shape != weights[name].shape:
                raise CheckpointError(f"{folder} does not fit this model: {name} is {tuple(weights[name].shape)}, not {tuple(tensor.shape)}", code="C104", file=str(folder))
            tensor.copy_(weights[name])


def prune(root: Path, keep: int) -> None:
    """Remove all but the newest `keep` checkpoints and the best; the newest that verifies always stays."""
    folders = all_checkpoints(root)
    stays = set(folders[: max(1, keep)]) | {pointed(root, "best")}
    for folder in folders:
        if folder not in stays:
            # Renamed first, so that a kill in the middle of the removal leaves rubbish and not a damaged checkpoint.
            doomed = folder.with_name(f"{STAGING}gone-{folder.name}")
            folder.rename(doomed)
            shutil.rmtree(doomed)


def differences(saved: dict, now: dict) -> list[str]:
    """One line for each field that differs between the identity of a checkpoint and that of the run at hand."""
    return [f"{key}: was {saved.get(key)!r}, is {now.get(key)!r}" for key in sorted(set(saved) | set(now)) if saved.get(key) != now.get(key)]
