"""Luthier: a general language model and a person's own data become a tested expert.

    import luthier
    run = luthier.train("luthier.yaml", {"training.epochs": 2})
    run.verdict["sentence"]
"""
import importlib

__version__ = "0.1.0"

VERBS = {
    "init": "init", "check": "check", "plan": "plan", "train": "train", "predict": "predict", "chat": "chat",
    "evaluate": "evaluate", "examples": "examples", "advise": "advise", "compare": "compare", "tables": "tables", "search": "search", "lr": "lr", "label": "label", "report": "report", "demo": "demo",
}
"""Verbs that are functions of the package, and the module of `luthier.verbs` each lives in; loaded when first used, since they need torch."""


def __getattr__(name: str):
    if name in VERBS:
        return getattr(importlib.import_module(f"luthier.verbs.{VERBS[name]}"), name)
    raise AttributeError(f"module 'luthier' has no attribute {name!r}; verbs: {', '.join(VERBS)}")
