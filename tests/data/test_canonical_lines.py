"""Plain talks are written out directly, and come out as every other record does."""
import json
import random

from luthier.data.canonical import body_json, body_of, encode_json, from_dict, to_json
from luthier.data.records import Conversation, Message, Origin

ODD = ['"', "\\", "\n", "\t", "\x01", "é", "日", "🎻", "\u2028", "/", "", " ", "a" * 300]


def talk(draw: random.Random) -> Conversation:
    """Turns of odd characters; some weigh less, call a tool or stand beside tools on offer."""
    turns = [Message(draw.choice(("system", "user", "assistant", "tool")), "".join(draw.choices(ODD, k=draw.randrange(6)))) for _ in range(draw.randrange(1, 5))]
    if draw.random() < 0.3:
        turns.append(Message("assistant", "x", 0.0))
    if draw.random() < 0.3:
        turns.append(Message("assistant", "", extra={"tool_calls": [{"function": {"name": "tune"}}]}))
    return Conversation(tuple(turns), ({"type": "function"},) if draw.random() < 0.2 else (), Origin("a.jsonl", 3, 2))


def test_a_thousand_talks_are_written_as_json_writes_them():
    draw = random.Random(4)
    for _ in range(1000):
        record = talk(draw)
        assert body_json(record) == encode_json(body_of(record))
        assert from_dict(json.loads(to_json(record)), Conversation) == record
