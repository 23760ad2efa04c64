"""D123-D128: the order of turns, which templates and learning depend on."""
from luthier.data.findings import Finding
from luthier.data.records import Conversation, Record


def check(record: Record) -> Finding | None:
    """Errors: no assistant turn (D123), every assistant turn weighs 0 (D128). Warnings: two turns of one side in a row (D124), the end is not the assistant's
    (D125), a system message in the middle (D126), calls and results that do not match (D127)."""
    if type(record) is not Conversation:
        return None
    roles = [message.role for message in record.messages]
    learned = [message.weight for message in record.messages if message.role == "assistant"]
    if not learned:
        return _error("D123", "no assistant turn: there is nothing to learn", "add the answer, or leave the row out")
    if not any(learned):
        return _error("D128", "every assistant turn has weight 0: there is nothing to learn", "give the turn to learn a weight of 1")
    start = 1 if roles[0] == "system" else 0
    if "system" in roles[start:]:
        at = roles.index("system", start)
        return _warning("D126", f"turn {at + 1} is a system message in the middle; many templates refuse it", at, "put it first")
    if "tool" in roles or any([message.extra for message in record.messages]):
        return _calls(record)
    for at in range(start + 1, len(roles)):
        if roles[at] == roles[at - 1]:
            return _warning("D124", f"turns {at} and {at + 1} are both the {roles[at]}'s; many templates refuse it", at, "join the two turns")
    if roles[-1] != "assistant":
        return _warning("D125", f"the last turn is the {roles[-1]}'s: nothing after it is learned", len(roles) - 1, "end with the assistant's answer")
    return None


def _calls(record: Conversation) -> Finding | None:
    """Every result needs a call before it, every call that is not last a result after it."""
    waiting = 0
    for at, message in enumerate(record.messages):
        calls = message.extra.get("tool_calls") or ([message.extra["function_call"]] if message.extra.get("function_call") else [])
        if message.role == "tool":
            if waiting == 0:
                return _warning("D127", f"turn {at + 1} is the result of a tool that was not called", at, "put the call before it")
            waiting -= 1
        elif waiting:
            return _warning("D127", f"turn {at + 1} comes before the result of a tool call", at, "put the result after the call")
        else:
            waiting = len(calls) if isinstance(calls, list) else 1
    return None


def _error(code: str, message: str, hint: str) -> Finding:
    return Finding(code, "error", message, field="messages", hint=hint)


def _warning(code: str, message: str, at: int, hint: str) -> Finding:
    return Finding(code, "warning", message, field=f"messages[{at}].role", hint=hint)
