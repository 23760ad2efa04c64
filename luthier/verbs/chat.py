"""`chat`: a talk with a tuned model, over the very renderer that made its training rows."""
import time
from collections.abc import Callable

from luthier.data.records import Message
from luthier.errors import DataError, RecipeError
from luthier.generation.local import generate
from luthier.runs.events import Say, silent
from luthier.verbs.opening import Opened, open_run


class Session:
    """A talk: the turns so far and the model that continues them."""

    def __init__(self, opened: Opened, *, temperature: float, seed: int):
        self.opened, self.temperature, self.seed = opened, temperature, seed
        self.run_name = opened.run.name
        self.messages: list[Message] = []

    def reset(self) -> None:
        """Forget the turns."""
        self.messages = []

    def ask(self, text: str, *, on_token: Callable[[str], None] | None = None) -> dict:
        """The answer to one more turn; the oldest turns leave where all do not fit, and `forgotten` counts them."""
        model, began = self.opened.language_model, time.perf_counter()
        self.messages.append(Message("user", self.opened.led([text])[0]))
        room, forgotten = model.context - self.opened.recipe.evaluation.max_new_tokens, 0
        while len(prompt := self.opened.renderer.prompt(self.messages)) > room:
            if len(self.messages) <= 2:
                self.messages.pop()
                raise DataError(f"this turn has {len(prompt)} tokens; {room} fit beside an answer", code="D410", hint="ask in fewer words")
            del self.messages[:2]
            forgotten += 2
        listen = None if on_token is None else (lambda _row, piece: on_token(piece))
        found = generate(model, [prompt], max_new_tokens=self.opened.recipe.evaluation.max_new_tokens, temperature=self.temperature, seed=self.seed, on_token=listen)[0]
        self.messages.append(Message("assistant", found.text.strip()))
        return {"answer": found.text.strip(), "finish": found.finish, "forgotten": forgotten, "tokens": len(found.tokens), "seconds": round(time.perf_counter() - began, 3)}


def chat(run: str, *, temperature: float = 0.0, seed: int = 0, say: Say = silent) -> Session:
    """Open a run for a talk; RecipeError where its model cannot talk."""
    opened = open_run(run, say)
    if opened.renderer.head != "causal":
        raise RecipeError(f"{opened.run.name} has a class head and writes no text", code="R155", hint=f'luthier predict {opened.run.name} "your text"')
    return Session(opened, temperature=temperature, seed=seed)
