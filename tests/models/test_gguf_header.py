"""A GGUF file of others may claim anything: what its bytes do not bear out is refused at once, and nothing is made of it before."""
import struct
import time

import numpy as np
import pytest
from fuzzing import fuzzed

from luthier.errors import LuthierError, Refused
from luthier.models import gguf_header
from luthier.models.gguf import context_of, tokenizer_of
from luthier.models.gguf_header import header_of

COUNTS = [300, pytest.param(100_000, marks=pytest.mark.nightly)]
FIELDS, TENSORS = struct.pack("<4sIQQ", b"GGUF", 3, 0, 1), struct.pack("<4sIQQ", b"GGUF", 3, 1, 0)


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def field(key: str, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def tensor(name: str, shape=(32,), kind: int = 0, begin: int = 0) -> bytes:
    return text(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape) + struct.pack("<IQ", kind, begin)


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> bytes:
    import gguf

    path = tmp_path_factory.mktemp("gguf") / "good.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(128)
    writer.add_rope_freq_base(1e4)
    letters = [chr(number) for number in range(33, 127)]
    tokens = ["<s>", "</s>", *letters, "ab", "abc", "Ġ", "Ġa"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([3, 3] + [1] * (len(tokens) - 2))
    writer.add_token_merges(["a b", "ab c", "Ġ a"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_add_bos_token(True)
    writer.add_chat_template("{{ messages }}")
    for name, shape in (("token_embd.weight", (8, 32)), ("output_norm.weight", (32,))):
        writer.add_tensor(name, np.ones(shape, dtype=np.float32))
    for write in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file, writer.close):
        write()
    return path.read_bytes()


def put(folder, data: bytes):
    path = folder / "model.gguf"
    path.write_bytes(data)
    return path


def test_it_reads_what_the_writers_own_reader_reads(good, tmp_path):
    import gguf

    path = put(tmp_path, good)
    theirs = {name: entry.contents() for name, entry in gguf.GGUFReader(path).fields.items() if not name.startswith("GGUF.")}
    assert header_of(path) == theirs
    tokenizer, template = tokenizer_of(path)
    assert tokenizer("abc a")["input_ids"] == [0, tokenizer.convert_tokens_to_ids("abc"), tokenizer.convert_tokens_to_ids("Ġa")]
    assert (context_of(path), template, tokenizer.eos_token) == (128, "{{ messages }}", "</s>")


HUGE = 1 << 62
HOSTILE = {
    "another file": b"PK\x03\x04" + bytes(60),
    "cut short": FIELDS[:13],
    "a version to come": struct.pack("<4sIQQ", b"GGUF", 9, 0, 0),
    "tensors without end": struct.pack("<4sIQQ", b"GGUF", 3, HUGE, 0),
    "fields without end": struct.pack("<4sIQQ", b"GGUF", 3, 0, HUGE),
    "a key without end": FIELDS + struct.pack("<Q", HUGE),
    "a string without end": FIELDS + field("a", 8, struct.pack("<Q", HUGE)),
    "a list without end": FIELDS + field("a", 9, struct.pack("<IQ", 4, HUGE)),
    "a list of strings without end": FIELDS + field("a", 9, struct.pack("<IQ", 8, HUGE)),
    "a list that the file cannot hold": FIELDS + field("a", 9, struct.pack("<IQ", 12, 1 << 21)),
    "strings that the file cannot hold": FIELDS + field("a", 9, struct.pack("<IQ", 8, 1 << 21)),
    "lists in lists": FIELDS + field("a", 9, struct.pack("<IQ", 9, 1)) * 3,
    "an unknown kind": FIELDS + field("a", 77, bytes(8)),
    "no UTF-8": FIELDS + field("a", 8, struct.pack("<Q", 2) + b"\xff\xfe"),
    "a field twice": struct.pack("<4sIQQ", b"GGUF", 3, 0, 2) + field("a", 0, b"\1") * 2,
    "alignment 0": FIELDS + field("general.alignment", 4, struct.pack("<I", 0)),
    "alignment 24": FIELDS + field("general.alignment", 4, struct.pack("<I", 24)),
    "a tensor beyond the end": TENSORS + tensor("a", (1 << 20,)) + bytes(64),
    "an offset that overflows": TENSORS + tensor("a", begin=(1 << 64) - 32) + bytes(256),
    "a shape that overflows": TENSORS + tensor("a", (1 << 33, 1 << 33)) + bytes(256),
    "no axes": TENSORS + tensor("a", ()) + bytes(256),
    "many axes": TENSORS + tensor("a", (1,) * 9) + bytes(256),
    "an empty shape": TENSORS + tensor("a", (0,)) + bytes(256),
    "an unknown type": TENSORS + tensor("a", kind=999) + bytes(256),
    "a broken block": TENSORS + tensor("a", (31,), kind=8) + bytes(256),
    "a tensor twice": struct.pack("<4sIQQ", b"GGUF", 3, 2, 0) + tensor("a") + tensor("a", begin=128) + bytes(512),
    "tensors on each other": struct.pack("<4sIQQ", b"GGUF", 3, 2, 0) + tensor("a") + tensor("b", begin=32) + bytes(512),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_false_claim_is_refused_at_once(name, tmp_path):
    path = put(tmp_path, HOSTILE[name])
    began = time.process_time()
    with pytest.raises(Refused) as told:
        header_of(path)
    assert told.value.code == "S102" and time.process_time() - began < 0.1


def test_what_is_refused_is_refused_for_its_fault(tmp_path):
    """The same files without the fault are read, so that no case above is refused for another reason."""
    assert header_of(put(tmp_path, FIELDS + field("general.alignment", 4, struct.pack("<I", 64)))) == {"general.alignment": 64}
    assert header_of(put(tmp_path, FIELDS + field("a", 9, struct.pack("<IQ", 8, 2) + text("x") + text("y")))) == {"a": ["x", "y"]}
    assert header_of(put(tmp_path, struct.pack("<4sIQQ", b"GGUF", 3, 2, 0) + tensor("a") + tensor("b", begin=128) + bytes(512))) == {}


def test_a_header_longer_than_is_read_is_refused(good, tmp_path, monkeypatch):
    monkeypatch.setattr(gguf_header, "MOST_BYTES", 200)
    with pytest.raises(Refused, match="claimed"):
        header_of(put(tmp_path, good))


EOS = b"tokenizer.ggml.eos_token_id\x04\x00\x00\x00"


@pytest.mark.parametrize("old, new", [(b"a b", b"a_b"), (EOS + b"\x01", EOS + b"\xff")], ids=["a merge of one part", "an id that is not there"])
def test_words_that_do_not_fit_are_refused(old, new, good, tmp_path):
    assert old in good
    with pytest.raises(Refused) as told:
        tokenizer_of(put(tmp_path, good.replace(old, new)))
    assert told.value.code == "S105"


SOUND = {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.tokens": ["a", "b", "ab"], "tokenizer.ggml.token_type": [1, 1, 1], "tokenizer.ggml.merges": ["a b"]}
UNSOUND = {
    "a token that takes long to cut": {"tokenizer.ggml.tokens": ["a", "b", "x" * 600]}, "a kind too few": {"tokenizer.ggml.token_type": [1, 1]}, "no tokens": {"tokenizer.ggml.tokens": [], "tokenizer.ggml.token_type": []},
    "tokens that are no texts": {"tokenizer.ggml.tokens": [1, 2, 3]}, "a merge of three parts": {"tokenizer.ggml.merges": ["a b ab"]}, "a score that is no number": {"tokenizer.ggml.scores": [0.0, 0.0, float("nan")]},
    "pieces without scores": {"tokenizer.ggml.model": "llama"}, "an id below 0": {"tokenizer.ggml.bos_token_id": -1}, "a template that is no text": {"tokenizer.chat_template": 7},
}


@pytest.mark.parametrize("name", UNSOUND)
def test_a_tokenizer_that_does_not_fit_together_is_refused(name, tmp_path):
    gguf_header.check_words(SOUND, tmp_path)
    with pytest.raises(Refused, match="fit together"):
        gguf_header.check_words(SOUND | UNSOUND[name], tmp_path)


def words(path):
    context_of(path)
    return tokenizer_of(path)


@pytest.mark.parametrize("count", COUNTS)
def test_a_gguf_file_under_damage(count, good, tmp_path, record_property):
    found = fuzzed(words, [good], count, tmp_path, suffix=".gguf", allowed=(LuthierError,))
    record_property("figure", ("E-6", "damaged GGUF files, header and tokenizer", f"{count:,}: 0 crashes, slowest {1000 * found['slowest']:.0f} ms, {found['grown_mib']:.0f} MiB grown"))
    assert 0 < found["answered"] < count


def test_a_reader_that_trusts_the_header_is_caught(good, tmp_path):
    """Negative control: the writer's own reader lets all kinds of errors out."""
    import gguf

    with pytest.raises(AssertionError):
        fuzzed(lambda path: gguf.GGUFReader(path), [good], 300, tmp_path, suffix=".gguf", allowed=(LuthierError,))
