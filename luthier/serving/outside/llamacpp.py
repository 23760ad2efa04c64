"""llama.cpp's server in a process of its own: one GGUF file, as `luthier export --to gguf` writes and proves it."""
from collections.abc import Mapping
from typing import ClassVar

from luthier.generation.choosing import Likelihood
from luthier.serving.outside.kind import Asked, Shown


class LlamaCpp:
    """`llama-server`."""

    name: ClassVar[str] = "llamacpp"
    program: ClassVar[str] = "llama-server"
    install: ClassVar[str] = "install llama.cpp (`brew install llama.cpp`, a release of github.com/ggml-org/llama.cpp, or your system's package) so that llama-server is on PATH, or name a running one with --engine-url http://127.0.0.1:8080"
    likelihoods: ClassVar[bool] = False
    reads: ClassVar[str] = "gguf"
    key_variable: ClassVar[str] = "LLAMA_API_KEY"
    environment: ClassVar[Mapping[str, str]] = {}

    def command(self, program: str, shown: Shown, port: int) -> list[str]:
        return [
            program, "--model", str(shown.base), "--alias", shown.id, "--host", "127.0.0.1", "--port", str(port), "--ctx-size", str(shown.context * shown.max_rows), "--parallel", str(shown.max_rows), "--no-webui",
        ]

    def body(self, asked: Asked) -> dict:
        body = {
            "model": asked.model, "prompt": asked.prompt, "stream": True, "stream_options": {"include_usage": True}, "max_tokens": asked.max_tokens, "n_predict": asked.max_tokens, "temperature": asked.temperature,
            "top_p": asked.top_p, "top_k": asked.top_k, "min_p": 0.0, "typical_p": 1.0, "repeat_penalty": 1.0, "seed": asked.seed, "presence_penalty": asked.presence_penalty, "frequency_penalty": asked.frequency_penalty,
            "stop": [*asked.stop, *asked.stop_words],
        }
        if asked.bias:
            body["logit_bias"] = [[token, value] for token, value in asked.bias.items()]
        if asked.schema is not None:
            body["json_schema"] = asked.schema
        return body

    def tokens_body(self, model: str, text: str) -> dict:
        return {"content": text, "add_special": False, "parse_special": False}

    def likelihoods_of(self, choice: dict) -> tuple[Likelihood, ...]:
        return ()
