"""What a client is told when something is refused: OpenAI's error shape, fixed sentences, nothing of this machine."""
import logging

from fastapi import Request
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from luthier.errors import LuthierError
from luthier.serving.engine import Overloaded
from luthier.serving.logbook import redacted

log = logging.getLogger("luthier.serving")
KINDS = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error", 408: "timeout_error", 409: "conflict_error",
         413: "invalid_request_error", 415: "invalid_request_error", 421: "invalid_request_error", 429: "rate_limit_error", 503: "server_error"}
TOLD = {"E121": 400, "E122": 408, "E123": 500, "D410": 400, "D414": 400, "D415": 400, "D111": 400, "R140": 400, "R141": 400, "S110": 400, "S111": 400, "S112": 400, "S114": 400}
"""Errors of ours whose own sentence a client may read, and their status; all others say nothing of themselves."""


BEHIND = {
    "E120": (429, "overloaded", "the engine behind this server has too much to do; try again later"), "E125": (503, "engine_lost", "the engine behind this server does not answer; try again later"), "E126": (502, "engine_refused", "the engine behind this server does not take this request"),
}
"""Errors of an engine in another process: status, code and our own words, since theirs may name paths."""


class ApiError(Exception):
    """Refused with a status, a sentence, and the parameter that it is about."""

    def __init__(self, status: int, message: str, *, param: str | None = None, code: str | None = None, headers: dict[str, str] | None = None):
        super().__init__(message)
        self.status, self.message, self.param, self.code, self.headers = status, message, param, code, headers or {}

    def body(self) -> dict:
        """The error in OpenAI's shape; a key that stood where none belongs does not come back in it."""
        param = None if self.param is None else redacted(self.param)
        return {"error": {"message": redacted(self.message), "type": KINDS.get(self.status, "server_error"), "param": param, "code": self.code}}


def as_api_error(error: Exception) -> ApiError:
    """Any error as what a client may know of it."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, Overloaded):
        wait = {"Retry-After": str(max(1, round(error.retry_after)))}
        if error.draining:
            return ApiError(503, error.message, code="draining", headers=wait)
        return ApiError(429, error.message, code="overloaded", headers=wait)
    if isinstance(error, LuthierError) and error.code in BEHIND:
        status, code, words = BEHIND[error.code]
        return ApiError(status, words, code=code, headers={"Retry-After": "5"} if status in (429, 503) else {})
    if isinstance(error, LuthierError) and error.code in TOLD:
        return ApiError(TOLD[error.code], error.message + (f"; {error.hint}" if error.hint else ""), code={"E121": "does_not_fit", "E122": "deadline_exceeded"}.get(error.code, error.code))
    log.exception("an error inside", exc_info=error)
    return ApiError(500, "an error inside the server", code="internal_error")


def from_validation(error: ValidationError) -> ApiError:
    """The first thing that is wrong with a body, by the name of its parameter."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(str(part) for part in first["loc"] if not (isinstance(part, str) and part[:1].isupper()))[:200]
    if first["type"] == "extra_forbidden":
        return ApiError(400, f"the parameter {place!r} is unknown or not supported here", param=place, code="unsupported_parameter")
    if first["type"] == "json_invalid":
        return ApiError(400, "the body is not JSON", code="invalid_json")
    return ApiError(400, f"{place or 'the body'}: {first['msg']}"[:300], param=place or None, code="invalid_value")


async def tell(request: Request, error: Exception) -> JSONResponse:
    """The handler of every error."""
    found = as_api_error(error)
    return JSONResponse(found.body(), found.status, headers=found.headers)


async def tell_http(request: Request, error: HTTPException) -> JSONResponse:
    words = {404: "there is no such route", 405: "this route does not take this method"}
    return JSONResponse(ApiError(error.status_code, words.get(error.status_code, "refused")).body(), error.status_code)
