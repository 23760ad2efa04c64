"""A gate: a figure that a model must reach before anyone goes on; `macro_f1=0.85` at least, or at most for `--gate-max`."""
import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from luthier.errors import GateFailed, RecipeError
from luthier.evaluation.wording import figure, metric_words


@dataclass(frozen=True)
class Gate:
    """One figure and its bound."""

    metric: str
    """Name of the figure."""
    bound: float
    """The last value that passes."""
    at_most: bool = False
    """True where larger is worse."""

    def passes(self, value: float | None) -> bool:
        """Whether a value is on the right side; what is no number never is."""
        if value is None or not math.isfinite(value):
            return False
        return value <= self.bound if self.at_most else value >= self.bound


def parse(text: str, *, at_most: bool = False) -> Gate:
    """A gate from `metric=value`; RecipeError says what a gate looks like."""
    flag = "--gate-max" if at_most else "--gate"
    name, equals, value = text.partition("=")
    try:
        bound = float(value)
    except ValueError:
        bound = math.nan
    if not equals or not name.strip() or not math.isfinite(bound):
        example = "forgetting=0.02" if at_most else "macro_f1=0.85"
        raise RecipeError(f"{flag} {text} is no gate", code="R162", hint=f"write a figure and a number, for example {flag} {example}")
    return Gate(name.strip().lower().replace("-", "_"), bound, at_most)


def check(gates: Sequence[Gate], values: Mapping[str, float | None]) -> list[dict]:
    """`[{metric, value, bound, at_most, passed}]`, one per gate. A figure that was not measured is a RecipeError that lists those that were."""
    for gate in gates:
        if gate.metric not in values:
            near = difflib.get_close_matches(gate.metric, values, 1)
            hint = (f"did you mean {near[0]}? " if near else "") + f"measured: {', '.join(sorted(values))}"
            raise RecipeError(f"nothing measured {gate.metric}, so its gate can be neither passed nor failed", code="R163", hint=hint)
    return [
        {"metric": gate.metric, "value": values[gate.metric], "bound": gate.bound, "at_most": gate.at_most, "passed": gate.passes(values[gate.metric])}
        for gate in gates
    ]


def require(gates: Sequence[Gate], values: Mapping[str, float | None]) -> list[dict]:
    """The same as `check`, and GateFailed (exit 4) where one does not pass."""
    checked = check(gates, values)
    failed = [
        f"{metric_words(one['metric'])} is {figure(one['value'], one['metric'])}, the gate asks for "
        f"{'at most' if one['at_most'] else 'at least'} {one['bound']:g}"
        for one in checked
        if not one["passed"]
    ]
    if failed:
        raise GateFailed("; ".join(failed), code="G101", hint="look at the worst rows: luthier examples last --worst 5")
    return checked
