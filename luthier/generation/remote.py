"""Text from a model behind an OpenAI-compatible address: one request an answer, over the standard library, with patience and without surprises.

Only `/chat/completions` is used. A key is read from an environment variable at the moment of asking and is written nowhere. No redirect is
followed: a key must not travel to another address.
"""
import http.client
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from luthier.errors import RecipeError, WorkFailed

TRIES = 4
"""Requests for one answer before giving up; waits of 1, 2 and 4 seconds lie between them, or what the server asks for."""
BUSY = (408, 425, 429, 500, 502, 503, 504)
LARGEST_REPLY = 8 << 20


@dataclass(frozen=True)
class Reply:
    """What came back."""

    text: str
    tokens_in: int
    """As the server counts them; 0 where it does not say."""
    tokens_out: int
    seconds: float
    """Wall time, retries included."""


class Endpoint:
    """One model at one address."""

    def __init__(self, url: str, model: str, *, key_variable: str | None = None, timeout: float = 60.0, field: str = "evaluation.endpoint"):
        """`field` is where the recipe names it. RecipeError for an address that is no http(s) URL, a missing model name or a key variable that is not set."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
            raise RecipeError(f"{url!r} is no address of an API", code="R166", field=f"{field}.url", hint="write it like http://localhost:8000/v1")
        if not model:
            raise RecipeError("the endpoint needs the name of a model", code="R166", field=f"{field}.model", hint=f"set {field}.model")
        if key_variable and not os.environ.get(key_variable):
            raise RecipeError(f"the environment variable {key_variable} is not set", code="R166", field=f"{field}.key_variable", hint=f"export {key_variable}=... before the run")
        self.parts, self.model, self.key_variable, self.timeout, self.field = parts, model, key_variable, timeout, field
        self.path = parts.path.rstrip("/") + "/chat/completions"

    def ask(self, messages: Sequence[dict], *, max_tokens: int) -> Reply:
        """The answer to `[{role, content}, ...]`, greedy. WorkFailed where the server refuses, stays silent or answers something else."""
        body = json.dumps({"model": self.model, "messages": list(messages), "temperature": 0, "max_tokens": max_tokens})
        began, wait = time.perf_counter(), 1.0
        for attempt in range(TRIES):
            status, headers, content = self.request(body)
            if status == 200:
                return self.reply(content, time.perf_counter() - began)
            if status and status not in BUSY:
                break
            if attempt < TRIES - 1:
                time.sleep(min(60.0, asked_wait(headers) or wait))
                wait *= 2
        what = f"answered {status}: {content[:200].decode('utf-8', 'replace')}" if status else f"did not answer: {content.decode('utf-8', 'replace')}"
        raise WorkFailed(f"{self.parts.scheme}://{self.parts.netloc}{self.path} {what}", code="E133", hint=f"check {self.field}, or ask without it")

    def request(self, body: str) -> tuple[int, dict, bytes]:
        """(status, headers, content); status 0 with the reason as content where no answer came."""
        kind = http.client.HTTPSConnection if self.parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(self.parts.hostname, self.parts.port, timeout=self.timeout)
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self.key_variable:
            headers["Authorization"] = f"Bearer {os.environ[self.key_variable]}"
        try:
            connection.request("POST", self.path, body.encode(), headers)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read(LARGEST_REPLY)
        except (OSError, http.client.HTTPException) as error:
            return 0, {}, f"{type(error).__name__}: {error}".encode()
        finally:
            connection.close()

    def reply(self, content: bytes, seconds: float) -> Reply:
        """The text and the token counts of a completion."""
        try:
            found = json.loads(content)
            text = found["choices"][0]["message"]["content"] or ""
            usage = found.get("usage") or {}
            return Reply(str(text), int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0), seconds)
        except (ValueError, KeyError, IndexError, TypeError, AttributeError):
            shown = content[:120].decode("utf-8", "replace")
            raise WorkFailed(f"{self.parts.netloc} answered no chat completion: {shown}", code="E133", hint=f"is {self.field}.url the address of an OpenAI-compatible API?") from None


def asked_wait(headers: dict) -> float | None:
    """Seconds that the server asks to wait, where it says a number."""
    value = next((value for name, value in headers.items() if name.lower() == "retry-after"), "")
    return float(value) if value.replace(".", "", 1).isdigit() else None
