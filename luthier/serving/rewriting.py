"""A chat with an encoder-decoder: the one question is the source, the answer is what it becomes, written greedily and told when it is whole."""
import dataclasses
from collections.abc import AsyncIterator

from luthier.serving.engine import Engine
from luthier.serving.refusals import ApiError
from luthier.serving.shapes import ChatMessage, ChatRequest
from luthier.serving.writing import Writing
from luthier.tasks.answers import Answer


class Rewritten(Writing):
    """One summary or translation on its way."""

    def prepare(self, request: ChatRequest, budgets: list[int], *, bias: dict[int, float], seed: int, logprobs: int | None, grammar) -> None:
        """Work for the engine's thread; what only rows of a batch can do is refused by name."""
        wrong = {
            "temperature": bool(request.temperature), "n": self.count > 1, "logprobs": logprobs is not None, "response_format": grammar is not None, "logit_bias": bool(bias), "presence_penalty": bool(request.presence_penalty),
            "frequency_penalty": bool(request.frequency_penalty), "tools": bool(request.tools),
        }
        if found := [name for name, is_asked in wrong.items() if is_asked]:
            raise ApiError(400, f"{self.model.id} is an encoder-decoder, which writes one greedy answer: {found[0]} has no effect there", param=found[0], code="unsupported_parameter")
        self.stop_words, self.written = request.stops, Answer("")
        source, task, renderer = source_of(request.messages), self.model.task, self.model.renderer
        task = dataclasses.replace(task, max_new_tokens=min(budgets[0], task.max_new_tokens))
        self.most = task.max_new_tokens
        self.ask.work = lambda view: task.rewritten(view, renderer, [source])[0]

    async def events(self, engine: Engine) -> AsyncIterator[tuple]:
        """What the engine tells, the answer as one piece of text."""
        async for event in super().events(engine):
            if event[0] != "result":
                yield event
                continue
            self.written = event[1]
            self.answers[0].finish = "length" if self.written.tokens_out >= self.most else "stop"
            yield ("text", 0, self.text(0), [])
            yield ("end", 0, self.answers[0].finish)

    def text(self, number: int) -> str:
        """The answer up to the first stop string."""
        ends = [at for at in (self.written.text.find(word) for word in self.stop_words) if at >= 0]
        return self.written.text[: min(ends)] if ends else self.written.text

    @property
    def usage(self) -> dict:
        read, written = sum(map(len, self.prompts)), self.written.tokens_out
        return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def source_of(messages: list[ChatMessage]) -> str:
    """The text to rewrite: the only message, a user's. Earlier turns were never learned, so they are refused and not left out."""
    if [message.role for message in messages] != ["user"] or not messages[0].text:
        raise ApiError(400, "this model rewrites one text: send it as the only message, of the role user", param="messages", code="invalid_value")
    return messages[0].text
