"""Every legal cell of (head, method, architecture) keeps its contract: a covering set in seconds, the whole matrix by

    pytest -m nightly tests/methods/test_contract_matrix.py -s

A triple of (task, method, architecture) is a cell through the head that its task asks for; tasks with one head differ only in how they make examples,
which tests/tasks hold. The counts are printed.
"""
import pytest
import torch
from contracts import FOLDERS, Cell, assert_fresh, hold
from tiny_models import SHAPES

from luthier.methods import METHODS
from luthier.models.families import FAMILIES
from luthier.models.head_kinds import HEAD_KINDS, lacks
from luthier.tasks import TASKS
from luthier.verbs import pairs

QUICK = [
    Cell("sequence_class", "full", "roberta"), Cell("causal", "layers", "gpt2"), Cell("token_class", "lora", "bert"), Cell("seq2seq", "lora", "t5"), Cell("causal", "dora", "phi"),
    Cell("sequence_class", "qlora", "bert"), Cell("seq2seq", "adapter", "bart"), Cell("masked", "adapter", "modernbert"), Cell("sequence_class", "prefix", "bert"),
    Cell("token_class", "prompt", "distilbert"), Cell("causal", "prompt", "bloom"), Cell("seq2seq", "prompt", "bart"), Cell("regression", "ia3", "deberta-v2"), Cell("multi_label", "lora", "xlm-roberta"),
    Cell("causal", "lora", "gpt_oss"), Cell("sequence_class", "lora", "deberta"),
]


def cells() -> list[Cell]:
    """Those that legal triples ask for, and for the heads that no task asks for by default, one method on every encoder."""
    asked = {(TASKS[task]().head(FAMILIES[architecture].kind), method, architecture) for task, method, architecture in pairs.triples()}
    rare = [head for head in HEAD_KINDS if head not in {head for head, _, _ in asked}]
    asked |= {(head, "lora", architecture) for head in rare for architecture, family in FAMILIES.items() if family.kind == "encoder" and lacks(architecture, family.kind, head) is None}
    return [Cell(*cell) for cell in sorted(asked)]


def walk(chosen: list[Cell], tiny_model, work) -> list[str]:
    """Hold every cell to its contract; returns what does not keep it."""
    held, wrong = [], []
    for number, cell in enumerate(chosen):
        try:
            held.append(hold(cell, tiny_model(FOLDERS.get(cell.architecture, cell.architecture)), work / f"{number}"))
        except Exception as error:
            wrong.append(f"{cell}: {type(error).__name__}: {str(error)[:300]}")
    try:
        assert_fresh(held, work)  # a process of its own for all of them
    except AssertionError as error:
        wrong += [line for line in str(error).splitlines() if line]
    return wrong


def test_every_triple_is_a_cell():
    known = {(cell.head, cell.method, cell.architecture) for cell in cells()}
    assert {(TASKS[task]().head(FAMILIES[architecture].kind), method, architecture) for task, method, architecture in pairs.triples()} <= known
    assert {FOLDERS.get(architecture, architecture) for architecture in FAMILIES} <= set(SHAPES), "every architecture has a tiny network"
    assert all(lacks(cell.architecture, FAMILIES[cell.architecture].kind, cell.head) is None for cell in QUICK) and {cell.method for cell in QUICK} == set(METHODS) and {cell.head for cell in QUICK} == set(HEAD_KINDS)


def test_a_covering_set_keeps_its_contract(tiny_model, tmp_path):
    wrong = walk(QUICK, tiny_model, tmp_path)
    assert not wrong, "\n".join(wrong)


@pytest.mark.nightly
@pytest.mark.parametrize("part", range(8))
def test_the_whole_matrix_keeps_its_contract(part, tiny_model, tmp_path):
    chosen = cells()[part::8]
    wrong = walk(chosen, tiny_model, tmp_path)
    print(f"\npart {part + 1} of 8: {len(chosen) - len(wrong)} of {len(chosen)} cells keep their contract; {len(pairs.triples()):,} triples in {len(cells()):,} cells")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("fault, words", [("nothing learns", "the loss goes"), ("the base moves", "embed_tokens"), ("something else is saved", "not the same after loading")])
def test_a_broken_method_is_seen(fault, words, tiny_model, tmp_path, monkeypatch):
    """The contract turns red when a method does nothing, moves what it must not, or saves something else."""
    cell = Cell("causal", "lora", "llama")
    method = METHODS["lora"]
    if fault == "nothing learns":
        monkeypatch.setattr("torch.optim.AdamW.step", lambda self, *_: None)
    elif fault == "the base moves":
        step, networks, apply = torch.optim.AdamW.step, [], method.apply
        monkeypatch.setattr(method, "apply", lambda self, language_model: networks.append(apply(self, language_model)) or networks[-1])
        monkeypatch.setattr("torch.optim.AdamW.step", lambda self, *_: (step(self), next(iter(networks[-1].parameters())).data.add_(1e-3)))
    else:
        save = method.save

        def spoilt(self, network, language_model, folder):
            for parameter in self.trainable(network).values():
                parameter.data.mul_(0.5)
            save(self, network, language_model, folder)

        monkeypatch.setattr(method, "save", spoilt)
    wrong = walk([cell], tiny_model, tmp_path)
    assert len(wrong) == 1 and words in wrong[0], wrong
