"""The text of tokens as they come: what the library behind a tokenizer says is what the tokenizer says, unless that has words of its own."""
import random

import pytest
from transformers import PreTrainedTokenizerFast

from luthier.generation.text import Writer, decodes_as_usual
from luthier.models.load import load


@pytest.mark.parametrize("source", ["spruce", "llama"])
def test_text_is_what_the_tokenizer_says(tiny_model, source):
    """Ends of texts, controls and broken characters among the tokens."""
    tokenizer = load(source if source == "spruce" else str(tiny_model(source))).tokenizer
    chance, writer = random.Random(3), Writer(tokenizer, [], (), None)
    assert writer.backend is not None
    for _ in range(300):
        tokens = [chance.randrange(len(tokenizer)) for _ in range(chance.randrange(12))] + chance.choice([[], list(tokenizer.all_special_ids)])
        assert writer.decode(tokens) == tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)


def test_a_tokenizer_with_words_of_its_own_is_asked_itself(byte_tokenizer):
    class Loud(PreTrainedTokenizerFast):
        def _decode(self, *given, **more) -> str:
            return super()._decode(*given, **more).upper()

    loud = Loud(tokenizer_object=byte_tokenizer.backend_tokenizer)
    assert decodes_as_usual(byte_tokenizer) and not decodes_as_usual(loud)
    tokens = byte_tokenizer("where", add_special_tokens=False)["input_ids"]
    assert Writer(loud, [], (), None).text(tokens) == "WHERE"
