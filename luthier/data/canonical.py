"""A record as one line of JSON, and back: the one form in which records lie on disk, readable by any other tool."""
import functools
import json
from dataclasses import replace

from luthier.data.records import Conversation, Labelled, Message, MultiLabelled, Origin, Pair, Preference, Prompt, Rated, Record, Scored, Tagged, Text

encode_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
encode_text = json.encoder.encode_basestring
"""A text alone, as `encode_json` writes it."""
RECORDS = {kind.kind: kind for kind in (Text, Conversation, Labelled, MultiLabelled, Scored, Tagged, Pair, Preference, Rated, Prompt)}
ANSWERS = {Preference: ("chosen", "rejected"), Rated: ("answer", "good"), Prompt: ("reference", "item")}
"""What these records have beside the messages that ask, in the order of their fields."""


def message_to_dict(message: Message) -> dict:
    """A message in OpenAI's shape; a weight of 1 is left out."""
    shape = {"role": message.role, "content": message.content}
    if message.weight != 1.0:
        shape["weight"] = message.weight
    return shape | message.extra if message.extra else shape


def body_of(record: Record) -> dict:
    """What a record says, without where it comes from: `{text}`, `{text, label}` (or labels, or value; pair beside text), `{text, words, tags}`, `{source, target}`, `{messages, tools?}`, or messages and what ANSWERS names."""
    if type(record) in ANSWERS:
        return {"messages": [message_to_dict(message) for message in record.messages]} | {name: getattr(record, name) for name in ANSWERS[type(record)]}
    if type(record) is Conversation:
        body: dict = {"messages": [message_to_dict(message) for message in record.messages]}
        if record.tools:
            body["tools"] = list(record.tools)
        return body
    if type(record) is Pair:
        return {"source": record.source, "target": record.target}
    if type(record) is Tagged:
        return {"text": record.text, "words": record.words, "tags": record.tags}
    if type(record) is Text:
        return {"text": record.text}
    second = {} if record.pair is None else {"pair": record.pair}
    answer = {"label": record.label} if type(record) is Labelled else {"labels": record.labels} if type(record) is MultiLabelled else {"value": record.value}
    return {"text": record.text, **second, **answer}


def body_json(record: Record) -> str:
    """The body as JSON. Plain talks, which are most of all rows, are written out without a detour."""
    if type(record) is Conversation and not record.tools:
        plain = [f'{{"role":{encode_text(turn.role)},"content":{encode_text(turn.content)}}}' for turn in record.messages if turn.weight == 1.0 and not turn.extra]
        if len(plain) == len(record.messages):
            return f'{{"messages":[{",".join(plain)}]}}'
    return encode_json(body_of(record))


def to_line(body: str, record: Record) -> str:
    """The line of a record whose body stands as JSON already: the body, then group, weight and origin. Without a line feed."""
    group = f',"group":{encode_json(record.group)}' if record.group is not None else ""
    if record.weight != 1.0:
        group += f',"weight":{record.weight!r}'
    origin = record.origin
    if origin is None:
        return f"{body[:-1]}{group}}}"
    line = "null" if origin.line is None else origin.line
    return f'{body[:-1]}{group},"origin":{{"file":{_word(origin.file)},"line":{line},"row":{origin.row}}}}}'


@functools.lru_cache(maxsize=64)
def _word(text: str) -> str:
    return encode_json(text)


def to_json(record: Record) -> str:
    """The line of a record. Without a line feed."""
    return to_line(body_json(record), record)


def from_dict(values: dict, kind: type) -> Record:
    """The record of a parsed canonical line."""
    record = _from_dict(values, kind)
    return replace(record, weight=values["weight"]) if "weight" in values else record


def _from_dict(values: dict, kind: type) -> Record:
    given = values.get("origin")
    origin = Origin(given["file"], given["line"], given["row"]) if given else None
    group = values.get("group")
    if kind in ANSWERS:
        return kind(tuple(_message(turn) for turn in values["messages"]), *(values[name] for name in ANSWERS[kind]), origin, group)
    if kind is Conversation:
        messages = tuple(_message(turn) for turn in values["messages"])
        return Conversation(messages, tuple(values.get("tools", ())), origin, group)
    if kind is Pair:
        return Pair(values["source"], values["target"], origin, group)
    if kind is Tagged:
        return Tagged(values["text"], tuple((start, end) for start, end in values["words"]), tuple(values["tags"]), origin, group)
    if kind is Text:
        return Text(values["text"], origin, group)
    answer = values["label"] if kind is Labelled else tuple(values["labels"]) if kind is MultiLabelled else values["value"]
    return kind(values["text"], answer, origin, group, values.get("pair"))


def _message(turn: dict) -> Message:
    if len(turn) == 2:
        return Message(turn["role"], turn["content"])
    extra = {key: value for key, value in turn.items() if key not in ("role", "content", "weight")}
    return Message(turn["role"], turn["content"], turn.get("weight", 1.0), extra)
