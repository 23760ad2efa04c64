"""D110: a text, question or answer with nothing in it."""
from luthier.data.feedback import spoken
from luthier.data.findings import Finding
from luthier.data.records import Asked, Conversation, Pair, Record


def check(record: Record) -> Finding | None:
    """An error where a text, or a turn of the user or the assistant, is empty or white space. A turn that only calls tools needs no text."""
    if type(record) is Pair and not record.target.strip():
        return Finding("D110", "error", "empty target", field="target", hint="fill it, or leave the row out")
    if isinstance(record, Asked):
        record = spoken(record)
    if type(record) is not Conversation:
        return None if record.text.strip() else Finding("D110", "error", "empty text", field="text", hint="fill it, or leave the row out")
    for at, message in enumerate(record.messages):
        if not message.content.strip() and message.role in ("user", "assistant") and "tool_calls" not in message.extra and "function_call" not in message.extra:
            what = "empty" if not message.content else "only white space"
            return Finding("D110", "error", f"the {message.role}'s turn {at + 1} is {what}", field=f"messages[{at}].content", hint="fill it, or leave the row out")
    return None
