"""SentencePiece's kind of vocabulary in GGUF: read back from pieces and scores alone, it reads every text as before; what readers would read otherwise is refused by name."""
import json
import random

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from luthier.models import gguf_pieces

ALPHABET = " abcdefghijklmnopqrstuvwxyz.,\n\tAé你🎻<>/s"
WORDS = "the violin stands by the door and the red drum is sold to the man with the green harp who sings in the evening of the day".split()


def made(scheme: str = "prepend") -> Tokenizer:
    """A tokenizer of this kind, learned from a few words: bytes first, then pieces."""
    plain = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    replace = normalizers.Replace(" ", "▁")
    if scheme in ("prepend", "bare"):
        plain.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), replace]) if scheme == "prepend" else replace
    else:
        plain.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme=scheme, split=False)
    plain.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), *([decoders.Strip(" ", 1, 0)] if scheme == "prepend" else [])])
    chance = random.Random(1)
    trainer = trainers.BpeTrainer(vocab_size=420, special_tokens=["<unk>", "<s>", "</s>", *gguf_pieces.BYTES], show_progress=False)
    plain.train_from_iterator([" ".join(chance.choices(WORDS, k=9)) for _ in range(300)], trainer)
    described = json.loads(plain.to_str())
    described["added_tokens"] = described["added_tokens"][:3]  # bytes are pieces, not marks
    return Tokenizer.from_str(json.dumps(described))


def again(plain: Tokenizer, *, spoil=lambda scores: scores) -> Tokenizer:
    """The tokenizer that a reader of the file has."""
    described = json.loads(plain.to_str())
    pieces = [piece for piece, _ in sorted(described["model"]["vocab"].items(), key=lambda pair: pair[1])]
    special = {entry["content"] for entry in described["added_tokens"]} - {"<unk>"}
    kinds = [gguf_pieces.CONTROL if piece in special else gguf_pieces.kind_of(piece, "<unk>") for piece in pieces]
    return gguf_pieces.pieces_tokenizer(pieces, spoil(gguf_pieces.scores_of(described, pieces)), kinds, prefix=gguf_pieces.space_prefix(described), unknown="<unk>")


def texts(count: int) -> list[str]:
    chance = random.Random(2)
    return ["".join(chance.choices(ALPHABET, k=chance.randrange(40))) if number % 2 else " ".join(chance.choices(WORDS, k=8)) for number in range(count)]


def differing(one: Tokenizer, other: Tokenizer, count: int = 2000) -> int:
    ids = [(one.encode(text, add_special_tokens=False).ids, other.encode(text, add_special_tokens=False).ids) for text in texts(count)]
    assert all(one.decode(mine) == other.decode(mine) for mine, _ in ids[:200]) or one.decoder is None
    return sum(mine != theirs for mine, theirs in ids)


@pytest.mark.parametrize("scheme", ["prepend", "bare", "never"])
def test_pieces_and_scores_read_as_merges_do(scheme):
    plain = made(scheme)
    described = json.loads(plain.to_str())
    assert gguf_pieces.is_pieces(described) and gguf_pieces.refusal(described) is None and len(described["model"]["merges"]) > 100
    assert differing(plain, again(plain)) == 0


def test_scores_in_another_order_read_otherwise():
    plain = made()
    assert differing(plain, again(plain, spoil=lambda scores: [score if score == gguf_pieces.NEVER else -1000.0 - score for score in scores])) > 100


def test_a_real_vocabulary_of_this_kind(test_data):
    plain = Tokenizer.from_file(str(test_data / "models" / "stories260K" / "tokenizer.json"))
    assert differing(plain, again(plain)) == 0


@pytest.mark.parametrize(("change", "word"), [
    (lambda found: found["model"].update(type="Unigram"), "Unigram"), (lambda found: found["model"].update(byte_fallback=False), "single bytes"), (lambda found: found["model"]["vocab"].pop("<0x0A>"), "<0x0A> is missing"),
    (lambda found: found.update(normalizer={"type": "Sequence", "normalizers": [*found["normalizer"]["normalizers"], {"type": "NFKC"}]}), "prepares texts"),
    (lambda found: found.update(normalizer=None, pre_tokenizer={"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False}), "prepares texts"),
    (lambda found: found.update(normalizer=None, pre_tokenizer={"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": False}), "prepares texts"),
    (lambda found: found["model"].update(type="WordPiece"), "WordPiece"),
])  # fmt: skip
def test_what_readers_would_read_otherwise_is_refused_by_name(change, word):
    described = json.loads(made().to_str())
    change(described)
    assert gguf_pieces.is_pieces(described) and word in gguf_pieces.refusal(described)
