"""`/v1/completions`: continue plain texts or token ids, many prompts at once."""
import time

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse

from luthier.serving.door import needs
from luthier.serving.refusals import ApiError
from luthier.serving.routes.chat import END, sse
from luthier.serving.service import Service, fingerprint, new_id, refuse, service_of, stream_error, visitor_of, while_there
from luthier.serving.shapes import CompletionRequest, parsed
from luthier.serving.writing import Writing, completion_logprobs

router = APIRouter(dependencies=[Depends(needs("inference"))])


@router.post("/v1/completions")
async def completions(request: Request):
    service, wanted = service_of(request), await parsed(request, CompletionRequest)
    model = service.model(wanted.model, visitor_of(request), writes=True)
    refuse(model.rewrites, f"{model.id} is an encoder-decoder: it continues nothing; ask it at /v1/chat/completions", "model")
    refuse(wanted.stream_options is not None and not wanted.stream, "stream_options needs stream: true", "stream_options")
    prompts = await prompts_of(service, model, wanted.prompt)
    writing = service.writing(
        model, prompts, wanted, asker=visitor_of(request).name, most=wanted.max_tokens or 16, logprobs=wanted.logprobs,
    )
    completion = Completion(service, writing, wanted)
    if wanted.stream:
        return await service.streamed(request, completion.stream(request))
    async with service.counted(request, model, writing.ask.cost):
        await while_there(request, writing.finished(service.engine))
    return JSONResponse(completion.whole())


async def prompts_of(service: Service, model, given) -> list[list[int]]:
    """Token ids of each prompt; ids that the model does not have are refused."""
    items = [given] if isinstance(given, str) or isinstance(given[0], int) else given
    refuse(len(items) > service.settings.max_inputs, f"at most {service.settings.max_inputs} prompts are taken at once", "prompt")
    prompts = [await service.text_prompt(model, item) if isinstance(item, str) else list(item) for item in items]
    size = model.num_ids
    for prompt in prompts:
        if not prompt:
            raise ApiError(400, "a prompt is empty: there is nothing to continue", param="prompt", code="invalid_value")
        if max(prompt) >= size:
            raise ApiError(400, f"a prompt holds the token id {max(prompt)}; ids of this model are 0 to {size - 1}", param="prompt", code="invalid_value")
    return prompts


class Completion:
    """One request and its shapes."""

    def __init__(self, service: Service, writing: Writing, wanted: CompletionRequest):
        self.service, self.writing, self.wanted = service, writing, wanted
        self.id, self.created = new_id("cmpl"), int(time.time())
        self.offsets = [0] * len(writing.answers)

    def head(self) -> dict:
        return {"id": self.id, "object": "text_completion", "created": self.created, "model": self.wanted.model, **fingerprint(self.writing.model)}

    def choice(self, number: int, text: str, finish: str | None, likelihoods) -> dict:
        told = None
        if self.wanted.logprobs is not None:
            told = completion_logprobs(self.writing.model.view.tokenizer, likelihoods, self.offsets[number])
            self.offsets[number] += len(text)
        return {"index": number, "text": text, "logprobs": told, "finish_reason": finish}

    def whole(self) -> dict:
        answers, usage = self.writing.answers, self.writing.usage
        self.service.figures.wrote(self.writing.model.id, usage, [answer.finish for answer in answers])
        choices = [self.choice(number, self.writing.text(number), answer.finish, answer.likelihoods) for number, answer in enumerate(answers)]
        return {**self.head(), "choices": choices, "usage": usage}

    async def stream(self, request: Request):
        """Nothing, once the request has been taken; then server-sent events: pieces of text, how each ended, the usage where it is wanted, and the end."""
        with_usage = bool(self.wanted.stream_options and self.wanted.stream_options.include_usage)
        began, first, taken = time.monotonic(), True, False
        try:
            async with self.service.counted(request, self.writing.model, self.writing.ask.cost):
                async for event in self.writing.events(self.service.engine):
                    if not taken:
                        taken = True
                        yield ""
                        continue
                    if first:
                        self.service.figures.first.labels(self.writing.model.id).observe(time.monotonic() - began)
                        first = False
                    answer = self.writing.answers[event[1]]
                    text, finish, likelihoods = (event[2], None, event[3]) if event[0] == "text" else ("", answer.finish, answer.likelihoods)
                    yield sse({**self.head(), "choices": [self.choice(event[1], text, finish, likelihoods)]})
        except Exception as error:
            if not taken:
                raise
            yield sse(stream_error(error)) + END
        else:
            usage = self.writing.usage
            self.service.figures.wrote(self.writing.model.id, usage, [answer.finish for answer in self.writing.answers])
            yield (sse({**self.head(), "choices": [], "usage": usage}) if with_usage else "") + END
