"""`/v1/files` and `/v1/fine_tuning/jobs`: code written for the hosted API that is closing runs here by changing `base_url`."""
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, MaxLen, MinLen
from fastapi import APIRouter, Depends, Request
from fastapi.responses import FileResponse
from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.concurrency import run_in_threadpool

from luthier.serving.door import needs
from luthier.serving.jobs.store import OPEN, Job, Store, StoredFile, new_job_id
from luthier.serving.jobs.supervisor import Supervisor, wants
from luthier.serving.refusals import ApiError
from luthier.serving.service import service_of, visitor_of
from luthier.serving.shapes import Shape, parsed

router = APIRouter(dependencies=[Depends(needs("fine-tuning"))])
PURPOSES = ("fine-tune",)


@dataclass
class Tuning:
    """What a server that tunes has beside: the store, its supervisor, and what can be tuned how."""

    store: Store
    supervisor: Supervisor
    methods: tuple[str, ...]
    """Kinds of training that exist here: supervised, dpo."""
    bases: Callable[[str], str | None]
    """The base that a model id stands for, or None."""
    checkpoints: Callable[[Job], list[dict]]
    """Of a job: {step, train_loss, valid_loss} of each that is whole."""


# ---- files --------------------------------------------------------------------------------------
@router.post("/v1/files")
async def upload(request: Request) -> dict:
    """Take a file in, part by part, without ever holding it in memory."""
    tuning = tuning_of(request)
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data" or b"boundary" not in options:
        raise ApiError(415, "files come as multipart/form-data", code="unsupported_media_type")
    staged = tuning.store.files_folder / f".staging-{secrets.token_hex(8)}"
    form = Form(staged, options[b"boundary"])
    try:
        async for block in request.stream():
            await run_in_threadpool(form.write, block)
        form.close()
        unknown = sorted(set(form.fields) - {"purpose"})
        if unknown:
            raise ApiError(400, f"the parameter {unknown[0]!r} is unknown or not supported here", param=unknown[0], code="unsupported_parameter")
        if form.fields.get("purpose") not in PURPOSES:
            raise ApiError(400, f"purpose must be one of: {', '.join(PURPOSES)}", param="purpose", code="invalid_value")
        if not form.name or not staged.stat().st_size:
            raise ApiError(400, "there is no file, or it is empty", param="file", code="invalid_value")
        found = await run_in_threadpool(tuning.store.keep_file, visitor_of(request).name, form.name, form.fields["purpose"], staged)
    except FormParserError:
        raise ApiError(400, "the form cannot be read", code="invalid_form") from None
    finally:
        form.close()
        staged.unlink(missing_ok=True)
    return file_shape(found)


class Form:
    """One file and a few short fields, written as they come."""

    MOST_FIELD = 4096

    def __init__(self, path, boundary: bytes):
        self.fields: dict[str, str] = {}
        self.name, self.part, self.header, self.value = "", "", b"", b""
        self.headers: dict[bytes, bytes] = {}
        self.stream = open(path, "wb")
        self.parser = MultipartParser(boundary, {
            "on_part_begin": self.begin, "on_header_field": self.header_field, "on_header_value": self.header_value, "on_header_end": self.header_end,
            "on_headers_finished": self.headers_finished, "on_part_data": self.data, "on_part_end": self.end,
        })

    def write(self, block: bytes) -> None:
        self.parser.write(block)

    def close(self) -> None:
        self.stream.close()

    def begin(self) -> None:
        self.headers, self.header, self.value, self.part = {}, b"", b"", ""

    def header_field(self, data: bytes, start: int, end: int) -> None:
        self.header += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self.value += data[start:end]

    def header_end(self) -> None:
        if len(self.headers) > 16 or len(self.value) > self.MOST_FIELD:
            raise FormParserError("headers of a part are too long")
        self.headers[self.header.lower()] = self.value
        self.header, self.value = b"", b""

    def headers_finished(self) -> None:
        _, options = parse_options_header(self.headers.get(b"content-disposition", b""))
        self.part = options.get(b"name", b"").decode("utf-8", "replace")[:64]
        if self.part == "file":
            if self.name:
                raise FormParserError("two files")
            self.name = options.get(b"filename", b"file").decode("utf-8", "replace").replace("\\", "/").rsplit("/", 1)[-1][:200] or "file"
        elif len(self.fields) >= 16:
            raise FormParserError("too many fields")
        else:
            self.fields[self.part] = ""

    def data(self, data: bytes, start: int, end: int) -> None:
        if self.part == "file":
            self.stream.write(data[start:end])
        elif len(self.fields[self.part]) + end - start > self.MOST_FIELD:
            raise FormParserError("a field is too long")
        else:
            self.fields[self.part] += data[start:end].decode("utf-8", "replace")

    def end(self) -> None:
        self.stream.flush()


