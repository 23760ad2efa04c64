"""SentencePiece's kind of vocabulary in a GGUF file: pieces with scores, bytes where no piece fits.

A reader of the file joins, again and again, the two neighbours whose joint piece has the best score. tokenizer.json tells the same by merges in an
order, so the score of a piece is the rank of the first merge that makes it, negative. `pieces_tokenizer` goes the way back: every split of a piece
into two pieces is a merge, in the order of the scores. Whether both read alike is for the gate to say, on token ids.
"""
import json
from collections.abc import Mapping, Sequence

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers

SPACE = "▁"
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
NEVER = -1e6
"""The score of a piece that no merge makes."""


def refusal(described: Mapping) -> str | None:
    """Why a tokenizer of this kind cannot be written so that readers of the file read as it does; None where it can, and for other kinds."""
    model = described["model"]
    if model["type"] == "Unigram":
        return "its tokenizer is SentencePiece's Unigram, which readers of the file join by another rule"
    if model["type"] != "BPE":
        return f"its tokenizer is a {model['type']}, which the file has no word for"
    missing = [name for name in BYTES if name not in model["vocab"]]
    if not model.get("byte_fallback") or missing:
        return "its SentencePiece vocabulary has no pieces for single bytes, and readers of the file fall back to these" + (f" ({missing[0]} is missing)" if model.get("byte_fallback") else "")
    if space_prefix(described) is None:
        return "its SentencePiece tokenizer prepares texts in a way that the file has no word for"
    return None


def is_pieces(described: Mapping) -> bool:
    """Whether a tokenizer is of SentencePiece's kind rather than byte-level."""
    parts = json.dumps([described["pre_tokenizer"], described["decoder"]])
    return "ByteLevel" not in parts and (described["model"]["type"] == "Unigram" or SPACE in json.dumps([described["normalizer"], described["pre_tokenizer"], described["decoder"]], ensure_ascii=False))


def space_prefix(described: Mapping) -> bool | None:
    """Whether a space is put before every stretch of text, one that begins with a space too; None where texts are prepared in any other way."""
    steps = described["normalizer"] or {"normalizers": []}
    steps = steps.get("normalizers", [steps])
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
    if described["pre_tokenizer"] is None and steps in ([{"type": "Prepend", "prepend": SPACE}, replace], [replace]):
        return len(steps) == 2
    before = described["pre_tokenizer"] or {}
    if not steps and before.get("type") == "Metaspace" and before.get("replacement") == SPACE and before.get("split") is False and before.get("prepend_scheme") == "never":
        return False
    return None


def kind_of(piece: str, unknown: str | None) -> int:
    """What a piece of the vocabulary is to readers of the file."""
    return BYTE if piece in BYTES else UNKNOWN if piece == unknown else NORMAL


def scores_of(described: Mapping, pieces: Sequence[str]) -> list[float]:
    """A score for each piece: the sooner it is joined, the higher."""
    ranks: dict[str, int] = {}
    for rank, merge in enumerate(described["model"]["merges"]):
        left, right = merge if not isinstance(merge, str) else merge.split(" ", 1)
        ranks.setdefault(left + right, rank)
    return [-1.0 - ranks[piece] if piece in ranks else NEVER for piece in pieces]


def pieces_tokenizer(pieces: Sequence[str], scores: Sequence[float], kinds: Sequence[int], *, prefix: bool, unknown: str | None) -> Tokenizer:
    """The tokenizer of a file, as its readers join pieces."""
    vocabulary = {piece: number for number, piece in enumerate(pieces) if kinds[number] != UNUSED}
    joined = sorted((number for piece, number in vocabulary.items() if len(piece) > 1 and kinds[number] == NORMAL and scores[number] > NEVER), key=lambda number: (-scores[number], number))
    merges = [(piece[:at], piece[at:]) for piece in (pieces[number] for number in joined) for at in range(1, len(piece)) if piece[:at] in vocabulary and piece[at:] in vocabulary]
    plain = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, unk_token=unknown, fuse_unk=True, byte_fallback=True))
    replace = normalizers.Replace(" ", SPACE)
    plain.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), replace]) if prefix else replace
    plain.decoder = decoders.Sequence([decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), *([decoders.Strip(" ", 1, 0)] if prefix else [])])
    plain.add_tokens([AddedToken(piece, special=kinds[number] == CONTROL, normalized=False) for number, piece in enumerate(pieces) if kinds[number] in (CONTROL, USER_DEFINED)])
    return plain
