"""Every reader of data under damage: it gives rows and findings, or an error of ours, and nothing else ever comes out."""
import io
import json

import pytest
from fuzzing import fuzzed

from luthier.data.findings import Finding
from luthier.data.sources import Row, read_file
from luthier.errors import LuthierError

ROWS = [
    {"messages": [{"role": "user", "content": "wie geht's? ✓"}, {"role": "assistant", "content": "gut\n\"ja\""}], "id": 7, "score": -1.5e3, "tags": ["a", None, True]},
    {"text": "a line, with; marks | and\ttabs", "label": "übrig"}, {"nested": {"a": [1, [2, {"b": "c"}]]}},
]
COUNTS = [300, pytest.param(100_000, marks=pytest.mark.nightly)]


def parquet_bytes() -> bytes:
    import pyarrow
    from pyarrow import parquet

    stream = io.BytesIO()
    parquet.write_table(pyarrow.table({"text": ["a", "bb", "ccc"] * 20, "label": [0, 1, 2] * 20, "words": [["x"], [], ["y", "z"]] * 20}), stream)
    return stream.getvalue()


SEEDS = {
    ".jsonl": ["".join(json.dumps(row) + "\n" for row in ROWS).encode(), "".join(json.dumps(row, ensure_ascii=False) + "\r\n" for row in ROWS * 3).encode(), b'{"a": 1}'],
    ".json": [json.dumps(ROWS).encode(), json.dumps(ROWS, indent=1).encode()],
    ".csv": [b'text,label\n"a, ""b""\nc",x\nplain,y\n' * 3, "text;label\nä;1\nb;2\n".encode(), b"a\tb\n1\t2\n"],
    ".txt": [b"one\n\ntwo\nlines\n\n\nthree", "ü\r\n\r\nß".encode()],
    ".conll": [b"-DOCSTART- O\n\nAnna B-PER\nlives O\nin O\nBonn B-LOC\n\nBen B-PER\n", b"a\tX\nb\tY\n\n"],
    ".parquet": [parquet_bytes()],
    ".jsonl.gz": [__import__("gzip").compress("".join(json.dumps(row) + "\n" for row in ROWS).encode())],
}


def rows_of(path) -> int:
    """Read a file to its end; anything but rows and findings is a fault."""
    count = 0
    for item in read_file(path, path.name, 1 << 20):
        assert type(item) in (Row, Finding), item
        if type(item) is Row:
            assert isinstance(item.values, dict) and item.number > 0
        else:
            assert item.message and item.code
        count += 1
    return count


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("suffix", SEEDS)
def test_a_reader_under_damage(suffix, count, tmp_path, record_property):
    found = fuzzed(rows_of, SEEDS[suffix], count, tmp_path, suffix=suffix, allowed=(LuthierError,))
    record_property("figure", ("C-20", f"damaged {suffix} files", f"{count:,}: 0 crashes, slowest {1000 * found['slowest']:.0f} ms, {found['grown_mib']:.0f} MiB grown"))


def test_a_reader_that_lets_something_out_is_caught(tmp_path):
    """Negative control: a reader that trusts its input fails at the first few."""
    with pytest.raises(AssertionError, match="JSONDecodeError|UnicodeDecodeError|KeyError|TypeError"):
        fuzzed(lambda path: [json.loads(line)["messages"] for line in path.read_text().splitlines()], SEEDS[".jsonl"], 50, tmp_path, suffix=".jsonl", allowed=(LuthierError,))