@router.get("/v1/files")
async def files(request: Request) -> dict:
    found = tuning_of(request).store.files(visitor_of(request).name)
    purpose, order = request.query_params.get("purpose"), request.query_params.get("order", "desc")
    if order not in ("asc", "desc"):
        raise ApiError(400, f"order is {order[:20]!r}; allowed is asc or desc", param="order", code="invalid_value")
    found = found if order == "desc" else found[::-1]
    result = page(request, [file_shape(item) for item in found if purpose in (None, item.purpose)], most=10_000, more=("purpose", "order"))
    ids = [item["id"] for item in result["data"]]
    return {**result, "first_id": ids[0] if ids else "", "last_id": ids[-1] if ids else ""}  # the public document asks for strings


@router.get("/v1/files/{file_id}")
async def file(request: Request, file_id: str) -> dict:
    return file_shape(stored(request, file_id))


@router.get("/v1/files/{file_id}/content")
async def content(request: Request, file_id: str) -> FileResponse:
    found = stored(request, file_id)
    return FileResponse(tuning_of(request).store.path(found.id), media_type="application/octet-stream")


@router.delete("/v1/files/{file_id}")
async def drop(request: Request, file_id: str) -> dict:
    found = stored(request, file_id)
    if not tuning_of(request).store.drop_file(found.id, found.owner):
        raise ApiError(409, "a job that is not finished still needs this file", param="file_id", code="in_use")
    return {"id": found.id, "object": "file", "deleted": True}


def stored(request: Request, file_id: str) -> StoredFile:
    found = tuning_of(request).store.file(file_id, visitor_of(request).name)
    if found is None:
        raise ApiError(404, f"there is no file {file_id[:64]!r}", param="file_id", code="file_not_found")
    return found


def file_shape(found: StoredFile) -> dict:
    return {"id": found.id, "object": "file", "bytes": found.bytes, "created_at": found.created, "filename": found.name, "purpose": found.purpose, "status": "processed"}


# ---- jobs ---------------------------------------------------------------------------------------
class Hyperparameters(Shape):
    n_epochs: Literal["auto"] | Annotated[int, Ge(1), Le(50)] = "auto"
    batch_size: Literal["auto"] | Annotated[int, Ge(1), Le(256)] = "auto"
    learning_rate_multiplier: Literal["auto"] | Annotated[float, Gt(0), Le(100)] = "auto"


class DpoHyperparameters(Hyperparameters):
    beta: Literal["auto"] | Annotated[float, Gt(0), Le(2)] = "auto"


class Supervised(Shape):
    hyperparameters: Hyperparameters = Hyperparameters()


class Dpo(Shape):
    hyperparameters: DpoHyperparameters = DpoHyperparameters()


class Method(Shape):
    type: Annotated[str, MaxLen(32)]
    supervised: Supervised | None = None
    dpo: Dpo | None = None


