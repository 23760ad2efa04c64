"""Examine a run: the base and the tuned model answer what probes ask; what was found goes into `probes.json` beside the verdict."""
from collections.abc import Callable, Sequence

import torch

from luthier.data.records import Text
from luthier.errors import DataError, WorkFailed
from luthier.evaluation.probes.probe import Found, Model, Subject
from luthier.evaluation.probes.registry import PROBES
from luthier.files import read_json, write_json
from luthier.generation.local import generate
from luthier.models.interpolation import between, snapshot
from luthier.runs.events import Event, Say
from luthier.runs.folder import Run
from luthier.tasks.answers import Answer
from luthier.tasks.likelihood import nll_of
from luthier.verbs.materials import tools_of
from luthier.verbs.opening import Opened

CONTINUATION = 40
"""Tokens written after a beginning."""
TOO_LONG = "D410"
"""The code of a question that does not fit into the context."""


def model_of(opened: Opened, say: Say) -> Model:
    """A run's model as probes see it."""
    language_model, renderer, task = opened.language_model, opened.renderer, opened.task
    causal = language_model.head.kind == "causal"
    return Model(
        respond=lambda records, shots=None: task.answers(language_model, renderer, records, shots=shots, say=say),
        nats=(lambda texts: nats_of_texts(language_model, renderer, texts)) if causal else None,
        target_nats=lambda records: target_nats(task, language_model, renderer, records),
        continued=(lambda begun: continued(task, language_model, renderer, begun)) if causal else None,
    )


def continued(task, language_model, renderer, begun: Sequence[tuple[object, str]]) -> list[str]:
    """What the model writes, greedily, after the beginning of a record's answer; of a plain text, after the beginning of the text. Empty where that fills the context."""
    prompts, spoken = {}, [(at, record, text) for at, (record, text) in enumerate(begun) if not isinstance(record, Text)]
    for at, (record, text) in enumerate(begun):
        if isinstance(record, Text):
            prompts[at] = renderer.text(text)
    if spoken:
        asked = renderer.prompts([(task.prompt_messages(record, ()), tools_of(record)) for _, record, _ in spoken])
        ends = renderer.stop_tokens
        for (at, _, text), prompt in zip(spoken, asked, strict=True):
            prompts[at] = prompt + [token for token in (renderer.answer(text) if text.strip() else []) if token not in ends]
    room = {at: prompt for at, prompt in prompts.items() if 0 < len(prompt) < language_model.context}
    written = generate(language_model, list(room.values()), max_new_tokens=CONTINUATION) if room else []
    texts = dict(zip(room, (found.text.strip() for found in written), strict=True))
    return [texts.get(at, "") for at in range(len(begun))]


def nats_of_texts(language_model, renderer, texts: Sequence[str]) -> list[float]:
    """Summed nats of each text as a document; one longer than the context is the sum of its pieces."""
    prepared = [item.examples for item in renderer.documents(list(texts))]
    rows = [(example.tokens, example.weights) for examples in prepared for example in examples]
    values = iter(nll_of(language_model, rows))
    return [sum(next(values) for _ in examples) for examples in prepared]


def target_nats(task, language_model, renderer, records: Sequence) -> list[tuple[float, int]]:
    """Per record, nats of the wanted answer and its learned tokens; by the class head where there is one."""
    if language_model.head.kind != "causal":
        return [(answer.nll or 0.0, 1) for answer in task.answers(language_model, renderer, records)]
    prepared = [item.examples for item in task.examples(records, renderer)]
    rows = [(example.tokens, example.weights) for examples in prepared for example in examples]
    values = iter(nll_of(language_model, rows))
    return [(sum(next(values) for _ in examples), sum(example.learned for example in examples)) for examples in prepared]


def examine(base: Opened, tuned: Opened, names: Sequence[str], *, train: Sequence, held_out: Sequence, answers: tuple[Sequence[Answer], Sequence[Answer]], others: Sequence[Sequence[Answer]] = (), say: Say) -> list[Found]:
    """Run the named probes and write `probes.json`; what an earlier examination found under other names stays."""
    run, settings = base.run, base.recipe.evaluation.probes
    planted = run.path / "canaries.json"
    subject = Subject(
        base.task, model_of(base, say), model_of(tuned, say), train, held_out, answers, settings,
        canaries=read_json(planted) if planted.exists() else (), seed=base.recipe.seed, others=others,
    )
    found: list[Found] = []
    for name in names:
        say(Event("phase", f"probe: {name}", {"name": f"probe: {name}"}))
        try:
            answers_to = PROBES[name](subject)
        except DataError as error:
            if error.code != TOO_LONG:
                raise
            say(Event("warning", f"probe {name} is left out: {error.message}", {"code": "T207", "step": 0}))
            continue
        for one in answers_to:
            found.append(one)
            say(Event("warning" if one.crossed else "note", f"{one.name}: {one.sentence}", {"probe": one.name, "value": one.value, "code": "T206", "step": 0}))
    keep(run, found)
    return found


def keep(run: Run, found: Sequence[Found]) -> list[dict]:
    """Write what was found beside what an earlier examination found under other names."""
    path = run.evaluation_folder / "probes.json"
    kept = read_json(path) if path.exists() else {}
    written = {one.name: one.to_dict() for one in found}
    write_json(path, {**kept, **written})
    return list(written.values())


# ---- between base and tuned ---------------------------------------------------------------------
def sweep(base: Opened, tuned: Opened, *, validation: Sequence, weights: Sequence[float], forgetting: Callable[[Model], float], say: Say) -> dict:
    """Weights of base and tuned model mixed in several shares (Wortsman et al. 2022): what each gains on validation rows and forgets.

    Returns `{points: [{share, score, forgetting}], best}`; best is the share that keeps the most gain per what is forgotten: the largest of
    score gain (as a share of the full gain) minus forgetting (as a share of the full one).
    """
    if not validation:
        raise WorkFailed("there are no validation rows on which a share could be chosen", code="E150", hint="train with data.validation=10%")
    start, end = snapshot(base.language_model.network), snapshot(merged(tuned))
    model, points = model_of(base, say), []
    for share in weights:
        between(base.language_model.network, start, end, share)
        metric = base.task.score(base.task.answers(base.language_model, base.renderer, validation), validation)[base.task.headline]
        points.append({"share": share, "score": metric.value, "forgetting": forgetting(model)})
        say(Event("note", f"{share:.0%} of the way to tuned: {base.task.headline} {metric.value:.3f} on {len(validation):,} validation rows, forgetting {points[-1]['forgetting']:+.3f}", points[-1]))
    between(base.language_model.network, start, end, 0.0)
    sign = 1 if metric.higher_is_better else -1
    first, last = points[0], points[-1]
    gain, lost = sign * (last["score"] - first["score"]), last["forgetting"]

    def worth(point: dict) -> float:
        return (sign * (point["score"] - first["score"]) / gain if gain > 0 else 0.0) - (point["forgetting"] / lost if lost > 0 else 0.0)

    return {"points": points, "best": max(points, key=worth)["share"]}


def merged(tuned: Opened) -> torch.nn.Module:
    """The tuned model as one plain network."""
    return tuned.recipe.method.merge(tuned.language_model.network, tuned.language_model)

