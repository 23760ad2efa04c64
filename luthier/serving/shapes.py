"""The bodies of requests, after the public OpenAPI document: what is not listed here is refused by its name, and every number has its range."""
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le, MaxLen, MinLen
from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from luthier.serving.refusals import ApiError, from_validation

Model = Annotated[str, MinLen(1), MaxLen(256)]
Seed = Annotated[int, Ge(-(2**63)), Le(2**63 - 1)]
Penalty = Annotated[float, Ge(-2), Le(2)]
Stop = Annotated[str, MinLen(1), MaxLen(256)] | Annotated[list[Annotated[str, MinLen(1), MaxLen(256)]], MaxLen(4)]
Tokens = Annotated[list[Annotated[int, Ge(0)]], MinLen(1), MaxLen(1 << 20)]


class Shape(BaseModel):
    """A body: known names only, no number that is none, no text taken for a number."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, protected_namespaces=())


class StreamOptions(Shape):
    include_usage: bool | None = None
    include_obfuscation: Literal[False] | None = None


class Sampled(Shape):
    """What chat and completions share."""

    model: Model
    n: Annotated[int, Ge(1), Le(128)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    stop: Stop | None = None
    seed: Seed | None = None
    temperature: Annotated[float, Ge(0), Le(2)] | None = None
    top_p: Annotated[float, Ge(0), Le(1)] | None = None
    top_k: Annotated[int, Ge(0), Le(1 << 20)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: Annotated[dict[str, Annotated[float, Ge(-100), Le(100)]], MaxLen(1024)] | None = None
    max_tokens: Annotated[int, Ge(1), Le(1 << 20)] | None = None
    user: Annotated[str, MaxLen(512)] | None = None

    @property
    def stops(self) -> list[str]:
        return [] if self.stop is None else [self.stop] if isinstance(self.stop, str) else self.stop


class TextPart(Shape):
    type: Literal["text"]
    text: str


class CalledFunction(Shape):
    name: Annotated[str, MinLen(1), MaxLen(256)]
    arguments: str


class ToolCall(Shape):
    id: Annotated[str, MaxLen(128)]
    type: Literal["function"]
    function: CalledFunction


class ChatMessage(Shape):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | Annotated[list[TextPart], MaxLen(256)] | None = None
    name: Annotated[str, MaxLen(128)] | None = None
    tool_calls: Annotated[list[ToolCall], MaxLen(64)] | None = None
    tool_call_id: Annotated[str, MaxLen(128)] | None = None
    refusal: None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, list):
            return "".join(part.text for part in self.content)
        return self.content or ""


class FunctionTold(Shape):
    name: Annotated[str, MinLen(1), MaxLen(64), Field(pattern=r"^[A-Za-z0-9_-]+$")]
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: Literal[False] | None = None


class Tool(Shape):
    type: Literal["function"]
    function: FunctionTold


class JsonSchema(Shape):
    name: Annotated[str, MaxLen(64)]
    description: str | None = None
    schema_: dict[str, Any] = Field(default_factory=dict, alias="schema")
    strict: bool | None = None


class ResponseFormat(Shape):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class ChatRequest(Sampled):
    messages: Annotated[list[ChatMessage], MinLen(1), MaxLen(4096)]
    max_completion_tokens: Annotated[int, Ge(1), Le(1 << 20)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Ge(0), Le(20)] | None = None
    response_format: ResponseFormat | None = None
    tools: Annotated[list[Tool], MaxLen(128)] | None = None
    tool_choice: Literal["none", "auto"] | None = None
    parallel_tool_calls: bool | None = None


class CompletionRequest(Sampled):
    prompt: str | Tokens | Annotated[list[str], MinLen(1), MaxLen(256)] | Annotated[list[Tokens], MinLen(1), MaxLen(256)]
    logprobs: Annotated[int, Ge(0), Le(5)] | None = None


class EmbeddingRequest(Shape):
    model: Model
    input: str | Tokens | Annotated[list[str], MinLen(1), MaxLen(2048)] | Annotated[list[Tokens], MinLen(1), MaxLen(2048)]
    encoding_format: Literal["float", "base64"] | None = None
    user: Annotated[str, MaxLen(512)] | None = None


class ClassifyRequest(Shape):
    model: Model
    input: str | Annotated[list[str], MinLen(1), MaxLen(2048)]
    user: Annotated[str, MaxLen(512)] | None = None


class LoadRequest(Shape):
    lora_name: Model
    lora_path: Annotated[str, MinLen(1), MaxLen(128)]
    load_inplace: bool | None = None


class UnloadRequest(Shape):
    lora_name: Model


class TokenizeRequest(Shape):
    model: Model
    prompt: str | None = None
    messages: Annotated[list[ChatMessage], MinLen(1), MaxLen(4096)] | None = None
    return_token_strs: bool | None = None


class DetokenizeRequest(Shape):
    model: Model
    tokens: Annotated[list[Annotated[int, Ge(0)]], MaxLen(1 << 20)]


async def parsed(request: Request, shape: type[Shape]):
    """The body of a request as a shape. A wrong content type is 415, anything else that is wrong 400 with the parameter's name."""
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != "application/json":
        raise ApiError(415, "the body must be application/json", code="unsupported_media_type")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise ApiError(415, "compressed bodies are not read", code="unsupported_media_type")
    raw = await request.body()
    try:
        return shape.model_validate_json(raw)
    except ValidationError as error:
        raise from_validation(error) from None
