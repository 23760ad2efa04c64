"""`luthier eval`: measure a run on its test rows, and hold it to gates."""

from typing import Annotated

import typer

from luthier.commands.predict import RUN
from luthier.commands.screen import Screen
from luthier.commands.verdict import draw_outcome

EXAMPLES = """\
$ luthier eval last
$ luthier eval last --gate macro_f1=0.85 --gate-max forgetting=0.02
$ luthier eval last --probe all
$ luthier eval last --sweep"""

GATES = Annotated[list[str] | None, typer.Option(metavar="METRIC=VALUE", help="Exit 4 unless the metric is at least this; may be repeated.")]
GATES_MAX = Annotated[list[str] | None, typer.Option(metavar="METRIC=VALUE", help="Exit 4 unless the metric is at most this; may be repeated.")]


PROBE = Annotated[list[str] | None, typer.Option(metavar="NAME", help="Examine what was lost: forgetting, memorisation, bias ... or all.")]
HARNESS = Annotated[list[str] | None, typer.Option(metavar="TASK", help="Ask tasks of lm-evaluation-harness too (pip install lm-eval; it loads data from the hub); may be repeated.")]
SWEEP = Annotated[bool, typer.Option("--sweep", help="Mix the weights of base and tuned model in several shares: what each gains and forgets.")]


def run(screen: Screen, run: RUN = "last", gate: GATES = None, gate_max: GATES_MAX = None, probe: PROBE = None, sweep: SWEEP = False, harness: HARNESS = None) -> int:
    """Measure a run again; hold it to gates.

    Every contestant answers the test rows once more. A gate on a probe's figure (forgetting, membership ...) runs that probe.
    Exit code 4 where a gate fails.
    """
    from luthier.verbs.evaluate import evaluate

    result = evaluate(run, gates=gate or [], gates_max=gate_max or [], probes=probe or [], sweep=sweep, harness=harness or [], say=screen.say).to_dict()
    screen.finish(result, draw_outcome)
    return 0 if all(gate["passed"] for gate in result.get("gates") or []) else 4
