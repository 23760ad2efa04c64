"""A door to lm-evaluation-harness: its tasks asked of the base and of the tuned model of a run, for who wants figures that others publish.

The harness is somebody else's program and loads its data from the hub; it is installed and named by the user (`luthier eval RUN --harness lambada_openai`).
Models go there as stock folders: the base, and the tuned model's folder or its PEFT adapter.
"""
import importlib.util
import math
from collections.abc import Sequence

from luthier.errors import RecipeError
from luthier.evaluation.probes.probe import Found
from luthier.runs.events import Event, Say
from luthier.verbs.opening import Opened

PACKAGE = "lm_eval"
RED_LINE = 0.02


def refuse_unready(recipe) -> None:
    """RecipeError where the harness is not installed, or cannot load what the run's method saved."""
    if importlib.util.find_spec(PACKAGE) is None:
        raise RecipeError("lm-evaluation-harness is not installed", code="R243", field="--harness", hint="pip install lm-eval")
    if recipe.method.base_is_frozen and recipe.method.in_peft:
        raise RecipeError(f"lm-evaluation-harness cannot load what method {recipe.method.name} saves", code="R243", field="--harness", hint="luthier export RUN writes a merged folder; give that to lm_eval")


def places(base: Opened) -> list[dict]:
    """What the harness loads: the base, and the tuned model."""
    folder, tuned = str(base.language_model.folder), str(base.run.model_folder)
    return [{"pretrained": folder}, {"pretrained": folder, "peft": tuned} if base.recipe.method.base_is_frozen else {"pretrained": tuned}]


def ask(base: Opened, tasks: Sequence[str], *, limit: int | None, say: Say) -> list[Found]:
    """Accuracy of each task before and after, as probes tell it; the interval is that of two separate standard errors."""
    import lm_eval

    sides = []
    for who, place in zip(("base", "tuned"), places(base), strict=True):
        say(Event("phase", f"lm-evaluation-harness asks the {who} model", {"name": f"harness: {who}"}))
        sides.append(lm_eval.simple_evaluate(model="hf", model_args={**place, "trust_remote_code": False}, tasks=list(tasks), limit=limit, bootstrap_iters=0)["results"])
    found = [told(task, sides[0][task], sides[1][task], limit) for task in sides[0] if task in sides[1]]
    return [one for one in found if one is not None]


def told(task: str, before: dict, after: dict, limit: int | None) -> Found | None:
    """One task; None where it counts something else than accuracy."""
    key = next((name for name in ("acc_norm,none", "acc,none", "exact_match,none") if name in before and name in after), None)
    if key is None:
        return None
    errors = [float(side.get(key.replace(",", "_stderr,"), 0) or 0) for side in (before, after)]
    lost, half = float(before[key]) - float(after[key]), 1.96 * math.hypot(*errors)
    sentence = f"{task} ({key.split(',')[0]}): {before[key]:.3f} before, {after[key]:.3f} after; worse by {lost:+.3f} (95 % interval {lost - half:+.3f} to {lost + half:+.3f})"
    return Found(f"harness_{task}", float(before[key]), float(after[key]), lost, lost - half, lost + half, int(limit or 0), RED_LINE, sentence)
