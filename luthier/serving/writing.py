"""From a request to rows of a batch and back: what is asked, what the engine tells, and the text as it may be shown.

The engine's thread drops what it tells into one outbox; the event loop empties it once a step.
"""
import asyncio
import json
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

from luthier.generation.batcher import Seat
from luthier.generation.choosing import Choosing, Likelihood
from luthier.generation.grammar import ANY_OBJECT
from luthier.generation.text import Writer
from luthier.serving.engine import Ask, Engine
from luthier.serving.hosts import Model
from luthier.serving.refusals import ApiError
from luthier.serving.settings import ServerSettings
from luthier.serving.shapes import ResponseFormat, Sampled


class Outbox:
    """What the engine has to tell, on its way into the event loop."""

    def __init__(self):
        self.waiting: deque = deque()
        self.loop: asyncio.AbstractEventLoop | None = None

    def listener(self) -> tuple[asyncio.Queue, Callable[[tuple], None]]:
        """A queue in the event loop and the function by which the engine reaches it."""
        queue: asyncio.Queue = asyncio.Queue()
        return queue, lambda event: self.waiting.append((queue, event))

    def flush(self) -> None:
        """Called by the engine after each step."""
        if self.waiting and self.loop is not None and not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.deliver)

    def deliver(self) -> None:
        while self.waiting:
            queue, event = self.waiting.popleft()
            queue.put_nowait(event)


@dataclass
class Answer:
    """One of the answers to a request."""

    finish: str = ""
    likelihoods: list[Likelihood] = field(default_factory=list)
    """Where they are wanted; in a stream, those since the last piece of text. The engine's own until the answer has ended."""


