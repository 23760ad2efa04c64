"""`/v1/chat/completions`: answers of a chat model, whole or as a stream, with tools and JSON schemas."""
import json
import time

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse

from luthier.serving.door import needs
from luthier.serving.service import Service, fingerprint, new_id, refuse, service_of, stream_error, visitor_of, while_there
from luthier.serving.shapes import ChatRequest, parsed
from luthier.serving.toolcalls import parse, takes_tools
from luthier.serving.writing import Trimmer, Writing, chat_logprobs, grammar_of, schema_of

router = APIRouter(dependencies=[Depends(needs("inference"))])
END = "data: [DONE]\n\n"
"""The last event of a stream."""


@router.post("/v1/chat/completions")
async def chat_completions(request: Request):
    service, wanted = service_of(request), await parsed(request, ChatRequest)
    model = service.model(wanted.model, visitor_of(request), writes=True)
    check(wanted, model)
    tools = wanted.tools if wanted.tool_choice != "none" else None
    most = wanted.max_completion_tokens or wanted.max_tokens
    prompt, passages = await service.chat_prompt(model, wanted.messages, tools, most or min(model.max_new_tokens, service.settings.max_new_tokens))
    grammar = grammar_of(wanted.response_format, lambda: service.maker(model))
    writing = service.writing(
        model, [prompt], wanted, asker=visitor_of(request).name, grammar=grammar, schema=schema_of(wanted.response_format), most=most, logprobs=(wanted.top_logprobs or 0) if wanted.logprobs else None,
    )
    chat = Chat(service, writing, wanted, {tool.function.name for tool in tools or ()}, passages)
    if wanted.stream:
        return await service.streamed(request, chat.stream(request))
    async with service.counted(request, model, writing.ask.cost):
        await while_there(request, writing.finished(service.engine))
    return JSONResponse(chat.whole())


def check(wanted: ChatRequest, model) -> None:
    """What fits together and what this model can do."""
    refuse(wanted.max_tokens is not None and wanted.max_completion_tokens is not None, "give max_completion_tokens or max_tokens, not both", "max_tokens")
    refuse(wanted.top_logprobs is not None and not wanted.logprobs, "top_logprobs needs logprobs: true", "top_logprobs")
    refuse(wanted.stream_options is not None and not wanted.stream, "stream_options needs stream: true", "stream_options")
    refuse(bool(wanted.tools) and not takes_tools(model.renderer.template), "the chat template of this model has no place for tools", "tools")
    refuse(wanted.tool_choice is not None and not wanted.tools, "tool_choice needs tools", "tool_choice")
    refuse(wanted.parallel_tool_calls is not None and not wanted.tools, "parallel_tool_calls needs tools", "parallel_tool_calls")


class Chat:
    """One request and its shapes."""

    def __init__(self, service: Service, writing: Writing, wanted: ChatRequest, tools: set[str], passages: list):
        self.service, self.writing, self.wanted, self.tools = service, writing, wanted, tools
        self.id, self.created = new_id("chatcmpl"), int(time.time())
        self.pending: list[list] = [[] for _ in writing.answers]
        """Likelihoods of each answer that no chunk has told yet."""
        self.cited = {"passages": [{"number": number, "place": passage.place.rsplit("/", 1)[-1], "text": passage.text} for number, passage in enumerate(passages, 1)]} if passages else {}
        """The passages that the answer was given, beside OpenAI's fields where there are some."""

    def head(self, kind: str) -> dict:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.wanted.model, **fingerprint(self.writing.model)}

    def message(self, number: int) -> tuple[dict, str]:
        """The message of an answer that has ended, and how it ended."""
        text = self.writing.text(number).strip()
        words, calls = parse(text, self.tools, only_one=self.wanted.parallel_tool_calls is False) if self.tools else (text, [])
        message: dict = {"role": "assistant", "content": words or (None if calls else ""), "refusal": None}
        if calls:
            message["tool_calls"] = calls
        return message, "tool_calls" if calls else self.writing.answers[number].finish

    def logprobs(self, likelihoods) -> dict | None:
        return chat_logprobs(self.writing.model.view.tokenizer, likelihoods) if self.wanted.logprobs else None

    def whole(self) -> dict:
        """The body of a request that wants no stream."""
        choices = []
        for number, answer in enumerate(self.writing.answers):
            message, finish = self.message(number)
            choices.append({"index": number, "message": message, "logprobs": self.logprobs(answer.likelihoods), "finish_reason": finish})
        self.service.figures.wrote(self.writing.model.id, self.writing.usage, [answer.finish for answer in self.writing.answers])
        return {**self.head("chat.completion"), "choices": choices, "usage": self.writing.usage, **self.cited}

    async def stream(self, request: Request):
        """Nothing, once the request has been taken; then server-sent events: a role, pieces of text, how it ended, the usage where it is wanted, and the end. A later error is an event too."""
        with_usage = bool(self.wanted.stream_options and self.wanted.stream_options.include_usage)
        trimmers = [Trimmer() for _ in self.writing.answers]
        began, first, taken = time.monotonic(), True, False
        try:
            async with self.service.counted(request, self.writing.model, self.writing.ask.cost):
                async for event in self.writing.events(self.service.engine):
                    if not taken:
                        taken = True
                        yield ""
                        continue
                    opening = []
                    if first:
                        self.service.figures.first.labels(self.writing.model.id).observe(time.monotonic() - began)
                        opening = [self.chunk(number, {"role": "assistant", "content": "", "refusal": None}, None, None, with_usage) for number in range(len(trimmers))]
                        first = False
                    if told := "".join([*opening, *self.chunks(event, trimmers, with_usage)]):
                        yield told  # all of one event in one write
        except Exception as error:
            if not taken:
                raise
            yield sse(stream_error(error)) + END
        else:
            usage = self.writing.usage
            self.service.figures.wrote(self.writing.model.id, usage, [answer.finish for answer in self.writing.answers])
            yield (sse({**self.head("chat.completion.chunk"), "choices": [], "usage": usage, **self.cited}) if with_usage else "") + END

    def chunks(self, event: tuple, trimmers: list[Trimmer], with_usage: bool):
        """The chunks of one event; an answer that may hold calls of tools is told when it is whole."""
        kind, number = event[:2]
        answer = self.writing.answers[number]
        if kind == "text":
            shown = "" if self.tools else trimmers[number].show(event[2])
            self.pending[number] += event[3]
            if shown:
                yield self.chunk(number, {"content": shown}, None, self.logprobs(self.pending[number]), with_usage)
                self.pending[number] = []
            return
        finish, rest = answer.finish, self.pending[number] + answer.likelihoods
        if self.tools:
            message, finish = self.message(number)
            calls = [{"index": at, **call} for at, call in enumerate(message.get("tool_calls", []))]
            yield self.chunk(number, {"content": message["content"]} | ({"tool_calls": calls} if calls else {}), None, self.logprobs(rest), with_usage)
        elif rest and self.wanted.logprobs:
            yield self.chunk(number, {"content": ""}, None, self.logprobs(rest), with_usage)
        yield self.chunk(number, {}, finish, None, with_usage)

    def chunk(self, number: int, delta: dict, finish: str | None, logprobs: dict | None, with_usage: bool) -> str:
        usage = {"usage": None} if with_usage else {}
        return sse({**self.head("chat.completion.chunk"), "choices": [{"index": number, "delta": delta, "logprobs": logprobs, "finish_reason": finish}], **usage})


def sse(value: dict) -> str:
    """One server-sent event."""
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"
