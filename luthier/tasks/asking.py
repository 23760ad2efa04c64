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
from luthier.runs.events import Event, Say
from luthier.tasks.answers import Answer
from luthier.tasks.likelihood import by_length, nll_of, nll_of_pairs

ROWS_PER_REPORT = 256


def fitting_prompts(renderer, records: Sequence, shots: Sequence[Sequence] | None, messages: Callable, room: int) -> list[list[int]]:
    """Token ids of each record's prompt with as many of its shots as fit into `room` tokens, the most similar kept longest.

    All prompts are rendered together; those that are too long come again with fewer shots, until every one fits.
    """
    shown = [list(shots[index]) if shots else [] for index in range(len(records))]
    tools = [record.tools if isinstance(record, Conversation) else () for record in records]
    prompts: list[list[int]] = [[] for _ in records]
    waiting = list(range(len(records)))
    while waiting:
        rendered = renderer.prompts([(messages(records[index], shown[index]), tools[index]) for index in waiting])
        for index, prompt in zip(waiting, rendered, strict=True):
            prompts[index] = prompt
        waiting = [index for index in waiting if len(prompts[index]) > room]
        for index in waiting:
            if not shown[index]:
                raise DataError(f"the question of row {index + 1} has {len(prompts[index])} tokens; {room} fit beside the answer", code="D410", hint="shorten it, or use a base with a longer context")
            shown[index] = shown[index][: min(len(shown[index]) - 1, len(shown[index]) * room // len(prompts[index]))]
    return prompts


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


def labelled_by_likelihood(
    language_model: LanguageModel, prompts: list[list[int]], labels: list[str], label_tokens: list[list[int]], positions: list[int | None], *, say: Say
) -> list[Answer]:
    """The likeliest label after each prompt; every label's tokens, its end included, are scored."""
    answers: list[Answer] = []
    for start in range(0, len(prompts), ROWS_PER_REPORT):
        part = prompts[start : start + ROWS_PER_REPORT]
        began = time.perf_counter()
        logprobs_NL = score_labels(language_model, part, label_tokens)
        seconds = (time.perf_counter() - began) / len(part)
        for offset, prompt in enumerate(part):
            answers.append(with_probabilities(logprobs_NL[offset], labels, positions[start + offset], len(prompt), seconds))
        say(Event("progress", data={"task": "answers", "done": len(answers), "total": len(prompts), "unit": "answers"}))
    return answers


@torch.inference_mode()
def classified(language_model: LanguageModel, prepared: Sequence, labels: list[str], positions: list[int | None], *, say: Say) -> list[Answer]:
    """The label a class head gives each text."""
    tokens = [item.examples[0].tokens for item in prepared]
    network = language_model.network
    network.eval()
    answers: list[Answer | None] = [None] * len(tokens)
    done = 0
    for group in by_length([len(row) for row in tokens], 8192):
        began = time.perf_counter()
        width = max(len(tokens[index]) for index in group)
        tokens_BT = torch.full((len(group), width), language_model.pad_token, dtype=torch.long)
        attend_BT = torch.zeros((len(group), width), dtype=torch.long)
        for at, index in enumerate(group):
            tokens_BT[at, : len(tokens[index])] = torch.as_tensor(tokens[index].astype("int64"))
            attend_BT[at, : len(tokens[index])] = 1
        device = language_model.device
        logits_BL = network(input_ids=tokens_BT.to(device), attention_mask=attend_BT.to(device)).logits.float().cpu().numpy()
        seconds = (time.perf_counter() - began) / len(group)
        for at, index in enumerate(group):
            answers[index] = with_probabilities(logits_BL[at].astype(np.float64), labels, positions[index], len(tokens[index]), seconds)
        done += len(group)
        say(Event("progress", data={"task": "answers", "done": done, "total": len(tokens), "unit": "answers"}))
    return answers