class Writing:
    """One request for text on its way."""

    def __init__(self, model: Model, prompts: Sequence[list[int]], request: Sampled, *, settings: ServerSettings, asker: str, outbox: Outbox, most: int | None, logprobs: int | None, grammar=None, schema: dict | None = None):
        """`prompts` each get `request.n` answers; `most` is the wanted number of tokens; `grammar` makes what follows `schema`. Raises ApiError where something is out of range."""
        self.model, self.prompts, self.count = model, prompts, request.n or 1
        if self.count * len(prompts) > settings.max_choices * max(1, len(prompts)) or self.count * len(prompts) > model.host.max_rows:
            raise ApiError(400, f"n is {self.count}; at most {min(settings.max_choices, model.host.max_rows // len(prompts))} answers to each of {len(prompts)} prompts are written here", param="n", code="invalid_value")
        self.queue, tell = outbox.listener()
        self.answers = [Answer() for _ in range(self.count * len(prompts))]
        budget = [budget_of([] if model.rewrites else prompt, model, settings, most) for prompt in prompts]
        self.ask = Ask(model, asker, tell, cost=sum(budget) * self.count + sum(map(len, prompts)), deadline=time.monotonic() + settings.seconds_per_request)
        self.stops = frozenset(model.view.stop_tokens | model.renderer.stop_tokens)
        self.schema = schema
        seed = secrets.randbits(63) if request.seed is None else request.seed
        self.prepare(request, budget, bias=bias_of(request.logit_bias, model), seed=seed, logprobs=logprobs, grammar=grammar)

    def prepare(self, request: Sampled, budgets: list[int], *, bias: dict[int, float], seed: int, logprobs: int | None, grammar) -> None:
        """A row of the batch for every answer."""
        for number, answer in enumerate(self.answers):
            prompt = self.prompts[number // self.count]
            choosing = Choosing(
                temperature=1.0 if request.temperature is None else request.temperature, top_p=max(1e-6, 1.0 if request.top_p is None else request.top_p), top_k=request.top_k or 0,
                seed=seed, choice=number, presence_penalty=request.presence_penalty or 0.0, frequency_penalty=request.frequency_penalty or 0.0, bias=bias, logprobs=logprobs,
                grammar=None if grammar is None else grammar(self.stops),
            )
            listen = self.listen(number, answer, self.ask.tell) if request.stream else None
            writer = Writer(self.model.view.tokenizer, prompt, request.stops, listen)
            on_token = None if logprobs is None else (lambda token, told, answer=answer: answer.likelihoods.append(told))
            self.ask.seats.append(Seat(prompt, budgets[number // self.count], writer, choosing, self.model.place, self.stops, on_token))

    def begin(self, engine: Engine) -> None:
        """Queue the rows."""
        engine.submit(self.ask)

    def leave(self, engine: Engine, *, early: bool) -> None:
        """Over; rows that are still wanted by nobody are cancelled."""
        if early:
            self.ask.cancel()
            engine.nudge()

    @staticmethod
    def listen(number: int, answer: Answer, tell: Callable[[tuple], None]) -> Callable[[str], None]:
        def piece(text: str) -> None:
            told, answer.likelihoods = answer.likelihoods, []
            tell(("text", number, text, told))

        return piece

    async def events(self, engine: Engine) -> AsyncIterator[tuple]:
        """("begun",), then what the engine tells: ("text", choice, piece, likelihoods) and ("end", choice, finish). An error is raised; leaving early cancels."""
        self.begin(engine)
        over = False
        try:
            yield ("begun",)
            while True:
                event = await self.queue.get()
                if event[0] == "over":
                    over = True
                    return
                if event[0] == "error":
                    raise event[1]
                if event[0] == "end":
                    self.answers[event[1]].finish = event[2]
                yield event
        finally:
            self.leave(engine, early=not over)

    async def finished(self, engine: Engine) -> None:
        """Wait for all answers."""
        async for _ in self.events(engine):
            pass

    def text(self, number: int) -> str:
        """The whole text of an answer that has ended."""
        seat = self.ask.seats[number]
        return seat.writer.text(seat.tokens)

    @property
    def usage(self) -> dict:
        """Tokens read and written."""
        read, written = sum(map(len, self.prompts)), sum(len(seat.tokens) for seat in self.ask.seats)
        return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def budget_of(prompt: list[int], model: Model, settings: ServerSettings, most: int | None) -> int:
    """Tokens that an answer may have; what cannot fit into the context is refused with both numbers."""
    context = model.view.context
    room = context - len(prompt)
    if room < 1 or (most is not None and most > room):
        raise ApiError(
            400, f"the context holds {context} tokens; the prompt has {len(prompt)}" + (f" and {most} are asked for" if most is not None else ""),
            param="messages" if room < 1 else "max_tokens", code="context_length_exceeded",
        )
    return most or min(room, settings.max_new_tokens)


def bias_of(given: dict[str, float] | None, model: Model) -> dict[int, float]:
    """Token ids with what is added to their logits."""
    size, found = len(model.view.tokenizer), {}
    for name, value in (given or {}).items():
        if not name.isascii() or not name.isdigit() or int(name) >= size:
            raise ApiError(400, f"logit_bias names {name[:20]!r}; ids of this model are 0 to {size - 1}", param="logit_bias", code="invalid_value")
        found[int(name)] = value
    return found


def grammar_of(wanted: ResponseFormat | None, maker):
    """A function from end tokens to a grammar, or None where any text will do; compiled once here, so that a bad schema is refused before anything waits."""
    schema = schema_of(wanted)
    if schema is None:
        return None
    made = maker()
    made.of_schema(schema, ())
    return lambda ends: made.of_schema(schema, ends)


def schema_of(wanted: ResponseFormat | None) -> dict | None:
    """The JSON schema that an answer must follow; None where any text will do."""
    if wanted is None or wanted.type == "text":
        return None
    if wanted.type == "json_schema" and wanted.json_schema is None:
        raise ApiError(400, "response_format.json_schema is missing", param="response_format.json_schema", code="missing_parameter")
    return ANY_OBJECT if wanted.type == "json_object" else wanted.json_schema.schema_ or ANY_OBJECT


class Trimmer:
    """White space around an answer is not shown: what leads is dropped, what may trail is held back until more comes."""

    def __init__(self):
        self.begun, self.held = False, ""

    def show(self, piece: str) -> str:
        text = self.held + piece
        if not self.begun:
            text = text.lstrip()
        kept = text.rstrip()
        self.begun |= bool(kept)
        self.held = text[len(kept):]
        return kept


# ---- likelihoods --------------------------------------------------------------------------------
def token_bytes(tokenizer, token: int) -> bytes:
    """The bytes that a token stands for."""
    piece = tokenizer.convert_ids_to_tokens(token)
    if piece is None:
        return b""
    if len(piece) == 6 and piece.startswith("<0x"):
        return bytes([int(piece[3:5], 16)])
    if all(letter in BYTE_OF for letter in piece) and byte_level(tokenizer):
        return bytes(BYTE_OF[letter] for letter in piece)
    return piece.replace("▁", " ").encode("utf-8")


def byte_level(tokenizer) -> bool:
    if "luthier_byte_level" not in vars(tokenizer):
        decoder = json.loads(tokenizer.backend_tokenizer.to_str()).get("decoder") or {}
        kinds = [decoder.get("type"), *(inner.get("type") for inner in decoder.get("decoders", []))]
        tokenizer.luthier_byte_level = "ByteLevel" in kinds
    return tokenizer.luthier_byte_level


def byte_alphabet() -> dict[str, int]:
    """GPT-2's letters for bytes: printable ones stand for themselves, the others for letters from 256 on."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + at): byte for at, byte in enumerate(others)}


BYTE_OF = byte_alphabet()


def told_token(tokenizer, token: int, logprob: float) -> dict:
    """A token as OpenAI tells it."""
    data = token_bytes(tokenizer, token)
    return {"token": data.decode("utf-8", "replace"), "logprob": max(logprob, -9999.0), "bytes": list(data)}


def chat_logprobs(tokenizer, likelihoods: Sequence[Likelihood]) -> dict:
    """Likelihoods in the shape of chat."""
    return {"content": [
        told_token(tokenizer, found.token, found.logprob) | {"top_logprobs": [told_token(tokenizer, token, logprob) for token, logprob in found.top]} for found in likelihoods
    ], "refusal": None}


def completion_logprobs(tokenizer, likelihoods: Sequence[Likelihood], offset: int) -> dict:
    """Likelihoods in the older shape of completions; offsets count characters from the start of the answer."""
    names, offsets = [], []
    for found in likelihoods:
        name = told_token(tokenizer, found.token, 0.0)["token"]
        names.append(name)
        offsets.append(offset)
        offset += len(name)
    top = [{told_token(tokenizer, token, 0.0)["token"]: logprob for token, logprob in found.top} for found in likelihoods]
    return {"tokens": names, "token_logprobs": [max(found.logprob, -9999.0) for found in likelihoods], "top_logprobs": top, "text_offset": offsets}
