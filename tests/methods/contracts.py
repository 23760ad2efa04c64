"""The contract of one cell (head, method, architecture): what must hold whatever is learned. Tests walk the cells; see test_contract_matrix.py."""
import hashlib
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open

from luthier.methods import METHODS
from luthier.models.families import FAMILIES
from luthier.models.freshcheck import SCRIPT, base_dtype
from luthier.models.head_kinds import HEAD_KINDS
from luthier.models.heads import transformer_of
from luthier.models.load import load

LABELS = ["a", "b", "c"]
RATES = {"full": 3e-3, "layers": 3e-3, "lora": 1e-2, "dora": 1e-2, "qlora": 1e-2, "adapter": 1e-2, "ia3": 5e-2, "prefix": 5e-2, "prompt": 3e-2}
FOLDERS = {"deberta-v2": "deberta", "deberta": "deberta_v1"}
"""Architectures whose tiny network has another name."""
STEPS = 10


@dataclass
class Cell:
    """One head on one architecture, learned by one method."""

    head: str
    method: str
    architecture: str

    def __str__(self) -> str:
        return f"{self.head}-{self.method}-{self.architecture}"


def batch_of(head: str) -> dict:
    """Four rows of different length, padded on the right, with something to learn for this head."""
    generator = torch.Generator().manual_seed(7)
    draw = lambda *shape, low=7, high=263: torch.randint(low, high, shape, generator=generator)
    tokens, attend = draw(4, 12), torch.ones(4, 12, dtype=torch.long)
    for row, length in ((1, 9), (2, 5)):
        attend[row, length:], tokens[row, length:] = 0, 0
    weight = attend.float()
    more = {
        "causal": {}, "masked": {"target_BT": draw(4, 12)}, "seq2seq": {"source_BS": draw(4, 8), "source_attend_BS": torch.ones(4, 8, dtype=torch.long)},
        "token_class": {"target_BT": draw(4, 12, low=0, high=7)}, "sequence_class": {"label_B": draw(4, low=0, high=3)},
        "multi_label": {"value_BK": draw(4, 3, low=0, high=2).float()}, "regression": {"value_BK": torch.randn(4, 1, generator=generator)},
    }[head]
    return {"tokens_BT": tokens, "weight_BT": weight, "attend_BT": attend, **more}


def outputs(network, head: str, tokens: torch.Tensor, **more) -> torch.Tensor:
    """The network's logits; a decoder of an encoder-decoder reads what the encoder reads, as in the fresh check."""
    if head == "seq2seq":
        more["decoder_input_ids"] = tokens
    with torch.no_grad():
        return network.eval()(input_ids=tokens, **more).logits


def fingerprints(network) -> dict[str, str]:
    return {name: hashlib.sha256(parameter.detach().contiguous().view(-1).view(torch.uint8).numpy().tobytes()).hexdigest() for name, parameter in network.named_parameters()}


def learned(cell: Cell, folder: Path):
    """Train a few steps: the loss falls, just the intended weights move. Returns method, model and network."""
    torch.manual_seed(3)
    method = METHODS[cell.method]()
    language_model = load(str(folder), head=cell.head, labels=LABELS)
    network = language_model.network = method.apply(language_model)
    parameters = method.trainable(network)
    before, batch, losses, had_gradient = fingerprints(network), batch_of(cell.head), [], set()
    rate = min(RATES[cell.method], 1e-2) if language_model.fresh else RATES[cell.method]  # a new head learned whole bears no more
    optimizer = torch.optim.AdamW(parameters.values(), lr=rate, weight_decay=0.0)
    for step in range(STEPS):
        torch.manual_seed(step)
        total, count = language_model.head.loss(network.train(), **batch)
        losses.append(total.item() / count)
        total.backward()
        had_gradient |= {name for name, parameter in parameters.items() if parameter.grad is not None and parameter.grad.abs().max() > 0}
        optimizer.step()
        optimizer.zero_grad()
    assert losses[-1] < losses[0] - 1e-3, f"{cell}: the loss goes from {losses[0]:.4f} to {losses[-1]:.4f}"
    after = fingerprints(network)
    moved = {name for name in after if after[name] != before[name]}
    assert moved == had_gradient and moved <= set(parameters), f"{cell}: {sorted(moved ^ had_gradient)[:3]}"
    assert len(moved) > 0.5 * len(parameters), f"{cell}: {len(moved)} of {len(parameters)} tensors learn"
    return method, language_model, network


