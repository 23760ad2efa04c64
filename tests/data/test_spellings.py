"""Every spelling becomes the record it means, the guess is said, `data.map` overrules it, and what is wrong has its own code."""
import json

import pytest

from luthier.data.findings import Finding
from luthier.data.records import Conversation, Labelled, Text
from luthier.data.sources.rows import Row
from luthier.data.spellings import convert, guess, mapping_from
from luthier.errors import DataError, RecipeError


def rows_of(*values):
    return [Row(each, number, None, number, "a.jsonl") for number, each in enumerate(values, 1)]


def record_of(*values, **wanted):
    rows = rows_of(*values)
    mapping = guess(rows, "a.jsonl", **wanted)
    return mapping, convert(rows[0], mapping)


def said(record):
    return [(message.role, message.content) for message in record.messages]


OPENAI = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
SHAREGPT = [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "hello"}]
HI = [("user", "hi"), ("assistant", "hello")]

CHATS = {
    "openai": ({"messages": OPENAI}, HI),
    "openai in a cell": ({"messages": json.dumps(OPENAI)}, HI),
    "openai under another name": ({"conversation": OPENAI}, HI),
    "content parts": ({"messages": [{"role": "user", "content": [{"type": "text", "text": "h"}, {"type": "text", "text": "i"}]}, OPENAI[1]]}, HI),
    "developer role": ({"messages": [{"role": "developer", "content": "be kind"}, *OPENAI]}, [("system", "be kind"), *HI]),
    "sharegpt": ({"conversations": SHAREGPT}, HI),
    "sharegpt with system": ({"conversations": SHAREGPT, "system": "be kind"}, [("system", "be kind"), *HI]),
    "alpaca": ({"instruction": "hi", "input": "", "output": "hello"}, HI),
    "alpaca with input": ({"instruction": "say", "input": "hi", "output": "hello"}, [("user", "say\n\nhi"), HI[1]]),
    "alpaca with history": ({"instruction": "hi", "output": "hello", "system": "s", "history": [["a", "b"]]}, [("system", "s"), ("user", "a"), ("assistant", "b"), *HI]),
    "alpaca with response": ({"instruction": "hi", "input": None, "response": "hello"}, HI),
    "prompt completion": ({"prompt": "hi", "completion": "hello"}, HI),
    "prompt messages": ({"prompt": OPENAI[:1], "completion": OPENAI[1:]}, HI),
    "question answer": ({"question": "hi", "answer": "hello"}, HI),
    "prompt response": ({"prompt": "hi", "response": "hello"}, HI),
    "input output": ({"input": "hi", "output": "hello"}, HI),
    "query reply": ({"Query": "hi", "Reply": "hello"}, HI),
    "turns": ({"turns": ["hi", "hello"]}, HI),
}


@pytest.mark.parametrize("name", CHATS)
def test_chat_spellings(name):
    values, expected = CHATS[name]
    mapping, record = record_of(values)
    assert mapping.task == "chat" and type(record) is Conversation and said(record) == expected
    assert set(mapping.columns.values()) <= set(values) and all(column in mapping.sentence for column in mapping.columns.values())


LABELS = [
    ({"text": "t", "label": "l"}, "text", "label"),
    ({"sentence": "t", "category": "l"}, "sentence", "category"),
    ({"review": "t", "sentiment": "l"}, "review", "sentiment"),
    ({"ticket_text": "t", "queue": "l", "created": "2024"}, "ticket_text", "queue"),
    ({"customer_text": "t", "intent": "l"}, "customer_text", "intent"),
    ({"Text": "t", "Label": "l"}, "Text", "Label"),
    ({"text": "t", "label": 0, "label_text": "l"}, "text", "label_text"),
    ({"content": "t", "target": "l"}, "content", "target"),
]


@pytest.mark.parametrize("values, text, label", LABELS, ids=lambda value: str(value)[:30])
def test_label_spellings(values, text, label):
    mapping, record = record_of(values)
    assert mapping.task == "classification" and mapping.columns == {"text": text, "label": label}
    assert (record.text, record.label) == ("t", "l")


@pytest.mark.parametrize("given, label", [(3, "3"), (2.0, "2"), (0.5, "0.5"), (True, "true"), (" x ", "x"), (["x"], "x")])
def test_labels_become_text(given, label):
    assert record_of({"text": "t", "label": given})[1].label == label


def test_plain_text_and_two_readings_of_one_file():
    mapping, record = record_of({"text": "once", "id": 1})
    assert mapping.task == "causal_lm" and type(record) is Text and "not used: id" in mapping.sentence
    assert type(record_of({"text": "t", "label": "l"}, record=Text)[1]) is Text
    assert type(record_of({"question": "q", "answer": "a", "label": "l"}, task="classification")[1]) is Labelled


def test_unknown_names_are_guessed_by_the_look_of_the_values():
    rows = rows_of(*({"no": number, "col_a": f"a long enough sentence about thing number {number}", "col_b": "up" if number % 2 else "down"} for number in range(20)))
    mapping = guess(rows, "a.csv")
    assert mapping.columns == {"text": "col_a", "label": "col_b"} and "look of the values" in mapping.sentence
    rows = rows_of(*({"left": f"what is thing {number}?", "right": f"thing {number} is a thing"} for number in range(20)))
    assert guess(rows, "a.csv").columns == {"prompt": "left", "completion": "right"}


