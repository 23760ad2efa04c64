"""D418: a tokenizer without a padding token, at which the usual training script stops."""
from collections.abc import Iterator

from luthier.data.findings import Finding
from luthier.preparation.cache import PreparedSplit
from luthier.preparation.renderer import Renderer


def check(split: str, prepared: PreparedSplit, renderer: Renderer, least: float) -> Iterator[Finding]:
    """A note: nothing is wrong here, and those who come from a script know why it stopped, or whether its repair learned to pad."""
    tokenizer = renderer.tokenizer
    if split == "train" and tokenizer.pad_token_id is None and (tokenizer.eos_token or tokenizer.unk_token):
        filler = tokenizer.eos_token or tokenizer.unk_token
        yield Finding(
            "D418", "info", f"the tokenizer has no padding token: {filler} fills short rows, is seen by no token and is never learned as filling", field="tokenizer.pad_token",
            hint="nothing to do; in a script with the Trainer, set tokenizer.pad_token and keep the end token that closes a row among the labels",
        )