def assert_rows_alone(cell: Cell, language_model, network) -> None:
    """A batch is each row alone: what stands in the padding, and on which side it lies, changes nothing."""
    batch = batch_of(cell.head)
    tokens, attend = batch["tokens_BT"], batch["attend_BT"]
    together = outputs(network, cell.head, tokens, attention_mask=attend)
    other = outputs(network, cell.head, torch.where(attend == 1, tokens, 9), attention_mask=attend)
    whole = together.ndim == 2
    # a decoder's head for whole texts reads the last token that is no padding, by its id: there the padding must be the padding token, as it is in every batch
    seen = (together,) if whole and FAMILIES[cell.architecture].kind == "decoder" else (together, other)
    for row in (1, 2):
        length = int(attend[row].sum())
        alone = outputs(network, cell.head, tokens[row : row + 1, :length], attention_mask=attend[row : row + 1, :length])[0]
        near = 2e-5 * max(1.0, alone.abs().max().item())
        for found in seen:
            if cell.head != "seq2seq":
                assert (found[row] if whole else found[row, :length]).sub(alone).abs().max() <= near, f"{cell}: row {row} is not itself in company"
        if cell.head == "causal":
            left = {"attention_mask": attend[row : row + 1].flip(1), "position_ids": (attend[row : row + 1].flip(1).cumsum(-1) - 1).clamp(min=0)}
            shifted = torch.cat([torch.zeros(1, 12 - length, dtype=torch.long), tokens[row : row + 1, :length]], 1)
            assert outputs(network, cell.head, shifted, **left)[0, -1].sub(alone[-1]).abs().max() <= near, f"{cell}: padding on the left changes row {row}"


def hold(cell: Cell, folder: Path, target: Path) -> dict:
    """Everything that one process can see; returns what the fresh process must find."""
    method, language_model, network = learned(cell, folder)
    assert_rows_alone(cell, language_model, network)
    probe = batch_of("causal")["tokens_BT"][:1]
    after = outputs(network, cell.head, probe)
    target.mkdir(parents=True)
    method.save(network, language_model, target)
    again = load(str(folder), head=cell.head, labels=LABELS, seed=99)
    assert torch.allclose(outputs(method.load(again, target), cell.head, probe), after, atol=1e-6), f"{cell}: not the same after loading"
    if method.merges and method.base_is_frozen:
        merged, near = method.merge(network, language_model), 1e-5 * max(1.0, after.abs().max().item())
        assert outputs(merged, cell.head, probe).sub(after).abs().max() <= 10 * near, f"{cell}: merged is not unmerged"
    request = {
        "folder": str(target), "base": str(folder) if method.base_is_frozen else "", "auto": HEAD_KINDS[cell.head].auto,
        "labels": transformer_of(network).config.num_labels if HEAD_KINDS[cell.head].outputs else 0, "base_dtype": base_dtype(network),
        "vocabulary": transformer_of(network).get_input_embeddings().weight.shape[0], "probes": probe.tolist(), "out": str(target / "fresh.safetensors"), "threads": 1,
        **method.for_stock(network),
    }
    return {"cell": cell, "request": request, "expected": after[0, -12:] if after.ndim == 3 else after[0]}


DRIVER = """
import importlib.util, json, sys, traceback
spec = importlib.util.spec_from_file_location("freshcheck_script", sys.argv[1])
script = importlib.util.module_from_spec(spec)
spec.loader.exec_module(script)
for path in json.load(open(sys.argv[2])):
    try:
        script.main(path)
    except Exception as error:
        print(path, type(error).__name__, str(error)[:200], file=sys.stderr)
"""


def assert_fresh(held: list[dict], work: Path) -> None:
    """One fresh process, in which luthier is never imported, loads every folder by the script of the fresh check; logits equal to 1e-5."""
    paths = []
    for number, one in enumerate(held):
        path = work / f"request-{number}.json"
        path.write_text(json.dumps(one["request"]))
        paths.append(str(path))
    (work / "all.json").write_text(json.dumps(paths))
    done = subprocess.run([sys.executable, "-I", "-c", DRIVER, str(SCRIPT), str(work / "all.json")], capture_output=True, text=True)
    wrong = []
    for one in held:
        try:
            with safe_open(one["request"]["out"], "pt") as stream:
                found = stream.get_tensor("tuned.0")
            found = found[-len(one["expected"]) :] if found.ndim == 2 else found
            near = 1e-5 * max(1.0, one["expected"].abs().max().item())
            if not (found - one["expected"]).abs().max() <= near:
                wrong.append(f"{one['cell']}: differs by {(found - one['expected']).abs().max():.1g}")
        except FileNotFoundError:
            wrong.append(f"{one['cell']}: did not load")
    assert not wrong, "\n".join(wrong) + "\n" + done.stderr[-3000:]
