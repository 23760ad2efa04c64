"""vLLM in a process of its own: a model folder, with LoRA adapters beside it."""
from collections.abc import Mapping
from typing import ClassVar

from luthier.generation.choosing import Likelihood
from luthier.serving.outside.kind import Asked, Shown

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""What --max-lora-rank may be."""
MARK = "token_id:"


class VLLM:
    """`vllm serve`."""

    name: ClassVar[str] = "vllm"
    program: ClassVar[str] = "vllm"
    install: ClassVar[str] = "python -m venv vllm-env && vllm-env/bin/pip install vllm, then put vllm-env/bin on PATH, or start vLLM yourself and name it with --engine-url http://127.0.0.1:8001"
    likelihoods: ClassVar[bool] = True
    reads: ClassVar[str] = "folder"
    key_variable: ClassVar[str] = "VLLM_API_KEY"
    environment: ClassVar[Mapping[str, str]] = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}

    def command(self, program: str, shown: Shown, port: int) -> list[str]:
        found = [
            program, "serve", str(shown.base), "--host", "127.0.0.1", "--port", str(port), "--served-model-name", shown.id, "--max-model-len", str(shown.context),
            "--max-num-seqs", str(shown.max_rows), "--dtype", "bfloat16" if shown.precision == "bf16" else "float32", "--generation-config", "vllm",
        ]
        if shown.adapters:
            rank = next((rank for rank in RANKS if rank >= shown.rank), RANKS[-1])
            found += ["--enable-lora", "--max-lora-rank", str(rank), "--max-loras", str(min(len(shown.adapters), shown.max_rows)), "--lora-modules", *(f"{name}={folder}" for name, folder in shown.adapters.items())]
        return found

    def body(self, asked: Asked) -> dict:
        body = {
            "model": asked.model, "prompt": asked.prompt, "stream": True, "stream_options": {"include_usage": True}, "max_tokens": asked.max_tokens, "temperature": asked.temperature, "top_p": asked.top_p,
            "top_k": asked.top_k or -1, "min_p": 0.0, "repetition_penalty": 1.0, "seed": asked.seed, "presence_penalty": asked.presence_penalty, "frequency_penalty": asked.frequency_penalty,
            "stop": list(asked.stop), "stop_token_ids": list(asked.stop_tokens), "skip_special_tokens": True,
        }
        if asked.bias:
            body["logit_bias"] = {str(token): value for token, value in asked.bias.items()}
        if asked.logprobs is not None:
            body |= {"logprobs": asked.logprobs, "return_tokens_as_token_ids": True}
        if asked.schema is not None:
            body["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": asked.schema}}
        return body

    def tokens_body(self, model: str, text: str) -> dict:
        return {"model": model, "prompt": text, "add_special_tokens": False}

    def likelihoods_of(self, choice: dict) -> tuple[Likelihood, ...]:
        told = choice.get("logprobs")
        if not told:
            return ()
        rows = zip(told["tokens"], told["token_logprobs"], told.get("top_logprobs") or [{}] * len(told["tokens"]), strict=True)
        return tuple(
            Likelihood(number(token), logprob, tuple(sorted(((number(other), value) for other, value in (top or {}).items()), key=lambda pair: -pair[1]))) for token, logprob, top in rows
        )


def number(name: str) -> int:
    """The id in a name such as token_id:17."""
    return int(name.removeprefix(MARK))
