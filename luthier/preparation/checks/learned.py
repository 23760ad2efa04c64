"""D411: nothing, or next to nothing, would be learned."""
from collections.abc import Iterator

from luthier.data.findings import Finding
from luthier.preparation.cache import PreparedSplit
from luthier.preparation.examples import NOTHING_LEARNED
from luthier.preparation.renderer import Renderer
from luthier.preparation.store import TokenStore

HINT = "check the roles and weights of the turns; luthier check --show 3 prints which tokens are learned"


def check(split: str, prepared: PreparedSplit, renderer: Renderer, least: float) -> Iterator[Finding]:
    """An error on the training split, a warning on rows that leave."""
    store = prepared.store
    if split == "train" and renderer.head == "causal" and not learned_elsewhere(store):
        share = store.tokens_learned / max(1, store.tokens + prepared.cut)
        if store.tokens_learned == 0 or share < least:
            yield Finding("D411", "error", f"{store.tokens_learned:,} of {store.tokens + prepared.cut:,} training tokens would be learned ({share:.2%}); the least is {least:.2%}", hint=HINT)
    if count := prepared.left_out.get(NOTHING_LEARNED, 0):
        yield Finding("D411", "warning", f"{count:,} {split} rows hold nothing to learn and are left out", rows=prepared.left_out_rows[NOTHING_LEARNED], count=count, hint=HINT)


def learned_elsewhere(store: TokenStore) -> bool:
    """Whether what is learned does not stand in the rows: a class, a number, or answers that the model writes to prompts."""
    return len(store) > 0 and not store.tokens_learned and (store[0].label is not None or store.values is not None)
