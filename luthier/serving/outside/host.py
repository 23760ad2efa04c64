"""A base in another process: what the routes ask of a host, and texts as they stream in."""
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx2

from luthier.errors import LuthierError
from luthier.serving.outside.kind import Asked, Piece
from luthier.serving.outside.process import Watched

PATIENCE = httpx2.Timeout(connect=5.0, read=120.0, write=30.0, pool=None)
LARGEST_EVENT = 4 << 20


class EngineLost(LuthierError):
    """The engine is not there, or went away in the middle."""

    default_code = "E125"


class EngineRefused(LuthierError):
    """The engine does not take, or does not keep to, what it was asked."""

    default_code = "E126"


class EngineBusy(LuthierError):
    """The engine has too much to do."""

    default_code = "E120"


@dataclass(frozen=True)
class FarView:
    """What is known here of a network that runs elsewhere."""

    tokenizer: object
    context: int
    stop_tokens: frozenset[int]


@dataclass(eq=False)
class FarHost:
    """One engine, as a base with rows."""

    engine: Watched
    max_rows: int
    bank: None = None
    batcher: None = None
    client: httpx2.AsyncClient | None = field(default=None, repr=False)

    async def stream(self, asked: Asked) -> AsyncIterator[Piece]:
        """Pieces of one text as they come; leaving early closes the connection, which cancels it there."""
        if not self.engine.up:
            raise lost()
        if self.client is None:
            self.client = httpx2.AsyncClient(timeout=PATIENCE, trust_env=False, limits=httpx2.Limits(max_connections=None, max_keepalive_connections=64))
        url, ended = f"{self.engine.url}/v1/completions", False
        try:
            async with self.client.stream("POST", url, json=self.engine.kind.body(asked), headers=self.engine.headers) as answer:
                await refuse(answer)
                async for line in answer.aiter_lines():
                    if not line.startswith("data:") or len(line) > LARGEST_EVENT:
                        continue
                    if (data := line[5:].strip()) == "[DONE]":
                        break
                    piece = self.piece(json.loads(data))
                    ended |= piece.finish is not None
                    yield piece
        except (httpx2.HTTPError, OSError):
            raise lost() from None
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise EngineRefused(f"an event cannot be read: {type(error).__name__}") from None
        if not ended:
            raise lost()

    def piece(self, event: dict) -> Piece:
        """One event; an error in it is raised."""
        if "error" in event:
            raise EngineRefused(f"an error in the stream: {str(event['error'])[:200]}")
        tokens = (event.get("usage") or {}).get("completion_tokens")
        if not event.get("choices"):
            return Piece(tokens=tokens)
        choice = event["choices"][0]
        if (finish := choice.get("finish_reason")) not in (None, "stop", "length"):
            raise EngineRefused(f"a text ended with {str(finish)[:40]!r}")
        return Piece(choice.get("text") or "", finish, self.engine.kind.likelihoods_of(choice), tokens)


async def refuse(answer: httpx2.Response) -> None:
    """Raise what a status means."""
    if answer.status_code == 200:
        return
    said = (await answer.aread())[:300].decode("utf-8", "replace")
    if answer.status_code in (429, 503):
        raise EngineBusy("the engine behind this server has too much to do", hint="try again later")
    if answer.status_code >= 500:
        raise EngineLost(f"the engine answers {answer.status_code}: {said}")
    raise EngineRefused(f"the engine answers {answer.status_code}: {said}")


def lost() -> EngineLost:
    return EngineLost("the engine behind this server does not answer", hint="try again later")
