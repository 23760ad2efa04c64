"""Files to read: made in a temporary folder, text or bytes."""
import json

import pytest

from luthier.data.sources import Finding, read


@pytest.fixture
def file(tmp_path):
    """Write a file and return its path as text: `file("a.csv", "text,label\\n")`."""

    def make(name: str, content: str | bytes) -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    return make


@pytest.fixture
def read_all(file):
    """Write a file and read it: its rows' values, and its errors."""

    def run(name: str, content: str | bytes, **limits):
        items = list(read(file(name, content), **limits))
        return [item.values for item in items if type(item) is not Finding], [item for item in items if type(item) is Finding and item.level == "error"]

    return run


@pytest.fixture
def chat_rows():
    """JSONL of `count` two-turn conversations, all different."""

    def make(count: int, start: int = 0) -> str:
        turns = ([{"role": "user", "content": f"question {at}"}, {"role": "assistant", "content": f"answer {at}"}] for at in range(start, start + count))
        return "".join(json.dumps({"messages": messages}) + "\n" for messages in turns)

    return make