class JobRequest(Shape):
    model: Annotated[str, MinLen(1), MaxLen(256)]
    training_file: Annotated[str, MinLen(1), MaxLen(64)]
    validation_file: Annotated[str, MinLen(1), MaxLen(64)] | None = None
    method: Method | None = None
    hyperparameters: Hyperparameters | None = None
    suffix: Annotated[str, MinLen(1), MaxLen(64)] | None = None
    seed: Annotated[int, Ge(0), Le(2**31 - 1)] | None = None
    metadata: Annotated[dict[Annotated[str, MaxLen(64)], Annotated[str, MaxLen(512)]], MaxLen(16)] | None = None
    integrations: Annotated[list, MaxLen(0)] | None = None


@router.post("/v1/fine_tuning/jobs")
async def create(request: Request) -> dict:
    """Queue a job; it is on the disk before the answer. `Idempotency-Key` makes a repeated request the same job."""
    tuning, visitor, wanted = tuning_of(request), visitor_of(request), await parsed(request, JobRequest)
    if wanted.suffix is not None and not all(letter.isascii() and (letter.isalnum() or letter in "-_") for letter in wanted.suffix):
        raise ApiError(400, "a suffix holds letters, digits, - and _", param="suffix", code="invalid_value")
    if tuning.bases(wanted.model) is None:
        raise ApiError(400, f"{wanted.model[:80]!r} cannot be tuned here; /v1/models lists the bases", param="model", code="model_not_available")
    for name in ("training_file", "validation_file"):
        if (given := getattr(wanted, name)) is not None and tuning.store.file(given, visitor.name) is None:
            raise ApiError(400, f"there is no file {given!r}", param=name, code="invalid_file")
    method = method_of(wanted, tuning.methods)
    key = visitor.key
    if key is not None and key.jobs is not None and sum(job.status in OPEN for job in tuning.store.jobs(visitor.name)) >= key.jobs:
        raise ApiError(429, f"this key may have {key.jobs} jobs that are not finished", code="rate_limit_exceeded", headers={"Retry-After": "60"})
    job = Job(
        new_job_id(), visitor.name, int(time.time()), wanted.model, wanted.training_file, wanted.validation_file, method, method[method["type"]]["hyperparameters"],
        secrets.randbelow(2**31) if wanted.seed is None else wanted.seed, wanted.suffix, wanted.metadata, idempotency=(request.headers.get("idempotency-key") or "")[:128] or None,
    )
    found = await run_in_threadpool(tuning.store.create, job)
    tuning.supervisor.wake.set()
    return job_shape(found)


def method_of(wanted: JobRequest, known: tuple[str, ...]) -> dict:
    """The method with its hyper-parameters, also from the older field; a kind that does not exist here is refused by its name."""
    kind = wanted.method.type if wanted.method else "supervised"
    if kind not in known:
        raise ApiError(400, f"the method {kind!r} is not supported here; there are: {', '.join(known)}", param="method.type", code="unsupported_parameter")
    if wanted.method and wanted.hyperparameters:
        raise ApiError(400, "give method or hyperparameters, not both", param="hyperparameters", code="invalid_value")
    if wanted.method and any(getattr(wanted.method, other) is not None for other in ("supervised", "dpo") if other != kind):
        raise ApiError(400, f"method.type is {kind!r}, and the settings of another are given", param="method", code="invalid_value")
    if kind == "dpo":
        settings = (wanted.method.dpo or Dpo()).hyperparameters
    else:
        settings = wanted.hyperparameters or ((wanted.method.supervised if wanted.method else None) or Supervised()).hyperparameters
    return {"type": kind, kind: {"hyperparameters": settings.model_dump()}}


@router.get("/v1/fine_tuning/jobs")
async def jobs(request: Request) -> dict:
    found = tuning_of(request).store.jobs(visitor_of(request).name)
    return page(request, [job_shape(job) for job in found], most=100)


@router.get("/v1/fine_tuning/jobs/{job_id}")
async def job(request: Request, job_id: str) -> dict:
    return job_shape(own(request, job_id))


