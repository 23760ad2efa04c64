"""Rows from one spelling to another: records are read as the doctor reads them and written as another tool wants them, nothing lost in silence."""
from collections.abc import Callable, Iterator

from luthier.data.canonical import message_to_dict
from luthier.data.records import Conversation, Labelled, Message, Record, Text
from luthier.errors import DataError


def messages(record: Record) -> dict:
    """OpenAI's chat rows."""
    if type(record) is Conversation:
        return {"messages": [message_to_dict(message) for message in record.messages], **({"tools": list(record.tools)} if record.tools else {})}
    if type(record) is Labelled:
        return {"messages": [{"role": "user", "content": record.text}, {"role": "assistant", "content": record.label}]}
    raise cannot(record, "messages", "it has no answer")


SPEAKERS = {"user": "human", "assistant": "gpt", "system": "system", "tool": "observation"}


def sharegpt(record: Record) -> dict:
    """Turns of from and value; weights and calls by id have no place there."""
    plain = need_conversation(record, "sharegpt")
    for message in plain.messages:
        if message.extra or message.weight != 1.0:
            raise cannot(record, "sharegpt", f"a turn of the {message.role} has {', '.join(message.extra) or 'a weight'}")
    return {"conversations": [{"from": SPEAKERS[message.role], "value": message.content} for message in plain.messages], **({"tools": list(plain.tools)} if plain.tools else {})}


def pair(record: Record) -> tuple[str, str, str]:
    """System, question and answer of a conversation of one exchange."""
    plain = need_conversation(record, "a prompt and its completion")
    turns: list[Message] = list(plain.messages)
    system = turns.pop(0).content if turns and turns[0].role == "system" else ""
    if [turn.role for turn in turns] != ["user", "assistant"] or any(turn.extra or turn.weight != 1.0 for turn in turns) or plain.tools:
        raise cannot(record, "a prompt and its completion", f"it has {len(turns)} turns, tools or weights")
    return system, turns[0].content, turns[1].content


def prompt_completion(record: Record) -> dict:
    system, question, answer = pair(record)
    return {"prompt": question, "completion": answer, **({"system": system} if system else {})}


def alpaca(record: Record) -> dict:
    system, question, answer = pair(record)
    return {"instruction": question, "input": "", "output": answer, **({"system": system} if system else {})}


def labelled(record: Record) -> dict:
    if type(record) is not Labelled:
        raise cannot(record, "a text and a label", "it has no label")
    return {"text": record.text, "label": record.label}


def text(record: Record) -> dict:
    if type(record) is not Text:
        raise cannot(record, "plain text", "more than its text would be lost")
    return {"text": record.text}


def canonical(record: Record) -> dict:
    """As the record is, whatever it is."""
    from luthier.data.canonical import body_of

    return body_of(record)


SHAPES: dict[str, Callable[[Record], dict]] = {
    "messages": messages, "sharegpt": sharegpt, "alpaca": alpaca, "prompt-completion": prompt_completion, "classification": labelled, "text": text, "canonical": canonical,
}


def need_conversation(record: Record, target: str) -> Conversation:
    if type(record) is Conversation:
        return record
    if type(record) is Labelled:
        return Conversation((Message("user", record.text), Message("assistant", record.label)), origin=record.origin)
    raise cannot(record, target, "it has no answer")


def cannot(record: Record, target: str, why: str) -> DataError:
    origin = record.origin
    return DataError(f"this row cannot be written as {target}: {why}", code="D150", file=origin.file if origin else None, line=origin.line if origin else None, rows=[origin.row] if origin else None, hint="choose a shape that holds it: messages and canonical hold the most")


def shaped(records: Iterator[Record], shape: str) -> Iterator[dict]:
    """Every record in the shape; a record that does not fit is an error with its place."""
    make = SHAPES[shape]
    for record in records:
        row = make(record)
        yield {**row, "group": record.group} if record.group is not None else row
