"""Trains spruce's tokenizer: byte-level BPE of 4,096 tokens over the corpus, each digit a token of its own.

    python -m recipes.spruce.tokenizer CORPUS [FOLDER]      writes tokenizer.json and tokenizer_config.json (default luthier/models/spruce)

Every byte has a token, so any text goes in and comes back unchanged. Control tokens come first, so that their numbers never move.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

CONTROL = ("<|begin|>", "<|end|>", "<|pad|>", "<|system|>", "<|user|>", "<|assistant|>")
SIZE = 4096
CONTEXT = 512
TARGET = "luthier/models/spruce"
CONFIG = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "bos_token": "<|begin|>",
    "eos_token": "<|end|>",
    "pad_token": "<|pad|>",
    "extra_special_tokens": ["<|system|>", "<|user|>", "<|assistant|>"],
    "model_max_length": CONTEXT,
    "padding_side": "right",
    "clean_up_tokenization_spaces": False,
}


def texts(corpus: Path) -> Iterator[str]:
    """The training rows' text with control tokens as line breaks, so that no merge is learned across or inside them.

    Notes are passed over: their random words are there to be carried over, not to shape the vocabulary.
    """
    with open(corpus / "train.jsonl", encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            if row["source"] == "notes":
                continue
            text = row["text"]
            for token in CONTROL:
                text = text.replace(token, "\n")
            yield text


def train(corpus: Path, size: int = SIZE) -> Tokenizer:
    """A byte-level BPE whose only choices are the size and the digits; text is encoded with `<|begin|>` in front."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=list(CONTROL), initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts(corpus), trainer)
    begin = CONTROL[0]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{begin} $A", pair=f"{begin} $A {begin} $B", special_tokens=[(begin, CONTROL.index(begin))]
    )
    return tokenizer


def write(corpus: Path, folder: Path, size: int = SIZE) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    train(corpus, size).save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(CONFIG, indent=2) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("folder", type=Path, nargs="?", default=Path(TARGET))
    arguments = parser.parse_args()
    write(arguments.corpus, arguments.folder)
