"""Ask a model: prompts that fit its context, answers written greedily, labels chosen by likelihood or by a head."""
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch

from luthier.data.records import Conversation
from luthier.errors import DataError
from luthier.generation.labels import score_labels
from luthier.generation.local import generate
from luthier.generation.rewriting import rewrite
from luthier.models.language_model import LanguageModel
from luthier.preparation.batches import side_by_side
from luthier.preparation.renderer import without_oldest
from luthier.runs.events import Event, Say
from luthier.tasks.answers import UNKNOWN, Answer
from luthier.tasks.likelihood import by_length, nll_of, nll_of_pairs

ROWS_PER_REPORT = 256


def fitting_prompts(renderer, records: Sequence, shots: Sequence[Sequence] | None, messages: Callable, room: int, *, rooms: Sequence[int] | None = None) -> list[list[int]]:
    """Token ids of each record's prompt with as many of its shots as fit into `room` tokens, the most similar kept longest.

    All prompts are rendered together; those that are too long come again with fewer shots, and without their oldest turns where the renderer drops such,
    until every one fits. `rooms`: tokens that each question may take by itself, where its own answer is known to need less than the longest of all.
    """
    records, shown = list(records), [list(shots[index]) if shots else [] for index in range(len(records))]
    tools = [record.tools if isinstance(record, Conversation) else () for record in records]
    alone = [max(room, own) for own in rooms] if rooms else [room] * len(records)
    prompts: list[list[int]] = [[] for _ in records]
    waiting = list(range(len(records)))
    while waiting:
        rendered = renderer.prompts([(messages(records[index], shown[index]), tools[index]) for index in waiting])
        for index, prompt in zip(waiting, rendered, strict=True):
            prompts[index] = prompt
        waiting = [index for index in waiting if len(prompts[index]) > (room if shown[index] else alone[index])]
        for index in waiting:
            if shown[index]:
                shown[index] = shown[index][: min(len(shown[index]) - 1, len(shown[index]) * room // len(prompts[index]))]
            elif (shorter := without_oldest_where_asked(renderer, records[index])) is not None:
                records[index] = shorter
            else:
                raise DataError(f"the question of row {index + 1} has {len(prompts[index])} tokens; {alone[index]} fit beside the answer", code="D410", hint="shorten it, or use a base with a longer context")
    return prompts


def rooms_beside(targets: Sequence[str], references: Sequence[Sequence[int]], context: int, room: int) -> list[int]:
    """Tokens that each question may take beside its own answer; `room` where no answer is known, since how long it becomes is open."""
    return [room if target == UNKNOWN else context - len(reference) for target, reference in zip(targets, references, strict=True)]


def without_oldest_where_asked(renderer, record) -> Conversation | None:
    """The conversation from its second question on, as it was prepared; None where rows are not shortened or nothing is left to leave."""
    return without_oldest(record) if isinstance(record, Conversation) and renderer.when_long == "drop_turns" else None


def written(language_model: LanguageModel, prompts: list[list[int]], *, max_new_tokens: int, say: Say) -> list[Answer]:
    """Greedy answers with what they cost."""
    answers = []
    for start in range(0, len(prompts), ROWS_PER_REPORT):
        part = prompts[start : start + ROWS_PER_REPORT]
        for prompt, found in zip(part, generate(language_model, part, max_new_tokens=max_new_tokens), strict=True):
            answers.append(Answer(found.text.strip(), tokens_in=len(prompt), tokens_out=len(found.tokens), seconds=found.seconds))
        say(Event("progress", data={"task": "answers", "done": len(answers), "total": len(prompts), "unit": "answers"}))
    return answers


def generated(language_model: LanguageModel, prompts: list[list[int]], references: list[list[int]], *, max_new_tokens: int, say: Say) -> list[Answer]:
    """Greedy answers, and the likelihood of each reference after the same prompt."""
    answers, rows = written(language_model, prompts, max_new_tokens=max_new_tokens, say=say), []
    for prompt, reference in zip(prompts, references, strict=True):
        kept = reference[: max(0, language_model.context - len(prompt))]
        rows.append((prompt + kept, [0.0] * len(prompt) + [1.0] * len(kept)))
    for answer, nll, (_, weights) in zip(answers, nll_of(language_model, rows), rows, strict=True):
        answer.nll, answer.learned_tokens = nll, int(sum(weights))
    return answers


def rewritten(language_model: LanguageModel, renderer, pairs: Sequence[tuple[str, str | None]], *, max_new_tokens: int, say: Say) -> list[Answer]:
    """What an encoder-decoder makes of each source, greedily, and the likelihood of each target (None: not asked)."""
    answers: list[Answer] = []
    for start in range(0, len(pairs), ROWS_PER_REPORT):
        part = pairs[start : start + ROWS_PER_REPORT]
        sources = [renderer.source(source)[0] for source, _ in part]
        found = rewrite(language_model, sources, max_new_tokens=max_new_tokens)
        targets = [[] if target is None else renderer.written(target)[: language_model.context] for _, target in part]
        nlls = nll_of_pairs(language_model, list(zip(sources, targets, strict=True)))
        for source, target, written_, nll in zip(sources, targets, found, nlls, strict=True):
            answers.append(Answer(written_.text, nll=nll if target else None, learned_tokens=len(target), tokens_in=len(source), tokens_out=len(written_.tokens), seconds=written_.seconds))
        say(Event("progress", data={"task": "answers", "done": len(answers), "total": len(pairs), "unit": "answers"}))
    return answers


def with_probabilities(logprobs_L: np.ndarray, labels: list[str], position: int | None, tokens_in: int, seconds: float) -> Answer:
    """An answer from unnormalised log-probabilities of the labels."""
    normalised = logprobs_L - np.logaddexp.reduce(logprobs_L)
    label = labels[int(normalised.argmax())]
    probabilities = dict(zip(labels, np.exp(normalised).round(6).tolist(), strict=True))
    nll = None if position is None else float(-normalised[position])
    return Answer(label, label=label, probabilities=probabilities, nll=nll, learned_tokens=1, tokens_in=tokens_in, tokens_out=1, seconds=seconds)


def label_logprobs(language_model: LanguageModel, prompts: list[list[int]], label_tokens: list[list[int]], *, say: Say) -> tuple[np.ndarray, list[float]]:
    """Log-probability of each label after each prompt [N, L], its end included, and each row's share of the time."""
    found, taken = [], []
    for start in range(0, len(prompts), ROWS_PER_REPORT):
        part = prompts[start : start + ROWS_PER_REPORT]
        began = time.perf_counter()
        logprobs_NL = score_labels(language_model, part, label_tokens)
        found.append(logprobs_NL)
        taken += [(time.perf_counter() - began) / len(part)] * len(part)
        say(Event("progress", data={"task": "answers", "done": len(taken), "total": len(prompts), "unit": "answers"}))
    return np.concatenate(found), taken


@torch.inference_mode()
def row_outputs(language_model: LanguageModel, prepared: Sequence, *, say: Say, read: Callable | None = None) -> tuple[np.ndarray, list[float]]:
    """What a head says of each row [N, L] in float64, and each row's share of the time; `read` is how the head is asked (its logits)."""
    examples = [item.examples[0] for item in prepared]
    language_model.network.eval()
    read, device = read or language_model.head.logits, language_model.device
    found: list[np.ndarray | None] = [None] * len(examples)
    seconds, done = [0.0] * len(examples), 0
    for group in by_length([len(item.tokens) for item in examples], 8192):
        began = time.perf_counter()
        tensors = {name: None if tensor is None else tensor.to(device) for name, tensor in side_by_side([examples[index] for index in group], language_model.pad_token).items()}
        outputs = read(language_model.network, **tensors).float().cpu().numpy().astype(np.float64)
        for at, index in enumerate(group):
            found[index], seconds[index] = outputs[at], (time.perf_counter() - began) / len(group)
        done += len(group)
        say(Event("progress", data={"task": "answers", "done": done, "total": len(examples), "unit": "answers"}))
    return np.stack(found), seconds
