"""D413: a start token written twice, or answers that no end token closes."""
from collections.abc import Iterator

from luthier.data.findings import Finding
from luthier.preparation.cache import PreparedSplit
from luthier.preparation.renderer import Renderer

LOOKED_AT = 200


def check(split: str, prepared: PreparedSplit, renderer: Renderer, least: float) -> Iterator[Finding]:
    """Errors: the first makes training differ from use, the second makes a model that never stops, where the model writes at all."""
    if prepared.endless and renderer.head == "causal":
        yield Finding("D413", "error", f"{prepared.endless:,} learned answers of the {split} rows are not closed by an end token: a model tuned on them does not stop", count=prepared.endless, hint="use a tokenizer with an end token (eos_token), or a chat template that writes one behind each answer")
    start, store = renderer.tokenizer.bos_token_id, prepared.store
    doubled = [int(store.records[at]) + 1 for at in range(min(LOOKED_AT, len(store))) if start is not None and store[at].tokens[:2].tolist() == [start, start]]
    if doubled:
        yield Finding("D413", "error", f"{split} rows begin with two start tokens", rows=doubled[:20], count=len(doubled), hint="remove the start token from the chat template or from the texts")
