"""What is asked of a text instead of more text: `/v1/embeddings`, `/classify`, `/tokenize`, `/detokenize`, under OpenAI's and vLLM's names."""
import base64
import time

import numpy as np
from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool

from luthier.data.records import Labelled
from luthier.models.embedding import embed
from luthier.serving.door import needs
from luthier.serving.hosts import Model
from luthier.serving.refusals import ApiError
from luthier.serving.routes.completions import prompts_of
from luthier.serving.service import new_id, refuse, service_of, visitor_of
from luthier.serving.shapes import ClassifyRequest, DetokenizeRequest, EmbeddingRequest, TokenizeRequest, parsed
from luthier.serving.writing import token_bytes
from luthier.tasks.answers import Answer
from luthier.tasks.classification import halves

router = APIRouter(dependencies=[Depends(needs("inference"))])


@router.post("/v1/embeddings")
async def embeddings(request: Request) -> dict:
    """The mean of the last hidden states over each text's tokens."""
    service, wanted = service_of(request), await parsed(request, EmbeddingRequest)
    model = service.model(wanted.model, visitor_of(request))
    rows = await prompts_of(service, model, wanted.input)
    longest = max(map(len, rows))
    if longest > model.view.context:
        raise ApiError(400, f"the context holds {model.view.context} tokens; an input has {longest}", param="input", code="context_length_exceeded")
    read = sum(map(len, rows))
    async with service.counted(request, model, read):
        vectors = await service.work(request, model, lambda language_model: embed(language_model, rows), cost=read)
    data = [{"object": "embedding", "index": at, "embedding": written(vector, wanted.encoding_format)} for at, vector in enumerate(vectors)]
    return {"object": "list", "data": data, "model": wanted.model, "usage": {"prompt_tokens": read, "total_tokens": read}}


def written(vector: np.ndarray, form: str | None):
    """Numbers, or their little-endian bytes in base64, as clients ask for it by default."""
    return base64.b64encode(vector.astype("<f4").tobytes()).decode() if form == "base64" else vector.astype(float).tolist()


@router.post("/classify")
async def classify(request: Request) -> dict:
    """Labels with their probabilities, in vLLM's shape; tasks with answers of their own give those."""
    service, wanted = service_of(request), await parsed(request, ClassifyRequest)
    model = service.model(wanted.model, visitor_of(request))
    texts = [wanted.input] if isinstance(wanted.input, str) else wanted.input
    refuse(model.task.writes or not model.facts.get("run"), f"{model.id} gives no labels; its task is {model.facts.get('task')}", "model")
    refuse(len(texts) > service.settings.max_inputs, f"at most {service.settings.max_inputs} texts are taken at once", "input")
    if model.lead is not None:
        texts = [model.lead(text, lambda led: len(model.renderer.text(led)) < model.view.context // 2)[0] for text in texts]
    read = sum(len(row) for row in [await service.text_prompt(model, text) for text in texts])
    async with service.counted(request, model, read):
        data = await service.work(request, model, lambda language_model: labelled(model, language_model, texts), cost=read)
    service.figures.judged(model.id, sum(entry.get("abstained", False) for entry in data), len(data))
    usage = {"prompt_tokens": read, "completion_tokens": 0, "total_tokens": read}
    return {"id": new_id("classify"), "object": "list", "created": int(time.time()), "model": wanted.model, "data": data, "usage": usage}


def labelled(model: Model, language_model, texts: list[str]) -> list[dict]:
    """One entry per text: label and all probabilities, or what the task itself predicts."""
    if "labels" not in vars(model.task) or model.task.record is not Labelled:
        return [{"index": at, **found, **entities(found)} for at, found in enumerate(model.task.predict(language_model, model.renderer, texts))]
    labels = model.task.labels
    answers = model.task.answers(language_model, model.renderer, [Labelled(*halves(text)) for text in texts])
    return [
        {"index": at, **judged(model, answer), "probs": [answer.probabilities[label] for label in labels], "labels": labels, "num_classes": len(labels)}
        for at, answer in enumerate(answers)
    ]


def entities(found: dict) -> dict:
    """Spans in the shape of Transformers' pipeline for token classification, beside our own; nothing where there are none to be had."""
    if "spans" not in found:
        return {}
    return {"entities": [{"entity_group": span["label"], "score": span["confidence"], "word": span["text"], "start": span["start"], "end": span["end"]} for span in found["spans"]]}


def judged(model: Model, answer: Answer) -> dict:
    """The label; where the model may abstain, whether it does, and its confidence beside the threshold."""
    return {"label": answer.label} if model.abstention is None else model.abstention.judged(answer.label, answer.probabilities[answer.label])


@router.post("/tokenize")
async def tokenize(request: Request) -> dict:
    """Token ids of a text, or of a conversation as it is asked."""
    service, wanted = service_of(request), await parsed(request, TokenizeRequest)
    model = service.model(wanted.model, visitor_of(request))
    refuse((wanted.prompt is None) == (wanted.messages is None), "give prompt or messages, one of them", "prompt")
    tokens = await service.text_prompt(model, wanted.prompt) if wanted.messages is None else (await service.chat_prompt(model, wanted.messages, None))[0]
    strings = [token_bytes(model.view.tokenizer, token).decode("utf-8", "replace") for token in tokens] if wanted.return_token_strs else None
    return {"count": len(tokens), "max_model_len": model.view.context, "tokens": list(map(int, tokens)), "token_strs": strings}


@router.post("/detokenize")
async def detokenize(request: Request) -> dict:
    """The text of token ids."""
    service, wanted = service_of(request), await parsed(request, DetokenizeRequest)
    model = service.model(wanted.model, visitor_of(request))
    size = len(model.view.tokenizer)
    if wanted.tokens and max(wanted.tokens) >= size:
        raise ApiError(400, f"there is no token {max(wanted.tokens)}; ids of this model are 0 to {size - 1}", param="tokens", code="invalid_value")
    return {"prompt": await run_in_threadpool(model.view.tokenizer.decode, wanted.tokens)}
