"""Tokens to text while they come: whole characters only, stop strings cut off before anyone sees them."""
from collections.abc import Callable, Sequence

from transformers import PreTrainedTokenizerFast
from transformers.tokenization_utils_base import PreTrainedTokenizerBase


class Writer:
    """The text of one row so far.

    Tokens are decoded behind the prompt's last token, because many tokenizers drop the space before the first word they see.
    """

    def __init__(self, tokenizer, prompt: Sequence[int], stop: Sequence[str], tell: Callable[[str], None] | None):
        self.tokenizer, self.tell = tokenizer, tell
        self.backend = tokenizer.backend_tokenizer if decodes_as_usual(tokenizer) else None
        self.stop = [string for string in stop if string]
        special = set(tokenizer.all_special_ids)
        self.lead = [token for token in prompt[-1:] if token not in special]
        self.skip = len(self.decode(self.lead))
        self.told = 0
        self.cut: int | None = None

    def decode(self, tokens: Sequence[int]) -> str:
        if self.backend is not None:
            return self.backend.decode(tokens, skip_special_tokens=True)
        return self.tokenizer.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False)

    def text(self, tokens: Sequence[int]) -> str:
        """All text of the tokens, up to the stop string if one came."""
        text = self.decode([*self.lead, *tokens])[self.skip:]
        return text if self.cut is None else text[: self.cut]

    def write(self, tokens: Sequence[int]) -> bool:
        """Look at the tokens after one more came: tell what is new and sure; True when a stop string came."""
        if not self.stop and self.tell is None:
            return False
        text = self.text(tokens)
        found = [at for at in (text.find(string) for string in self.stop) if at >= 0]
        if found:
            self.cut = min(found)
            return True
        sure = len(text) - self.held_back(text)
        if self.tell is not None and sure > self.told:
            self.tell(text[self.told : sure])
            self.told = sure
        return False

    def held_back(self, text: str) -> int:
        """How many characters at the end may still change: part of a character, or the beginning of a stop string."""
        unfinished = len(text) - len(text.rstrip("\ufffd"))
        text = text[: len(text) - unfinished]
        begun = (size for string in self.stop for size in range(min(len(string), len(text)), 0, -1) if text.endswith(string[:size]))
        return unfinished + max(begun, default=0)

    def close(self, tokens: Sequence[int]) -> str:
        """The whole text; tells what was held back."""
        text = self.text(tokens)
        if self.tell is not None and len(text) > self.told:
            self.tell(text[self.told :])
            self.told = len(text)
        return text


def decodes_as_usual(tokenizer) -> bool:
    """Whether a tokenizer's own words for decoding are those of the library behind it, which then can be asked without a look at every token in Python."""
    kind = type(tokenizer)
    return isinstance(tokenizer, PreTrainedTokenizerFast) and kind.decode is PreTrainedTokenizerBase.decode and kind._decode is PreTrainedTokenizerFast._decode
