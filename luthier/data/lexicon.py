"""Word lists as data files: each a JSON object of lists, with `source` saying where it comes from."""
import json
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).with_name("words")


@cache
def lexicon(name: str) -> dict:
    """The lists of `words/NAME.json`."""
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
