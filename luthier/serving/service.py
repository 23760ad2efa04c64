"""What the routes share: settings, models, engine, door, figures, and how a request becomes an answer or leaves without one."""
import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from fastapi import Request
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from luthier.data.records import Message, Pair
from luthier.errors import LuthierError
from luthier.generation.grammar import GrammarMaker
from luthier.serving.door import Door, Visitor
from luthier.serving.engine import Ask, Engine
from luthier.serving.figures import Figures
from luthier.serving.hosts import Model, Registry
from luthier.serving.outside.host import FarHost
from luthier.serving.outside.writing import FarWriting
from luthier.serving.refusals import ApiError, as_api_error
from luthier.serving.rewriting import Rewritten, source_of
from luthier.serving.settings import ServerSettings
from luthier.serving.shapes import ChatMessage, Sampled, Tool
from luthier.serving.writing import Outbox, Writing


@dataclass
class Service:
    """A server's parts."""

    settings: ServerSettings
    registry: Registry
    engine: Engine
    door: Door
    outbox: Outbox
    figures: Figures
    ready: bool = False
    """Whether every model has answered once."""
    more: dict = field(default_factory=dict)
    """Parts that only some servers have: jobs, files."""
    makers: dict[int, GrammarMaker] = field(default_factory=dict)

    @property
    def far(self) -> list[FarHost]:
        """Engines in other processes that models stand on."""
        return list({model.host for model in self.registry.models.values() if model.is_far})

    # ---- models ---------------------------------------------------------------------------------
    def model(self, name: str, visitor: Visitor, *, writes: bool = False) -> Model:
        """The model that a request names; 404 with those that there are."""
        model = self.registry.find(name)
        if model is None or not may_see(visitor, model):
            there = ", ".join(sorted(other.id for other in self.registry.models.values() if may_see(visitor, other))[:20])
            raise ApiError(404, f"there is no model {name[:80]!r}; there are: {there}", param="model", code="model_not_found")
        if writes and (not model.writes or model.abstention is not None):
            why = "writes no text" if not model.writes else "abstains where it is not sure, which written text would pass by"
            raise ApiError(400, f"{model.id} {why}; ask it at /classify", param="model", code="not_a_text_model")
        return model

    async def drop(self, model: Model) -> None:
        """Take a name away. It answers no more once this returns: whoever is told so may ask at once."""
        await asyncio.wrap_future(self.engine.call(lambda: self.engine.drop(model.id)))

    def maker(self, model: Model) -> GrammarMaker:
        """What makes grammars for a model's tokenizer."""
        key = id(model.host)
        if key not in self.makers:
            self.makers[key] = GrammarMaker(model.view.tokenizer)
        return self.makers[key]

    def writing(self, model: Model, prompts: list[list[int]], wanted: Sampled, **more) -> Writing:
        """A request for text on its way, through rows of our own or through an engine in another process."""
        return (FarWriting if model.is_far else Rewritten if model.rewrites else Writing)(model, prompts, wanted, settings=self.settings, outbox=self.outbox, **more)

    # ---- prompts --------------------------------------------------------------------------------
    async def chat_prompt(self, model: Model, messages: list[ChatMessage], tools: list[Tool] | None, answer: int = 0) -> tuple[list[int], list]:
        """Token ids of a conversation by the model's own renderer, and the passages laid before its last question, as many as leave room for `answer` tokens.

        The ids are those that the model was trained with. Rendered off the event loop, in bounded time.
        """
        if model.rewrites:
            ids, lost = await run_in_threadpool(model.renderer.source, model.task.instruction + source_of(messages))
            if lost:
                raise ApiError(400, f"the context holds {model.view.context} tokens; the text has {len(ids) + lost}", param="messages", code="context_length_exceeded")
            return ids, []
        turns = asked_as_trained(model, messages)
        told = [tool.model_dump(exclude_none=True) for tool in tools or ()]
        return await run_in_threadpool(led_prompt, model, turns, told, answer)

    async def text_prompt(self, model: Model, text: str) -> list[int]:
        """Token ids of a plain text; controls in it stay text."""
        return await run_in_threadpool(model.renderer.text, text)

    # ---- work -----------------------------------------------------------------------------------
    async def work(self, request: Request, model: Model, function, cost: int):
        """Run a function of the model's network in the engine's thread; leaving early cancels it."""
        if model.is_far:
            raise ApiError(400, f"{model.id} runs in another process, which only writes text", param="model", code="not_behind_an_engine")
        queue, tell = self.outbox.listener()
        ask = Ask(model, visitor_of(request).name, tell, work=function, cost=cost, deadline=time.monotonic() + self.settings.seconds_per_request)

        async def result():
            found = None
            self.engine.submit(ask)
            while (event := await queue.get())[0] != "over":
                if event[0] == "error":
                    raise event[1]
                found = event[1]
            return found

        try:
            return await while_there(request, result())
        finally:
            ask.cancel()

    async def streamed(self, request: Request, stream: AsyncIterator[str]) -> StreamingResponse:
        """A stream as the response, once its request has been taken: what is refused before that is refused with its own status."""
        await while_there(request, anext(stream))
        return StreamingResponse(stream, media_type="text/event-stream", headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})

    @asynccontextmanager
    async def counted(self, request: Request, model: Model, tokens: int) -> AsyncIterator[None]:
        """A request within its key's limits, in the figures however it ends."""
        visitor = visitor_of(request)
        self.door.begin(visitor, tokens)
        try:
            with self.figures.request(model.id):
                yield
        finally:
            self.door.end(visitor)


