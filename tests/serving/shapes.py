"""Hold a response to the hand-kept shapes of the public API, and to the types of the stock client, which are generated from its OpenAPI document.

The document itself is not at hand where tests run. The client's types are read strictly (no text for a number, no name it does not know); what they
leave open, such as fields that must stand there although they are null, the hand-kept shapes ask for.
"""
import json
from functools import cache
from pathlib import Path

import yaml
from openai.types import Completion, CreateEmbeddingResponse, FileDeleted, FileObject, Model, ModelDeleted
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.fine_tuning import FineTuningJob, FineTuningJobEvent
from openai.types.fine_tuning.jobs import FineTuningJobCheckpoint
from openai.types.shared import ErrorObject
from pydantic import BaseModel

OFFICIAL: dict[str, type[BaseModel]] = {
    "chat.completion": ChatCompletion, "chat.completion.chunk": ChatCompletionChunk, "text_completion": Completion, "embeddings": CreateEmbeddingResponse, "model": Model, "model.deleted": ModelDeleted,
    "file": FileObject, "file.deleted": FileDeleted, "fine_tuning.job": FineTuningJob, "fine_tuning.job.event": FineTuningJobEvent, "fine_tuning.job.checkpoint": FineTuningJobCheckpoint, "error": ErrorObject,
}
OURS = {"chat.completion": {"passages"}, "chat.completion.chunk": {"passages"}, "model": {"parent", "root", "max_model_len", "task", "method", "run", "labels", "abstains"}}
"""What stands beside the public fields, by kind; documented in docs/serving.md."""


@cache
def schemas() -> dict:
    return yaml.safe_load(Path(__file__).with_name("openai_shapes.yaml").read_text(encoding="utf-8"))


def assert_shape(name: str, value: dict) -> dict:
    """The value, if it is exactly of the named shape by both."""
    from jsonschema import Draft202012Validator

    if name in schemas():
        Draft202012Validator({"$defs": schemas()["$defs"], **schemas()[name]}).validate(value)
    assert_official(name, value)
    return value


def assert_official(name: str, value: dict) -> None:
    """The value, if the stock client's own type takes it strictly and knows every name in it."""
    if name == "models":
        for item in value["data"]:
            assert_official("model", item)
        return
    if name == "embeddings" and any(isinstance(item["embedding"], str) for item in value["data"]):
        return  # base64, which the client decodes before its type sees it
    found = OFFICIAL[name].model_validate_json(json.dumps(value["error"] if name == "error" else value), strict=True)
    unknown = set(strange(found)) - OURS.get(name, set())
    assert not unknown, f"{name} has names that the public type does not know: {sorted(unknown)}"


def strange(value, at: str = ""):
    """Names that a type of the client took without knowing them."""
    if isinstance(value, BaseModel):
        yield from (f"{at}{name}" for name in value.model_extra or ())
        for name in type(value).model_fields:
            yield from strange(getattr(value, name), f"{at}{name}.")
    elif isinstance(value, list):
        for item in value:
            yield from strange(item, at)
