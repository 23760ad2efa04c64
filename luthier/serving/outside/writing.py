"""A request for text whose rows are written by an engine in another process: the same prompts, limits, events and ends as rows of our own."""
import asyncio
import json
import logging
import time

from luthier.errors import LuthierError
from luthier.serving.engine import Engine, too_late
from luthier.serving.outside.host import EngineRefused
from luthier.serving.outside.kind import Asked
from luthier.serving.refusals import ApiError
from luthier.serving.shapes import Sampled
from luthier.serving.writing import Writing

log = logging.getLogger("luthier.serving")


class FarWriting(Writing):
    """One request for text on its way through another process."""

    def prepare(self, request: Sampled, budgets: list[int], *, bias: dict[int, float], seed: int, logprobs: int | None, grammar) -> None:
        """What the engine will be asked for each answer; what it cannot do is refused by name."""
        kind = self.model.host.engine.kind
        if logprobs is not None and not kind.likelihoods:
            raise ApiError(400, f"{kind.name} tells no likelihoods by token here", param="logprobs", code="unsupported_parameter")
        self.grammar, self.streams = grammar, bool(request.stream)
        self.texts, self.tokens = [""] * len(self.answers), [0] * len(self.answers)
        tokenizer, ends = self.model.view.tokenizer, self.stops
        words = tuple(tokenizer.convert_ids_to_tokens(token) for token in sorted(ends))
        self.asked = [
            Asked(
                self.model.id, list(self.prompts[number // self.count]), budgets[number // self.count], 1.0 if request.temperature is None else request.temperature,
                max(1e-6, 1.0 if request.top_p is None else request.top_p), request.top_k or 0, (seed + number) % 2**31, request.presence_penalty or 0.0, request.frequency_penalty or 0.0,
                tuple(request.stops), tuple(sorted(ends)), words, bias, logprobs, self.schema,
            )
            for number in range(len(self.answers))
        ]
        self.tasks: list[asyncio.Task] = []

    def begin(self, engine: Engine) -> None:
        """Ask for every answer; too many at once are Overloaded."""
        engine.enter(self.ask, self.model.host)
        self.left = len(self.asked)
        self.tasks = [asyncio.create_task(self.follow(number)) for number in range(len(self.asked))]
        self.timer = asyncio.get_running_loop().call_later(max(0.0, self.ask.deadline - time.monotonic()), self.queue.put_nowait, ("error", too_late()))

    def leave(self, engine: Engine, *, early: bool) -> None:
        """Over, or wanted no more: connections close, which ends the rows there."""
        self.timer.cancel()
        for task in self.tasks:
            task.cancel()
        engine.exit(self.ask)

    async def follow(self, number: int) -> None:
        """One answer: its pieces become events."""
        finish = None
        try:
            async for piece in self.model.host.stream(self.asked[number]):
                self.tokens[number] = piece.tokens if piece.tokens is not None else self.tokens[number]
                finish = piece.finish or finish
                self.tell(number, piece.text, list(piece.likelihoods))
            self.check(number, finish)
        except LuthierError as error:
            log.warning("an engine failed: %s", error.message)
            self.queue.put_nowait(("error", error))
            return
        self.tokens[number] = self.tokens[number] or len(self.model.view.tokenizer(self.texts[number], add_special_tokens=False)["input_ids"])
        self.queue.put_nowait(("end", number, finish))
        self.left -= 1
        if not self.left:
            self.queue.put_nowait(("over",))

    def tell(self, number: int, text: str, likelihoods: list) -> None:
        self.texts[number] += text
        if self.streams and text:
            self.queue.put_nowait(("text", number, text, self.answers[number].likelihoods + likelihoods))
            self.answers[number].likelihoods = []
        else:
            self.answers[number].likelihoods += likelihoods

    def check(self, number: int, finish: str | None) -> None:
        """An engine that let a schema go unheard is not believed."""
        if self.grammar is None or finish != "stop":
            return
        try:
            value = json.loads(self.texts[number])
        except (ValueError, RecursionError):
            raise EngineRefused("the engine did not keep to the schema: it wrote no JSON") from None
        if not any(self.follows(json.dumps(value, ensure_ascii=False, separators=spaces)) for spaces in ((",", ":"), (", ", ": "))):
            raise EngineRefused("the engine did not keep to the schema")

    def follows(self, text: str) -> bool:
        """Whether a text is one that the grammar could have written; white space between JSON's signs is the engine's own."""
        grammar = self.grammar(self.stops)
        for token in self.model.view.tokenizer(text, add_special_tokens=False)["input_ids"]:
            if not grammar.allowed()[token]:
                return False
            grammar.take(token)
        return any(grammar.allowed()[end] for end in self.stops)

    def text(self, number: int) -> str:
        return self.texts[number]

    @property
    def usage(self) -> dict:
        read, written = sum(map(len, self.prompts)), sum(self.tokens)
        return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


