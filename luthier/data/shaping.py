"""Rows from one spelling to another: records are read as the doctor reads them and written as another tool wants them, nothing lost in silence."""
from collections.abc import Callable, Iterator

from luthier.data.canonical import message_to_dict
from luthier.data.records import Asked, Conversation, Labelled, Message, MultiLabelled, Pair, Preference, Prompt, Rated, Record, Scored, Tagged, Text
from luthier.data.words import spans_of
from luthier.errors import DataError


def messages(record: Record) -> dict:
    """OpenAI's chat rows."""
    if type(record) is Conversation:
        return {"messages": [message_to_dict(message) for message in record.messages], **({"tools": list(record.tools)} if record.tools else {})}
    if type(record) is Labelled and record.pair is None:
        return {"messages": [{"role": "user", "content": record.text}, {"role": "assistant", "content": record.label}]}
    if type(record) is Pair:
        return {"messages": [{"role": "user", "content": record.source}, {"role": "assistant", "content": record.target}]}
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


def second(record: Labelled | MultiLabelled | Scored) -> dict:
    """The second text, where there is one."""
    return {} if record.pair is None else {"text_pair": record.pair}


def labelled(record: Record) -> dict:
    """A text, or two, with its label or all its labels."""
    if type(record) is MultiLabelled:
        return {"text": record.text, **second(record), "labels": list(record.labels)}
    if type(record) is not Labelled:
        raise cannot(record, "a text and a label", "it has no label")
    return {"text": record.text, **second(record), "label": record.label}


def scored(record: Record) -> dict:
    """A text, or two, and a number."""
    if type(record) is not Scored:
        raise cannot(record, "a text and a number", "it has no number")
    return {"text": record.text, **second(record), "score": record.value}


def spans(record: Record) -> dict:
    """A text and the places marked in it, in characters."""
    if type(record) is not Tagged:
        raise cannot(record, "a text with places marked in it", "nothing is marked in it")
    return {"text": record.text, "spans": [{"start": span.start, "end": span.end, "label": span.label} for span in spans_of(record)]}


def tokens(record: Record) -> dict:
    """Words and their tags in IOB2; how the words were spaced is not kept, as no tool keeps it there."""
    if type(record) is not Tagged:
        raise cannot(record, "words and tags", "nothing is marked in it")
    return {"tokens": [record.text[start:end] for start, end in record.words], "ner_tags": list(record.tags)}


def source_target(record: Record) -> dict:
    if type(record) is not Pair:
        raise cannot(record, "a source and a target", "it is no pair")
    return {"source": record.source, "target": record.target}


def asked(record: Asked) -> list[dict]:
    return [message_to_dict(message) for message in record.messages]


def said(text: str) -> list[dict]:
    return [{"role": "assistant", "content": text}]


def preference(record: Record) -> dict:
    """TRL's pairs: the talk so far and two answers, as messages."""
    if type(record) is not Preference:
        raise cannot(record, "a pair of answers", "it has no two answers")
    return {"prompt": asked(record), "chosen": said(record.chosen), "rejected": said(record.rejected)}


def openai_preference(record: Record) -> dict:
    if type(record) is not Preference:
        raise cannot(record, "a pair of answers", "it has no two answers")
    return {"input": {"messages": asked(record)}, "preferred_output": said(record.chosen), "non_preferred_output": said(record.rejected)}


def kto(record: Record) -> dict | list[dict]:
    """TRL's unpaired answers: whether people found this one good; a pair becomes one that is and one that is not."""
    if type(record) is Preference:
        return [{"prompt": asked(record), "completion": said(answer), "label": good} for answer, good in ((record.chosen, True), (record.rejected, False))]
    if type(record) is not Rated:
        raise cannot(record, "an answer with a rating", "it has no rating")
    return {"prompt": asked(record), "completion": said(record.answer), "label": record.good}


def prompt(record: Record) -> dict:
    """What is asked, the right answer where it is known, and what graders are given."""
    if type(record) is not Prompt:
        raise cannot(record, "a prompt", "an answer would be lost")
    return {"prompt": asked(record), **({"reference": record.reference} if record.reference is not None else {}), **record.item}


def text(record: Record) -> dict:
    if type(record) is not Text:
        raise cannot(record, "plain text", "more than its text would be lost")
    return {"text": record.text}


def canonical(record: Record) -> dict:
    """As the record is, whatever it is."""
    from luthier.data.canonical import body_of

    return body_of(record)


SHAPES: dict[str, Callable[[Record], dict | list[dict]]] = {
    "messages": messages, "sharegpt": sharegpt, "alpaca": alpaca, "prompt-completion": prompt_completion, "classification": labelled, "scored": scored, "spans": spans, "tokens": tokens, "source-target": source_target,
    "preference": preference, "openai-preference": openai_preference, "kto": kto, "prompt": prompt, "text": text, "canonical": canonical,
}


def need_conversation(record: Record, target: str) -> Conversation:
    if type(record) is Conversation:
        return record
    if type(record) is Labelled and record.pair is None:
        return Conversation((Message("user", record.text), Message("assistant", record.label)), origin=record.origin)
    if type(record) is Pair:
        return Conversation((Message("user", record.source), Message("assistant", record.target)), origin=record.origin)
    raise cannot(record, target, "it has no answer")


def cannot(record: Record, target: str, why: str) -> DataError:
    origin = record.origin
    return DataError(f"this row cannot be written as {target}: {why}", code="D150", file=origin.file if origin else None, line=origin.line if origin else None, rows=[origin.row] if origin else None, hint="choose a shape that holds it: messages and canonical hold the most")


def shaped(records: Iterator[Record], shape: str) -> Iterator[dict]:
    """Every record in the shape; a record that does not fit is an error with its place."""
    make = SHAPES[shape]
    for record in records:
        made = make(record)
        for row in made if isinstance(made, list) else [made]:
            yield row | ({"group": record.group} if record.group is not None else {}) | ({"row_weight": record.weight} if record.weight != 1.0 else {})