@router.post("/v1/fine_tuning/jobs/{job_id}/{action}")
async def act(request: Request, job_id: str, action: str) -> dict:
    """cancel, pause or resume."""
    if action not in ("cancel", "pause", "resume"):
        raise ApiError(404, "there is no such route", code="not_found")
    tuning, found = tuning_of(request), own(request, job_id)
    if not await run_in_threadpool(wants, tuning.store, found, action):
        raise ApiError(400, f"a job that is {found.status} cannot be {action}{'d' if action.endswith('e') else 'led'}", param="fine_tuning_job_id", code="invalid_state")
    tuning.supervisor.wake.set()
    return job_shape(own(request, job_id))


@router.get("/v1/fine_tuning/jobs/{job_id}/events")
async def events(request: Request, job_id: str) -> dict:
    return page(request, tuning_of(request).store.events(own(request, job_id).id), most=1000)


@router.get("/v1/fine_tuning/jobs/{job_id}/checkpoints")
async def checkpoints(request: Request, job_id: str) -> dict:
    tuning, found = tuning_of(request), own(request, job_id)
    rows = await run_in_threadpool(tuning.checkpoints, found)
    model = found.fine_tuned_model or f"ft:{found.model}:{found.suffix or 'luthier'}:{found.id[-8:]}"
    shapes = [
        {"id": f"ftckpt_{found.id[7:]}_{row['step']}", "object": "fine_tuning.job.checkpoint", "created_at": row["created"], "fine_tuned_model_checkpoint": f"{model}:ckpt-step-{row['step']}",
         "fine_tuning_job_id": found.id, "step_number": row["step"], "metrics": {"step": row["step"], **{name: row[name] for name in ("train_loss", "full_valid_loss") if row.get(name) is not None}}}
        for row in rows
    ]
    result = page(request, shapes, most=100)
    there = result["data"]
    return {**result, "first_id": there[0]["id"] if there else None, "last_id": there[-1]["id"] if there else None}


def own(request: Request, job_id: str) -> Job:
    """A job of the visitor's; another's is as if it were not there."""
    found = tuning_of(request).store.job(job_id, visitor_of(request).name)
    if found is None:
        raise ApiError(404, f"there is no job {job_id[:64]!r}", param="fine_tuning_job_id", code="job_not_found")
    return found


def job_shape(job: Job) -> dict:
    return {
        "id": job.id, "object": "fine_tuning.job", "created_at": job.created, "error": job.error, "finished_at": job.finished, "fine_tuned_model": job.fine_tuned_model,
        "hyperparameters": {name: value for name, value in job.hyperparameters.items() if name != "beta"}, "model": job.model, "organization_id": "luthier",
        "result_files": [job.result_file] if job.result_file and job.status == "succeeded" else [], "status": job.status, "trained_tokens": job.trained_tokens, "training_file": job.training_file,
        "validation_file": job.validation_file, "seed": job.seed, "estimated_finish": None, "integrations": [], "metadata": job.metadata, "method": job.method,
    }


def page(request: Request, items: list[dict], *, most: int, more: tuple[str, ...] = ()) -> dict:
    """One page of a list: `limit` items behind the one named by `after`; what else is asked for is refused by its name."""
    if unknown := sorted(set(request.query_params) - {"limit", "after", *more}):
        raise ApiError(400, f"the parameter {unknown[0][:64]!r} is unknown or not supported here", param=unknown[0][:64], code="unsupported_parameter")
    asked = request.query_params.get("limit", "20" if most <= 1000 else str(most))
    if not asked.isascii() or not asked.isdigit() or not 1 <= int(asked) <= most:
        raise ApiError(400, f"limit is {asked[:20]!r}; allowed is 1 to {most}", param="limit", code="invalid_value")
    if (after := request.query_params.get("after")) is not None:
        places = [at for at, item in enumerate(items) if item["id"] == after]
        if not places:
            raise ApiError(400, f"there is no {after[:64]!r} in this list", param="after", code="invalid_value")
        items = items[places[0] + 1:]
    return {"object": "list", "data": items[: int(asked)], "has_more": len(items) > int(asked)}


def tuning_of(request: Request) -> Tuning:
    return service_of(request).more["tuning"]


