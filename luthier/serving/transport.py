"""Between the socket and the routes: how slow, how large and how long a client may be.

uvicorn reads bodies of any size and waits for headers for ever; both have an end here.
"""
import asyncio
import logging
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from luthier.serving.refusals import ApiError
from luthier.serving.settings import ServerSettings

log = logging.getLogger("luthier.serving")
HEADER_BYTES = 64 << 10
MOST_HEADERS = 128


class Bounds:
    """ASGI middleware: bodies end in bytes and in seconds, a reader that takes nothing is let go, every response has safe headers."""

    def __init__(self, app: ASGIApp, settings: ServerSettings, figures: Any, uploads: tuple[str, ...] = ("/v1/files",)):
        self.app, self.settings, self.figures, self.uploads = app, settings, figures, uploads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] != "http":  # no route speaks WebSocket
            return await send({"type": "websocket.close", "code": 1008})
        status = 500
        begun = False
        limit = self.settings.upload_bytes if scope["path"] in self.uploads and scope["method"] == "POST" else self.settings.body_bytes

        async def out(message: Message) -> None:
            nonlocal status, begun
            if message["type"] == "http.response.start":
                status, begun = message["status"], True
                message = {**message, "headers": [*message["headers"], *SAFE]}
            try:
                async with asyncio.timeout(self.settings.write_seconds):
                    await send(message)
            except TimeoutError:
                raise OSError("the reader takes nothing") from None

        try:
            refuse_size(scope, limit)
            await self.app(scope, Reader(receive, limit, self.settings.body_seconds), out)
        except ApiError as error:
            if not begun:
                await refused(out, error)
        finally:
            route = scope.get("route")
            self.figures.http.labels(route.path if route is not None else "none", scope["method"] if scope["method"] in METHODS else "other", str(status)).inc()


METHODS = ("GET", "POST", "DELETE", "HEAD", "OPTIONS", "PUT", "PATCH")
SAFE = [
    (b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer"), (b"x-frame-options", b"DENY"),
    (b"content-security-policy", b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"),
]


def refuse_size(scope: Scope, limit: int) -> None:
    """What the headers alone say is too much."""
    if len(scope["headers"]) > MOST_HEADERS:
        raise ApiError(431, f"at most {MOST_HEADERS} headers are read", code="too_many_headers")
    for name, value in scope["headers"]:
        if name == b"content-length" and (not value.isdigit() or int(value) > limit):
            raise too_large(limit)


def too_large(limit: int) -> ApiError:
    return ApiError(413, f"the body may have {limit} bytes", code="body_too_large")


class Reader:
    """A body that ends: in bytes, and in seconds from its first request for it."""

    def __init__(self, receive: Receive, limit: int, seconds: float):
        self.receive, self.limit, self.seconds = receive, limit, seconds
        self.got, self.end, self.whole = 0, 0.0, False

    async def __call__(self) -> Message:
        if self.whole:
            return await self.receive()
        now = asyncio.get_running_loop().time()
        self.end = self.end or now + self.seconds
        try:
            message = await asyncio.wait_for(self.receive(), max(0.0, self.end - now))
        except TimeoutError:
            raise ApiError(408, "the body took too long", code="body_too_slow", headers={"Connection": "close"}) from None
        if message["type"] == "http.request":
            self.got += len(message.get("body", b""))
            self.whole = not message.get("more_body", False)
            if self.got > self.limit:
                raise too_large(self.limit)
        return message


async def refused(send: Send, error: ApiError) -> None:
    """An answer before any route was asked."""
    import json

    body = json.dumps(error.body()).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class PatientProtocol(H11Protocol):
    """uvicorn's protocol with an end to waiting for headers."""

    header_seconds = 10.0

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self.header_timer: asyncio.TimerHandle | None = None
        self.expect_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self.stop_expecting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        waiting = self.cycle is None or self.cycle.response_complete
        if waiting and self.header_timer is None:
            self.expect_headers()
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self.stop_expecting()

    def expect_headers(self) -> None:
        self.header_timer = self.loop.call_later(self.header_seconds, self.give_up)

    def stop_expecting(self) -> None:
        if self.header_timer is not None:
            self.header_timer.cancel()
            self.header_timer = None

    def give_up(self) -> None:
        """The headers did not come in time."""
        self.header_timer = None
        if self.transport is not None and not self.transport.is_closing() and (self.cycle is None or self.cycle.response_complete):
            self.transport.close()
