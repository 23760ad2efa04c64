"""The one door: who comes in, checked as a dependency of every route, on what the server itself received.

A server on a loopback address without keys lets everybody on this machine in; anywhere else a key is needed. Keys are random, kept as SHA-256
only, compared in constant time, and read again when their file changes, so that a revoked key is out within a second.
"""
import base64
import binascii
import hashlib
import hmac
import ipaddress
import json
import secrets
import time
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from pathlib import Path

from fastapi import Request

from luthier.errors import RecipeError, Refused
from luthier.files import read_json, write_json
from luthier.serving.refusals import ApiError

SCOPES = ("inference", "fine-tuning", "admin")
MOST_ADDRESSES = 10_000
SETTLED = 2_000_000_000
"""Nanoseconds after a change until a file's time is trusted to tell the next one: clocks of file systems stand still for milliseconds, some for two
seconds, and a key that is revoked within one beat of another change would stay in."""
LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")


@dataclass
class Key:
    """A key as it is kept."""

    name: str
    sha256: str
    scopes: tuple[str, ...] = SCOPES
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    streams: int | None = None
    """Requests at once."""
    jobs: int | None = None
    """Fine-tuning jobs that are not finished."""


@dataclass
class Usage:
    """What a key has used lately."""

    requests: deque = field(default_factory=deque)
    tokens: deque = field(default_factory=deque)
    running: int = 0


@dataclass(frozen=True)
class Visitor:
    """Who asks."""

    name: str
    scopes: tuple[str, ...] = SCOPES
    key: Key | None = None


# ---- keys on disk -------------------------------------------------------------------------------
def new_key(path: Path, name: str, scopes: tuple[str, ...] = SCOPES, **limits) -> str:
    """Make a key and keep its hash; the key itself is returned once and stored nowhere."""
    wrong = [scope for scope in scopes if scope not in SCOPES]
    if wrong or not name or len(name) > 64 or not name.isprintable():
        raise RecipeError(f"a key needs a name and scopes out of {', '.join(SCOPES)}", code="R182", hint="luthier keys new NAME --file keys.json")
    kept = read_keys(path) if path.exists() else []
    if any(key.name == name for key in kept):
        raise RecipeError(f"there is a key named {name!r} already", code="R182", hint="choose another name, or revoke it first")
    secret = "luthier-" + secrets.token_urlsafe(24)
    kept.append(Key(name, hashlib.sha256(secret.encode()).hexdigest(), tuple(scopes), **limits))
    write_keys(path, kept)
    return secret


def revoke_key(path: Path, name: str) -> None:
    kept = read_keys(path)
    if all(key.name != name for key in kept):
        raise RecipeError(f"there is no key named {name!r}; there are: {', '.join(key.name for key in kept) or 'none'}", code="R182", hint="luthier keys ls --file keys.json")
    write_keys(path, [key for key in kept if key.name != name])


def read_keys(path: Path) -> list[Key]:
    try:
        return [Key(**{**entry, "scopes": tuple(entry["scopes"])}) for entry in read_json(path)["keys"]]
    except (KeyError, TypeError, AttributeError):
        raise RecipeError(f"{path} is no file of keys", code="R182", file=str(path), hint="luthier keys new NAME --file keys.json makes one") from None


def write_keys(path: Path, keys: list[Key]) -> None:
    write_json(path, {"keys": [vars(key) | {"scopes": list(key.scopes)} for key in keys]})
    path.chmod(0o600)


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


