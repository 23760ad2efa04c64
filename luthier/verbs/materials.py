"""What contestants stand on beside the models themselves: passages to search, room in the prompt, a score on validation rows, an endpoint."""
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from luthier.evaluation.contestants.inputs import pairs_of
from luthier.evaluation.settings import EndpointSettings
from luthier.files import digest
from luthier.generation.remote import Endpoint
from luthier.models.load import load
from luthier.preparation.renderer import Renderer
from luthier.retrieval.documents import fingerprint, of_pairs, passages_of
from luthier.retrieval.index import NEEDS_VECTORS, Index, open_index
from luthier.retrieval.settings import RetrievalSettings
from luthier.runs.events import Event, Say
from luthier.tasks.answers import Answer
from luthier.verbs.comparing import chosen_rows

CHOOSING_ROWS = 24
"""Validation rows on which instructions and numbers of examples are chosen."""
LISTED_LABELS = 100
"""Most labels that an endpoint is told."""


# ---- retrieval ----------------------------------------------------------------------------------
def index_of(settings: RetrievalSettings, train: Sequence, embed: Callable | None, folder: Path, key: str, say: Say) -> Index:
    """The passages of a run and the way to search them; vectors are kept in `folder`."""

    def rows():
        pairs = [(pair, record) for record in train for pair in pairs_of(record) if pair[0].strip()]
        return of_pairs([pair for pair, _ in pairs], [record.origin for _, record in pairs])

    passages = passages_of(settings, rows)
    if settings.encoder and settings.by in NEEDS_VECTORS:
        embed, key = encoder_of(settings.encoder)
    say(Event("note", f"{len(passages):,} passages of {settings.documents or 'the training rows'} to search by {settings.by}", {"passages": len(passages)}))
    return open_index(passages, settings, embed=embed, folder=folder, key=key)


def encoder_of(name: str) -> tuple[Callable, str]:
    """Vectors by a model of their own, and its fingerprint."""
    from luthier.models.embedding import embed

    model = load(name, head="sequence_class", labels=["passage", "question"])
    renderer = Renderer(model.tokenizer, model.template, model.context, head="sequence_class")
    return (lambda texts: embed(model, [renderer.text(text) for text in texts])), model.fingerprint


def searching(index: Index, settings: RetrievalSettings) -> Callable[[Sequence[str]], list[list[str]]]:
    """Questions to texts of passages, as contestants take it."""
    return lambda questions: [[passage.text for passage in found] for found in index.search(questions, settings.passages)]


# ---- room ---------------------------------------------------------------------------------------
def prompt_lengths(task, renderer: Renderer) -> Callable[[Sequence], list[int]]:
    """Tokens of the prompts of records."""
    return lambda records: [len(prompt) for prompt in renderer.prompts([(task.prompt_messages(record, ()), tools_of(record)) for record in records])]


def tools_of(record) -> Sequence[dict]:
    return getattr(record, "tools", ())


def room_of(task, renderer: Renderer, context: int) -> int:
    """Most tokens of a prompt that leave place for the answer."""
    if task.writes:
        return context - task.max_new_tokens
    return context - max(len(tokens) for tokens in renderer.answers(task.labels))


# ---- endpoint -----------------------------------------------------------------------------------
def endpoint_of(settings: EndpointSettings, task, say: Say) -> Callable[[Sequence, Sequence | None], list[Answer]]:
    """A hosted model as contestants see it. Labels are named in the question, and the answer is the label that it holds."""
    client = Endpoint(settings.url, settings.model, key_variable=settings.key_variable, timeout=settings.timeout)
    labels = list(task.labels) if hasattr(task, "labels") else []

    def respond(records: Sequence, shots: Sequence | None = None) -> list[Answer]:
        answers = []
        for at, record in enumerate(records):
            messages = [{"role": message.role, "content": message.content} for message in task.prompt_messages(record, shots[at] if shots else ())]
            if labels:
                messages[-1]["content"] += "\n\nAnswer with one of these labels and nothing else: " + "; ".join(labels[:LISTED_LABELS])
            reply = client.ask(messages, max_tokens=64 if labels else task.max_new_tokens)
            text = reply.text.strip()
            answers.append(Answer(text, label=label_in(text, labels) if labels else None, tokens_in=reply.tokens_in, tokens_out=reply.tokens_out, seconds=reply.seconds))
            say(Event("progress", data={"task": "answers", "done": at + 1, "total": len(records), "unit": "answers"}))
        return answers

    return respond


def label_in(text: str, labels: Sequence[str]) -> str:
    """The label that an answer is or holds, the longest first; the answer itself, which is then wrong, where it holds none."""
    low = text.casefold().strip(" .\"'")
    exact = next((label for label in labels if label.casefold() == low), None)
    return exact or next((label for label in sorted(labels, key=len, reverse=True) if label.casefold() in low), text)


# ---- together -----------------------------------------------------------------------------------
@dataclasses.dataclass
class Materials:
    """What the contestants of one run are given, and the hash of all that decides it."""

    values: dict
    key: str


def gather(names: Sequence[str], recipe, task, language_model, renderer: Renderer, *, train: Sequence, validation: Sequence, embed: Callable | None, folder: Path, say: Say) -> Materials:
    """Only what the named contestants need is made."""
    settings, values = recipe.evaluation, {}
    needed = set(names)
    key = [str(settings.shots), settings.shots_by, str(settings.instructions), str(settings.endpoint)]
    if needed & {"prompt", "few_shot"}:
        values |= {"validation": chosen_rows(validation, CHOOSING_ROWS), "score": headline_of(task), "instructions": settings.instructions, "shots_by": settings.shots_by}
    if needed & {"prompt", "rag", "tuned_rag"}:
        values |= {"lengths": prompt_lengths(task, renderer), "room": room_of(task, renderer, language_model.context)}
    if needed & {"rag", "tuned_rag"}:
        vectors = embed or (lambda texts: embedded(language_model, renderer, texts))
        index = index_of(recipe.retrieval, train, vectors, folder / "vectors", language_model.fingerprint, say)
        key += [str(recipe.retrieval), fingerprint(index.passages)]
        values["search"] = searching(index, recipe.retrieval)
    if "endpoint" in needed and settings.endpoint:
        values["endpoint"] = endpoint_of(settings.endpoint, task, say)
    return Materials(values, digest(*key))


def embedded(language_model, renderer: Renderer, texts: Sequence[str]):
    """Vectors by the base itself."""
    from luthier.models.embedding import embed

    return embed(language_model, [renderer.text(text) for text in texts])


def headline_of(task) -> Callable[[Sequence[Answer], Sequence], float]:
    """The figure that decides, turned so that more is better."""

    def score(answers: Sequence[Answer], records: Sequence) -> float:
        metric = task.score(answers, records)[task.headline]
        return metric.value if metric.higher_is_better else -metric.value

    return score


