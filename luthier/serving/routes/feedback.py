"""`POST /v1/feedback`: what people thought of an answer becomes rows that `train` learns from: a thumb a rating, an edit a pair of which the edit is chosen.

Nothing is kept of a talk until somebody says something about it, and then what the client sends: the talk, the answer, and the thumb or the better answer.
Rows lie in `runs/.serving/feedback/MODEL/ratings.jsonl` and `preferences.jsonl`, in the spellings that the data stage reads.
"""
import json
import os
import re
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import MaxLen, MinLen
from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool

from luthier.data.canonical import message_to_dict
from luthier.files import digest
from luthier.serving.door import needs
from luthier.serving.hosts import Model
from luthier.serving.refusals import ApiError
from luthier.serving.service import as_turn, new_id, service_of, visitor_of
from luthier.serving.shapes import ChatMessage, Shape, parsed
from luthier.serving.shapes import Model as ModelName

router = APIRouter(dependencies=[Depends(needs("inference"))])
RATINGS, PREFERENCES = "ratings.jsonl", "preferences.jsonl"
Said = Annotated[str, MinLen(1), MaxLen(1 << 20)]


class FeedbackRequest(Shape):
    """A judgement of one answer."""

    model: ModelName
    messages: Annotated[list[ChatMessage], MinLen(1), MaxLen(4096)]
    answer: Said
    rating: Literal["up", "down"] | None = None
    edit: Said | None = None
    completion_id: Annotated[str, MaxLen(128)] | None = None


@dataclass
class Feedback:
    """Where judgements are kept, as `service.more["feedback"]`."""

    folder: Path
    lock: threading.Lock = field(default_factory=threading.Lock)

    def keep(self, model: str, rows: dict[str, dict]) -> None:
        """Append rows by file, each whole and on the disk before anybody is told."""
        place = self.folder / folder_of(model)
        with self.lock:
            place.mkdir(parents=True, exist_ok=True)
            for name, row in rows.items():
                with open(place / name, "ab") as stream:
                    stream.write(json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")
                    stream.flush()
                    os.fsync(stream.fileno())


def folder_of(model: str) -> str:
    """A model's name as the name of one folder; what is no letter, digit or hyphen is replaced, and then the name's hash keeps two apart."""
    plain = re.sub(r"[^A-Za-z0-9_-]", "-", model)
    return plain if plain == model else f"{plain}-{digest(model)[:8]}"


@router.post("/v1/feedback")
async def give(request: Request) -> dict:
    """Take a thumb, an edit, or both."""
    service, wanted = service_of(request), await parsed(request, FeedbackRequest)
    feedback = service.more.get("feedback")
    if feedback is None:
        raise ApiError(404, "this server keeps no feedback", code="not_found")
    model = service.model(wanted.model, visitor_of(request), writes=True)
    rows = rows_of(wanted, model, time.time())
    async with service.counted(request, model, 0):
        await run_in_threadpool(feedback.keep, model.id, rows)
    return {"id": new_id("feedback"), "object": "feedback", "model": model.id, "kept": sorted(rows)}


def rows_of(wanted: FeedbackRequest, model: Model, now: float) -> dict[str, dict]:
    """The rows that a judgement gives, by file; ApiError where it says nothing that can be learned from."""
    turns = [as_turn(message) for message in wanted.messages]
    if turns[-1].role not in ("user", "tool"):
        raise ApiError(400, "messages must end where the answer begins, with what was asked", param="messages", code="invalid_value")
    if wanted.rating is None and wanted.edit is None:
        raise ApiError(400, "say something about the answer: rating (up or down), edit (a better answer), or both", param="rating", code="invalid_value")
    if wanted.edit is not None and wanted.edit.strip() == wanted.answer.strip():
        raise ApiError(400, "the edit says the same as the answer", param="edit", code="invalid_value")
    said = {"prompt": [message_to_dict(turn) for turn in turns]}
    origin = {"model": model.id, "run": model.facts.get("run"), "time": round(now, 3), "completion_id": wanted.completion_id}
    rows: dict[str, dict] = {}
    if wanted.rating is not None:
        rows[RATINGS] = {**said, "completion": wanted.answer, "label": wanted.rating == "up", **origin}
    if wanted.edit is not None:
        rows[PREFERENCES] = {**said, "chosen": wanted.edit, "rejected": wanted.answer, **origin}
    return rows
