"""Whether an answer is exactly right: it names the facts that the shop's truth demands, no other, and takes the right side."""

import hashlib
import json
from pathlib import Path

from luthier.data.samples.overlap import exact
from luthier.data.samples.shop import facts_in


def correct(answer: str, truth: dict) -> bool:
    """Right or wrong, however it is worded.

    `truth` is {"facts": [...], "says": [...], "never": [...]}: the answer must name exactly these facts (names, instruments, days,
    numbers ...: one more is an invention, one less a gap), contain each phrase of `says` and none of `never`.
    """
    low = " ".join(answer.lower().split())
    said = all(phrase in low for phrase in truth["says"]) and not any(phrase in low for phrase in truth["never"])
    return said and facts_in(answer) == set(truth["facts"])


def key(messages: list[dict]) -> str:
    """What finds the truth of a conversation again: a hash of all turns before the last assistant turn, case and spacing apart."""
    asked = messages[:-1] if messages and messages[-1]["role"] == "assistant" else messages
    text = "\n".join(f"{message['role']} {exact(message['content'])}" for message in asked)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def read(folder: Path) -> dict[str, dict]:
    """The truths beside a written chat sample, by `key`."""
    lines = (Path(folder) / "truth.jsonl").read_text(encoding="utf-8").splitlines()
    return {row.pop("key"): row for row in map(json.loads, lines)}
