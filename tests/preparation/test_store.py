"""TokenStore: what goes in comes out, and a store is reused only when it is whole and made from the same things."""
import numpy as np
import pytest

from luthier.errors import DiskError
from luthier.preparation.examples import Example, example
from luthier.preparation.store import TokenStore


def some(count=5):
    return [example(list(range(n + 1)), [0.0] + [0.5 * (n % 3)] * n, label=n if n % 2 else None, cut=n) for n in range(1, count + 1)]


def test_what_goes_in_comes_out(tmp_path):
    store = TokenStore.build(tmp_path / "tokens", iter(some()), "key", facts=lambda: {"neutralised": 3})
    assert len(store) == 5 and store.key == "key" and store.facts["facts"] == {"neutralised": 3}
    for given, kept in zip(some(), store, strict=True):
        assert kept.tokens.tolist() == given.tokens.tolist() and kept.weights.tolist() == given.weights.tolist()
        assert (kept.label, kept.cut, kept.learned) == (given.label, given.cut, given.learned)
    assert store.lengths.tolist() == [2, 3, 4, 5, 6]
    assert (store.tokens, store.tokens_cut) == (20, 15)
    assert store.tokens_learned == sum(item.learned for item in some()) == store.learned.sum() > 0
    assert store[-1].tokens.tolist() == store[4].tokens.tolist()
    with pytest.raises(IndexError):
        store[5]


def test_an_empty_store_opens(tmp_path):
    store = TokenStore.build(tmp_path / "tokens", [], "key")
    assert len(store) == 0 and list(store) == [] and store.tokens == 0


def test_the_first_token_is_never_learned(tmp_path):
    wrong = Example(np.array([1, 2], np.int32), np.array([1, 1], np.float32))
    with pytest.raises(ValueError, match="first"):
        TokenStore.build(tmp_path / "tokens", [wrong])
    assert not (tmp_path / "tokens").exists()


def test_a_failure_while_building_leaves_the_older_store(tmp_path):
    TokenStore.build(tmp_path / "tokens", some(2), "old")

    def stream():
        yield from some(3)
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError):
        TokenStore.build(tmp_path / "tokens", stream(), "new")
    assert TokenStore.cached(tmp_path / "tokens", "old") is not None
    assert [path.name for path in tmp_path.iterdir()] == ["tokens"]


def test_cached_means_same_key_and_every_byte(tmp_path):
    folder = tmp_path / "tokens"
    assert TokenStore.cached(folder, "key") is None
    TokenStore.build(folder, some(), "key")
    assert TokenStore.cached(folder, "key") is not None
    assert TokenStore.cached(folder, "other") is None
    data = bytearray((folder / "tokens.i32").read_bytes())
    data[4] ^= 1
    (folder / "tokens.i32").write_bytes(data)
    assert TokenStore.cached(folder, "key") is None


def test_a_damaged_store_is_told(tmp_path):
    TokenStore.build(tmp_path / "tokens", some(), "key")
    with open(tmp_path / "tokens" / "weights.f32", "ab") as stream:
        stream.truncate(8)
    with pytest.raises(DiskError, match="weights.f32"):
        TokenStore(tmp_path / "tokens")