class Door:
    """The dependency of every route."""

    def __init__(self, *, host: str, keys_file: Path | None = None, fixed: tuple[Key, ...] = (), allowed_hosts: tuple[str, ...] = (), failures_per_minute: int = 10):
        self.keys_file, self.fixed, self.failures_per_minute = keys_file, fixed, failures_per_minute
        self.open = keys_file is None and not fixed
        if self.open and not is_loopback(host):
            raise Refused(f"the address {host} can be reached from outside and no key is set", code="S120", hint="make one: `luthier keys new NAME --file keys.json`, then `--keys keys.json`")
        self.names = {name.lower() for name in (host, *allowed_hosts, *LOCAL_NAMES)}
        self.public: frozenset = frozenset()
        """Endpoints that answer everybody: the two probes."""
        self.failures: OrderedDict[str, deque] = OrderedDict()
        self.usage: dict[str, Usage] = {}
        self._read: tuple[tuple[int, int, int] | None, list[Key]] = (None, [])

    async def enter(self, request: Request) -> None:
        """Let a request in, or raise ApiError; leaves the visitor in the request's state."""
        if request.scope["endpoint"] in self.public:
            return
        self.check_names(request)
        request.state.visitor = self.visitor(request)

    # ---- names ----------------------------------------------------------------------------------
    def check_names(self, request: Request) -> None:
        """A Host that is not ours is a page of somebody else that points at us; so is an Origin that is not the Host."""
        hosts = [value for name, value in request.scope["headers"] if name == b"host"]
        host = hosts[0].decode("latin-1").lower() if len(hosts) == 1 else ""
        bare = host.rsplit(":", 1)[0] if host.rpartition(":")[2].isdigit() and not host.endswith("]") else host
        if bare not in self.names:
            raise ApiError(421, "this server does not answer to that host name", code="unknown_host")
        origins = [value.decode("latin-1").lower() for name, value in request.scope["headers"] if name == b"origin"]
        if any(origin not in (f"http://{host}", f"https://{host}") for origin in origins):
            raise ApiError(403, "requests from other sites are refused", code="foreign_origin")

    # ---- keys -----------------------------------------------------------------------------------
    def visitor(self, request: Request) -> Visitor:
        if self.open:
            return Visitor("local")
        address = request.client.host if request.client else ""
        self.slow_down(address)
        key = self.find(presented(request))
        if key is None:
            self.note_failure(address)
            raise ApiError(401, "a valid key is needed", code="invalid_api_key", headers={"WWW-Authenticate": 'Basic realm="luthier"'})
        return Visitor(key.name, key.scopes, key)

    def find(self, secret: str) -> Key | None:
        """The key of a secret; every kept hash is compared, so that the time tells nothing."""
        digest = hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
        found = None
        for key in self.keys():
            if hmac.compare_digest(key.sha256, digest):
                found = key
        return found

    def keys(self) -> list[Key]:
        """The keys as their file has them now; a file that is gone or broken lets nobody in."""
        if self.keys_file is None:
            return list(self.fixed)
        try:
            now, status = time.time_ns(), self.keys_file.stat()
            mark = (status.st_mtime_ns, status.st_ino, status.st_size)
            if mark != self._read[0]:
                settled = now - status.st_mtime_ns > SETTLED
                self._read = (mark if settled else None, read_keys(self.keys_file))
        except Exception:
            self._read = (None, [])
        return [*self.fixed, *self._read[1]]

    # ---- wrong keys -----------------------------------------------------------------------------
    def slow_down(self, address: str) -> None:
        times = self.failures.get(address)
        if times is not None:
            forget(times, 60)
            if len(times) >= self.failures_per_minute:
                raise ApiError(429, "too many wrong keys", code="too_many_failures", headers={"Retry-After": "60"})

    def note_failure(self, address: str) -> None:
        times = self.failures.setdefault(address, deque(maxlen=self.failures_per_minute))
        times.append((time.monotonic(), 1))
        self.failures.move_to_end(address)
        while len(self.failures) > MOST_ADDRESSES:
            self.failures.popitem(last=False)

    # ---- what a key may use ---------------------------------------------------------------------
    def begin(self, visitor: Visitor, tokens: int = 0) -> None:
        """Count a request against its key's limits; 429 where one is used up. `end` must follow."""
        usage = self.usage.setdefault(visitor.name, Usage())
        if (key := visitor.key) is not None:
            for what, times, limit, more in (("requests", usage.requests, key.requests_per_minute, 1), ("tokens", usage.tokens, key.tokens_per_minute, tokens)):
                if limit is not None:
                    forget(times, 60)
                    if sum(count for _, count in times) + more > limit:
                        wait = 60 - (time.monotonic() - times[0][0]) if times else 60
                        raise ApiError(429, f"this key may use {limit} {what} a minute", code="rate_limit_exceeded", headers={"Retry-After": str(max(1, round(wait)))})
            if key.streams is not None and usage.running >= key.streams:
                raise ApiError(429, f"this key may have {key.streams} requests running", code="rate_limit_exceeded", headers={"Retry-After": "1"})
            if key.requests_per_minute is not None:
                usage.requests.append((time.monotonic(), 1))
            if key.tokens_per_minute is not None:
                usage.tokens.append((time.monotonic(), tokens))
        usage.running += 1

    def end(self, visitor: Visitor) -> None:
        self.usage[visitor.name].running -= 1


def forget(times: deque, seconds: float) -> None:
    """Drop what is older."""
    now = time.monotonic()
    while times and now - times[0][0] > seconds:
        times.popleft()


def presented(request: Request) -> str:
    """The secret of an Authorization header: Bearer as clients send it, or the password of Basic as browsers ask for it."""
    values = [value for name, value in request.scope["headers"] if name == b"authorization"]
    if len(values) != 1:
        return ""
    scheme, _, rest = values[0].decode("latin-1").partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(rest.strip(), validate=True).decode("utf-8").partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return ""


def needs(scope: str):
    """A dependency: the visitor's key must have a scope."""

    async def check(request: Request) -> None:
        if scope not in request.state.visitor.scopes:
            raise ApiError(403, f"this key may not do that: it lacks the scope {scope}", code="missing_scope")

    return check


def keys_listed(path: Path) -> list[dict]:
    """Names, scopes and limits; never a hash."""
    return [{name: value for name, value in json.loads(json.dumps(vars(key))).items() if name != "sha256"} for key in read_keys(path)]