def led_prompt(model: Model, turns: list[Message], tools: list[dict], answer: int) -> tuple[list[int], list]:
    """The prompt, its last question led by passages where the model has some."""
    asked = max((at for at, turn in enumerate(turns) if turn.role == "user"), default=None)
    if model.lead is None or asked is None:
        return model.renderer.prompt(turns, tools), []

    def with_question(text: str) -> list[Message]:
        return [replace(turn, content=text) if at == asked else turn for at, turn in enumerate(turns)]

    room = model.view.context - max(1, answer)
    led, passages = model.lead(turns[asked].content, lambda text: len(model.renderer.prompt(with_question(text), tools)) <= room)
    return model.renderer.prompt(with_question(led), tools), passages


def asked_as_trained(model: Model, messages: list[ChatMessage]) -> list[Message]:
    """The turns of a conversation; a model that learned to rewrite texts is asked in the words that it learned."""
    if model.task.record is not Pair:
        return [as_turn(message) for message in messages]
    return list(model.task.prompt_messages(Pair(source_of(messages), ""), ()))


def may_see(visitor: Visitor, model: Model) -> bool:
    """A model that a key's job made is that key's alone; administrators see all."""
    owner = model.facts.get("owner")
    return owner is None or owner == visitor.name or "admin" in visitor.scopes


def visitor_of(request: Request) -> Visitor:
    return request.state.visitor


def service_of(request: Request) -> Service:
    return request.app.state.service


def as_turn(message: ChatMessage) -> Message:
    """A message as the renderer takes it."""
    extra: dict = {}
    if message.tool_calls:
        extra["tool_calls"] = [call.model_dump() for call in message.tool_calls]
    extra |= {name: value for name, value in (("tool_call_id", message.tool_call_id), ("name", message.name)) if value is not None}
    if message.content is None and not message.tool_calls:
        raise ApiError(400, "a message has no content", param="messages", code="invalid_value")
    return Message(message.role, message.text, extra=extra)


async def while_there(request: Request, answer: Awaitable):
    """The answer, unless the client goes away first: then it is cancelled at once, and nobody is told anything."""
    working = asyncio.ensure_future(answer)
    leaving = asyncio.ensure_future(left(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ApiError(408, "the client went away", code="client_disconnected")
        return working.result()
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def left(request: Request) -> None:
    """Returns when the client has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def fingerprint(model: Model) -> dict:
    """What base and data an answer came from, where that is known: the public document has no null there."""
    known = model.facts.get("fingerprint")
    return {"system_fingerprint": known} if known else {}


def new_id(kind: str) -> str:
    return f"{kind}-{secrets.token_hex(16)}"


def stream_error(error: Exception) -> dict:
    """An error inside a stream."""
    return as_api_error(error).body()


def refuse(condition: bool, message: str, param: str) -> None:
    if condition:
        raise ApiError(400, message, param=param, code="unsupported_parameter")


FAILED = (LuthierError, ApiError)
