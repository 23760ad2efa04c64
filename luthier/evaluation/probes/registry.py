"""All probes by name, and which of them measures what a gate asks for."""
from collections.abc import Callable, Sequence

from luthier.errors import RecipeError
from luthier.evaluation.probes import (
    agreement,
    bbq,
    bias,
    calibration,
    extraction,
    facts,
    forgetting,
    form,
    memorisation,
    options,
    overfitting,
    private,
    programs,
    refusal,
    robustness,
    topic,
    unanswerable,
)
from luthier.evaluation.probes.probe import Found, Subject

PROBES: dict[str, Callable[[Subject], list[Found]]] = {
    "forgetting": forgetting.probe,
    "overfitting": overfitting.probe,
    "memorisation": memorisation.probe,
    "robustness": robustness.probe,
    "bias": bias.probe,
    "calibration": calibration.probe,
    "form": form.probe,
    "facts": facts.probe,
    "refusal": refusal.probe,
    "agreement": agreement.probe,
    "options": options.probe,
    "unanswerable": unanswerable.probe,
    "topic": topic.probe,
    "private": private.probe,
    "extraction": extraction.probe,
    "bbq": bbq.probe,
    "programs": programs.probe,
}
FIGURES = {
    "forgetting": "forgetting", "forgetting_questions": "forgetting", "overfitting": "overfitting", "verbatim": "memorisation", "membership": "memorisation",
    "exposure": "memorisation", "robustness": "robustness", "swaps": "bias", "slice_gap": "bias", "stereotypes": "bias", "calibration": "calibration",
    "malformed": "form", "voice": "form", "terms": "form", "unsupported": "facts", "wrong_facts": "facts", "complied": "refusal",
    "disagreement": "agreement", "disagreement_seeds": "agreement", "order_of_options": "options", "answered_unanswerable": "unanswerable", "dodged": "unanswerable",
    "off_topic": "topic", "private": "private", "extraction": "extraction", "bbq": "bbq", "programs_failed": "programs", "misformatted": "form",
}
"""Which probe measures a figure that a gate names."""


def chosen(names: Sequence[str], gates: Sequence[str] = ()) -> list[str]:
    """The probes to run: those named (`all` for every one), and those that measure what gates ask for; RecipeError for a name that is none."""
    wanted = list(PROBES) if "all" in names else list(names)
    if unknown := [name for name in wanted if name not in PROBES]:
        raise RecipeError(f"there is no probe {unknown[0]!r}", code="R167", field="--probe", hint=f"choose from {', '.join(PROBES)}, or all")
    return list(dict.fromkeys([*wanted, *(FIGURES[gate] for gate in gates if gate in FIGURES)]))
