"""Pairs, ratings and prompts small enough to learn in seconds."""
import json
from pathlib import Path

COLOURS = ["red", "blue", "green", "black"]
THINGS = ["violin", "drum", "flute", "harp", "piano", "cello", "guitar", "horn"]


def pairs(count: int) -> list[dict]:
    """The answer to a reader is the better one; both are equally long, so that length tells nothing."""
    rows = []
    for number in range(count):
        colour, thing = COLOURS[number % 4], THINGS[number // 4 % 8]
        rows.append({"prompt": f"where is the {colour} {thing} {number}?", "chosen": f"the {thing} is here, dear reader", "rejected": f"the {thing} is here, kind friend"})
    return rows


def write(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
