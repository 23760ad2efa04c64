"""The server: routes behind one door, and the process around them."""
import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import uvicorn
from fastapi import Depends, FastAPI, Request
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute

from luthier.errors import DiskError, LuthierError, Refused
from luthier.serving.door import Door, Key
from luthier.serving.engine import Engine
from luthier.serving.figures import Figures
from luthier.serving.hosts import Registry
from luthier.serving.logbook import keep
from luthier.serving.refusals import ApiError, tell, tell_http
from luthier.serving.routes import about, adapters, chat, completions, feedback, page, reading
from luthier.serving.service import Service
from luthier.serving.settings import ServerSettings
from luthier.serving.transport import HEADER_BYTES, Bounds, PatientProtocol
from luthier.serving.writing import Outbox

log = logging.getLogger("luthier.serving")
EVERY_METHOD = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT"]
PORTS_TRIED = 20


def build_service(settings: ServerSettings, *, keys_file: Path | None = None, fixed_keys: tuple[Key, ...] = ()) -> Service:
    """The parts of a server without models. Refused where it could be reached from outside without a key."""
    outbox, registry = Outbox(), Registry()
    door = Door(host=settings.host, keys_file=keys_file, fixed=fixed_keys, allowed_hosts=tuple(settings.allowed_hosts), failures_per_minute=settings.failures_per_minute)
    engine = Engine(registry, cache_bytes=settings.cache_megabytes << 20, max_waiting=settings.max_waiting, flush=outbox.flush)
    return Service(settings, registry, engine, door, outbox, Figures())


def build_app(service: Service, routers: tuple = ()) -> FastAPI:
    """The application. The door is a dependency of the application itself, so that a route cannot be added beside it."""

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI):
        service.outbox.loop = asyncio.get_running_loop()
        yield

    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, lifespan=lifespan, dependencies=[Depends(service.door.enter)], redirect_slashes=False)
    app.state.service = service
    for router in (about.router, adapters.router, chat.router, completions.router, reading.router, feedback.router, page.router, *routers):
        app.include_router(router)
    app.add_api_route("/{anything:path}", nowhere, methods=EVERY_METHOD, include_in_schema=False)
    for route in leaves(app.routes):
        if not isinstance(route, APIRoute):  # mounts and plain routes know no dependencies: they would stand beside the door
            raise Refused(f"the route {route} cannot be put behind the door", code="S121", hint="add it as an API route")
    service.door.public = frozenset({about.live, about.ready})
    for kind in (ApiError, LuthierError, Exception):
        app.add_exception_handler(kind, tell)
    app.add_exception_handler(HTTPException, tell_http)
    return app


def leaves(routes) -> Iterator[BaseRoute]:
    """Every route of an application, those of included routers too."""
    for route in routes:
        inner = vars(route).get("original_router")
        yield from leaves(inner.routes) if inner is not None else [route]


async def nowhere(request: Request) -> None:
    """Whatever no route takes, after the door."""
    raise ApiError(404, "there is no such route", code="not_found")


def listen(host: str, port: int) -> socket.socket:
    """A bound socket at the port, or at the next free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for candidate in range(port, port + PORTS_TRIED if port else 1):
        bound = socket.socket(family)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((host, candidate))
            return bound
        except OSError as error:
            bound.close()
            if not port or error.errno not in (98, 48):
                raise DiskError(f"cannot listen on {host}:{candidate}: {error.strerror}", code="F120", hint="choose another --host or --port") from None
    raise DiskError(f"the ports {port} to {port + PORTS_TRIED - 1} of {host} are all taken", code="F120", hint="choose another --port")


class Server(uvicorn.Server):
    """uvicorn that drains the engine when it is told to end: nothing new, what is at hand finishes or gets an error event, then the socket closes."""

    def __init__(self, config: uvicorn.Config, service: Service):
        super().__init__(config)
        self.service = service

    def handle_exit(self, sig: int, frame) -> None:
        if self.service.engine.draining:
            super().handle_exit(sig, frame)
            return
        self.service.engine.draining = True
        asyncio.get_running_loop().create_task(self.drained())

    async def drained(self) -> None:
        clean = await asyncio.to_thread(self.service.engine.drain, self.service.settings.drain_seconds)
        log.info("drained%s", "" if clean else "; what was left got an error")
        await asyncio.sleep(0.1)
        super().handle_exit(signal.SIGTERM, None)
        self._captured_signals.clear()


def make_server(service: Service, app: FastAPI) -> Server:
    """The server, not yet running."""
    settings = service.settings
    protocol = type("PatientProtocol", (PatientProtocol,), {"header_seconds": settings.header_seconds})
    return Server(uvicorn.Config(
        Bounds(app, settings, service.figures), http=protocol, ws="none", lifespan="on", loop="asyncio", log_config=None, access_log=False, server_header=False, proxy_headers=False,
        h11_max_incomplete_event_size=HEADER_BYTES, timeout_keep_alive=30, timeout_graceful_shutdown=5, backlog=512,
    ), service)


def run(service: Service, app: FastAPI, bound: socket.socket) -> None:
    """Serve until a signal comes."""
    keep()
    bound.listen(512)
    try:
        make_server(service, app).run(sockets=[bound])
    finally:
        service.engine.stop()