@pytest.mark.parametrize(
    "values, word",
    [({"premise": "a", "hypothesis": "b", "gold": 1}, "premise"), ({"a": 1, "b": 2}, "a, b")],
)
def test_what_cannot_be_understood_is_said(values, word):
    with pytest.raises(DataError) as raised:
        guess(rows_of(*[values] * 20), "a.jsonl")
    assert raised.value.code == "D113" and word in raised.value.message and "data.map" in raised.value.hint


# ---- map ----------------------------------------------------------------------------------------
def test_map_overrules_the_guess():
    rows = rows_of({"text": "t", "label": "wrong", "truth": "right"})
    mapping = mapping_from({"text": "text", "label": "truth"}, None, list(rows[0].values))
    assert convert(rows[0], mapping).label == "right" and mapping.task == "classification"
    rows = rows_of({"a": "hi", "b": "hello", "c": "be kind"})
    mapping = mapping_from({"question": "a", "answer": "b", "system": "c"}, "chat", list("abc"))
    assert said(convert(rows[0], mapping)) == [("system", "be kind"), *HI]
    rows = rows_of({"talk": SHAREGPT})
    assert said(convert(rows[0], mapping_from({"messages": "talk"}, None, ["talk"], sample=rows))) == HI


@pytest.mark.parametrize(
    "given, code, hint",
    [({"texd": "a"}, "R130", "text"), ({"text": "aa"}, "R131", "did you mean"), ({"label": "a"}, "R132", "name one of"), ({"text": "a", "prompt": "b"}, "R132", "name one of")],
)
def test_a_wrong_map_is_refused(given, code, hint):
    with pytest.raises(RecipeError) as raised:
        mapping_from(given, None, ["aaa", "a", "b"])
    assert raised.value.code == code and hint in raised.value.hint


# ---- what is wrong ------------------------------------------------------------------------------
def turn(**changes):
    return {"messages": [{**OPENAI[0], **changes}, OPENAI[1]]}


BAD = [
    ({"messages": None}, "D117", "messages"),
    ({"messages": "hello"}, "D117", "messages"),
    ({"messages": []}, "D118", "messages"),
    (turn(content=None), "D119", "messages[0].content"),
    ({"messages": [{"role": "user"}, OPENAI[1]]}, "D119", "messages[0].content"),
    (turn(role=None), "D111", "messages[0].role"),
    (turn(role="narrator"), "D111", "messages[0].role"),
    (turn(role=["user"]), "D111", "messages[0].role"),
    (turn(content=5), "D116", "messages[0].content"),
    (turn(content=[{"type": "image_url", "image_url": "x"}]), "D116", "messages[0].content"),
    (turn(weight=2), "D116", "messages[0].weight"),
    (turn(weight="1"), "D116", "messages[0].weight"),
    ({"messages": ["hi"]}, "D116", "messages[0]"),
    ({"messages": OPENAI, "tools": "many"}, "D116", "tools"),
    ({"instruction": "a", "output": "b"}, "D114", "messages"),
    ({"text": "t"}, "D114", "messages"),
    ({"other": 1}, "D115", "messages"),
]


@pytest.mark.parametrize("values, code, field", BAD, ids=lambda value: str(value)[:40])
def test_each_way_to_be_wrong_has_its_code(values, code, field):
    good = {"messages": OPENAI, "tools": []}
    mapping = guess(rows_of(*[good] * 5), "a.jsonl")
    finding = convert(rows_of(values)[0], mapping)
    assert type(finding) is Finding
    assert (finding.code, finding.field, finding.level, finding.line, finding.rows) == (code, field, "error", 1, [1])
    assert finding.hint or code == "D116"


@pytest.mark.parametrize("values, code", [({"text": None, "label": "l"}, "D115"), ({"label": "l"}, "D115"), ({"text": 5, "label": "l"}, "D116"), ({"text": "t", "label": None}, "D115"), ({"text": "t", "label": "  "}, "D110"), ({"text": "t", "label": ["a", "b"]}, "D116"), ({"text": "t", "label": float("nan")}, "D116")])
def test_bad_labelled_rows(values, code):
    mapping = guess(rows_of(*[{"text": "t", "label": "l"}] * 5), "a.jsonl")
    assert convert(rows_of(values)[0], mapping).code == code


def test_tool_calls_are_kept():
    call = {"role": "assistant", "content": None, "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": "{}"}}]}
    result = {"role": "tool", "content": "4", "tool_call_id": "x"}
    _, record = record_of({"messages": [OPENAI[0], call, result, {**OPENAI[1], "weight": 0}], "tools": [{"name": "f", "parameters": {}}]})
    assert record.messages[1].content == "" and record.messages[1].extra["tool_calls"] == call["tool_calls"]
    assert record.messages[2].extra == {"tool_call_id": "x"} and record.messages[3].weight == 0
    assert record.tools == ({"type": "function", "function": {"name": "f", "parameters": {}}},)


def test_sharegpt_function_calls_become_tool_calls():
    talk = [SHAREGPT[0], {"from": "function_call", "value": '{"name": "f", "arguments": {"a": 1}}'}, {"from": "observation", "value": "4"}, SHAREGPT[1]]
    _, record = record_of({"conversations": talk, "tools": '[{"name": "f"}]'})
    assert [message.role for message in record.messages] == ["user", "assistant", "tool", "assistant"]
    assert record.messages[1].extra["tool_calls"][0]["function"] == {"name": "f", "arguments": {"a": 1}}
    mapping = guess(rows_of({"conversations": SHAREGPT}), "a.jsonl")
    assert convert(rows_of({"conversations": [{"from": "function_call", "value": "not json"}]})[0], mapping).code == "D116"
    assert convert(rows_of({"conversations": [{"from": "ghost", "value": "x"}]})[0], mapping).code == "D111"
