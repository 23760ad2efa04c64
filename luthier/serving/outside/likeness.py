"""Whether an engine in another process is the model that it is taken for: it has the name, reads the same ids, and writes what the run wrote."""
from collections.abc import Sequence

from luthier.errors import GateFailed, RecipeError
from luthier.serving.outside.kind import Asked
from luthier.serving.outside.process import Watched

TEXTS = (
    "The quick brown fox jumps over the lazy dog.", "  two  spaces  ", "Grüße, 你好, здравствуй 🎻👩‍🚀", "line\nline\r\n\ttab", "1234567890 3.14 1,000", "it's I'll DON'T", "def f(x):\n    return x**2  # why", "http://127.0.0.1/?q=a&b=c",
)
"""Texts on which tokenizers part."""


def has_names(engine: Watched, wanted: Sequence[str]) -> None:
    """RecipeError (R189) where the engine answers to other names: it may serve another model."""
    there = [str(model.get("id")) for model in engine.ask("/v1/models").get("data", [])]
    if missing := [name for name in wanted if name not in there]:
        raise RecipeError(
            f"the engine at {engine.url} has no model named {missing[0]!r}; it has: {', '.join(there)[:200]}", code="R189", field="--engine-url",
            hint=f"start it so that the tuned model has this name: vllm serve ... --served-model-name {missing[0]}, llama-server ... --alias {missing[0]}",
        )


def reads_alike(engine: Watched, name: str, tokenizer) -> int:
    """Texts whose ids are equal here and there; GateFailed (X124) at the first that is not: its answers to our ids would be another model's."""
    for number, text in enumerate(TEXTS, 1):
        ours = tokenizer(text, add_special_tokens=False)["input_ids"]
        theirs = engine.ask("/tokenize", engine.kind.tokens_body(name, text)).get("tokens")
        if theirs != list(ours):
            raise GateFailed(f"the engine reads other token ids than {name} (text {number}: {str(theirs)[:60]} instead of {str(list(ours))[:60]})", code="X124", hint="start it with the model folder or file that belongs to this run")
    return len(TEXTS)


def writes_alike(engine: Watched, questions: Sequence[Asked], wanted: Sequence[str]) -> int:
    """How many greedy texts are those that the run kept; GateFailed (X124) where there are several and none is."""
    equal = 0
    for asked, text in zip(questions, wanted, strict=True):
        body = {key: value for key, value in engine.kind.body(asked).items() if key != "stream_options"}
        found = engine.ask("/v1/completions", {**body, "stream": False})["choices"][0]["text"]
        equal += found.strip() == text.strip()
    if len(wanted) > 2 and not equal:
        raise GateFailed(f"of {len(wanted)} answers that the run gave to test rows, the engine gives none: it serves another model", code="X124", hint="start it with the tuned model, not its base")
    return equal
