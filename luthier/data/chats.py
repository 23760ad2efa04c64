"""The spellings of conversations, each turned into messages: OpenAI, ShareGPT, alternating turns, Alpaca, prompt and completion."""
from typing import NamedTuple

from luthier.data.records import Message
from luthier.data.sources.strict_json import Fault, parse

ROLES = ("system", "user", "assistant", "tool")
OTHER_ROLES = {"developer": "system", "function": "tool"}
"""Names that OpenAI's own formats have used for the same roles."""
SHAREGPT_ROLES = {
    "human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "chatgpt": "assistant", "bot": "assistant", "model": "assistant",
    "system": "system", "observation": "tool", "tool": "tool", "tool_response": "tool", "function_response": "tool", "function_call": "call",
}


class Bad(NamedTuple):
    """Why a row cannot become a record."""

    code: str
    message: str
    field: str
    hint: str = ""


def wrong(value, field: str, wanted: str = "text") -> Bad:
    """What to say of a value that is not text."""
    if value is None:
        return Bad("D115", f"no value for `{field}`", field, "fill it, or leave the row out")
    names = {list: "a list", dict: "an object", bool: "true or false", int: "a number", float: "a number"}
    return Bad("D116", f"`{field}` should be {wanted}, and is {names.get(type(value), type(value).__name__)}", field, "write it as text, in quotes")


# ---- what values look like ------------------------------------------------------------------------
def _objects_with(values: list, *keys: str) -> bool:
    """Whether most of the values are lists of objects that have these keys, as JSON text too."""
    decoded = [_decoded(value) for value in values]
    fitting = sum(isinstance(value, list) and any(isinstance(turn, dict) and all(key in turn for key in keys) for turn in value) for value in decoded)
    return bool(values) and fitting > len(values) / 2


def look_like_messages(values: list) -> bool:
    return _objects_with(values, "role")


def look_like_sharegpt(values: list) -> bool:
    return _objects_with(values, "from", "value")


def look_like_turns(values: list) -> bool:
    return bool(values) and all(isinstance(value, list) and all(isinstance(turn, str) for turn in value) for value in values)


def look_like_text(values: list) -> bool:
    return sum(isinstance(value, str) for value in values) > len(values) / 2


def look_like_prompts(values: list) -> bool:
    return look_like_text(values) or look_like_messages(values)


def _decoded(value):
    """A list that stands as JSON text in a cell, as tables hold it; anything else as it is."""
    if type(value) is str and value[:1] == "[":
        try:
            return parse(value)
        except Fault:
            return value
    return value


# ---- OpenAI -------------------------------------------------------------------------------------
def from_messages(values: dict, columns: dict[str, str]) -> tuple | Bad:
    messages = _messages(values.get(columns["messages"]), columns["messages"], columns["messages"] in values)
    if type(messages) is Bad:
        return messages
    tools = _tools(values, columns)
    return tools if type(tools) is Bad else (tuple(messages), tools)


def _messages(given, field: str, present: bool = True) -> list[Message] | Bad:
    """Messages of role and content; each way to be wrong has its own code."""
    if type(given) is not list:
        given = _decoded(given)
    if type(given) is not list:
        if given is None and not present:
            return Bad("D115", f"no value for `{field}`", field, "fill it, or leave the row out")
        return Bad("D117", f"`{field}` is {'null' if given is None else 'not a list'}", field, "write a list of messages with role and content")
    if not given:
        return Bad("D118", f"`{field}` is an empty list", field, "leave the row out")
    made = []
    for at, turn in enumerate(given):
        if type(turn) is dict and len(turn) == 2 and turn.get("role") in ROLES and type(turn.get("content")) is str:
            made.append(Message(turn["role"], turn["content"]))
            continue
        message = _message(turn, f"{field}[{at}]")
        if type(message) is Bad:
            return message
        made.append(message)
    return made


def _message(turn, field: str) -> Message | Bad:
    if type(turn) is not dict:
        return Bad("D116", f"{field} should be an object with role and content", field, "write {\"role\": ..., \"content\": ...}")
    role, content = turn.get("role"), turn.get("content")
    if role not in ROLES:
        role = OTHER_ROLES.get(role, "") if type(role) is str else ""
        if not role:
            return _bad_role(turn.get("role"), f"{field}.role")
    if type(content) is not str:
        content = _joined_parts(content, turn, f"{field}.content")
        if type(content) is Bad:
            return content
    if len(turn) == 2:
        return Message(role, content)
    weight = turn.get("weight", 1.0)
    if weight is None:
        weight = 1.0
    if type(weight) not in (int, float) or not 0 <= weight <= 1:
        return Bad("D116", f"{field}.weight should be a number from 0 to 1, and is {weight!r}", f"{field}.weight", "0 keeps the turn as context only")
    return Message(role, content, float(weight), {key: value for key, value in turn.items() if key not in ("role", "content", "weight") and value is not None})


def _bad_role(role, field: str) -> Bad:
    what = "no role" if role is None else f"the unknown role {role!r}" if isinstance(role, str) else "a role that is not text"
    return Bad("D111", f"{field.removesuffix('.role')} has {what}", field, f"roles are: {', '.join(ROLES)}")


def _joined_parts(content, turn: dict, field: str) -> str | Bad:
    """The text of content that is null (calls carry none) or a list of text parts."""
    if content is None:
        if turn.get("role") == "assistant" and (turn.get("tool_calls") or turn.get("function_call")):
            return ""
        return Bad("D119", f"{field} is {'null' if 'content' in turn else 'missing'}", field, "write the text, or leave the row out")
    if type(content) is list and content and all(isinstance(part, dict) for part in content):
        other = next((part.get("type") for part in content if part.get("type") != "text" or type(part.get("text")) is not str), None)
        if other is None:
            return "".join(part["text"] for part in content)
        return Bad("D116", f"{field} has a part of type {other!r}; only text is read", field, "leave out rows with pictures or sound")
    return Bad("D116", f"{field} should be text, and is {type(content).__name__}", field, "write it as text, in quotes")


def _tools(values: dict, columns: dict[str, str]) -> tuple | Bad:
    """The tools on offer: a list of objects, as JSON text too; bare functions are wrapped."""
    column = columns.get("tools")
    given = values.get(column) if column else None
    if given in (None, "", []):
        return ()
    given = _decoded(given)
    if type(given) is not list or not all(isinstance(tool, dict) for tool in given):
        return Bad("D116", f"`{column}` should be a list of objects", column, "write the tools as OpenAI does")
    return tuple(tool if "function" in tool or "name" not in tool else {"type": "function", "function": tool} for tool in given)


# ---- ShareGPT -----------------------------------------------------------------------------------
def from_sharegpt(values: dict, columns: dict[str, str]) -> tuple | Bad:
    field = columns["messages"]
    given = _decoded(values.get(field))
    if type(given) is not list or not given:
        return _messages(given, field, field in values)
    made = _system(values, columns)
    if type(made) is Bad:
        return made
    for at, turn in enumerate(given):
        message = _sharegpt_message(turn, f"{field}[{at}]")
        if type(message) is Bad:
            return message
        if message.role != "system" or message.content.strip():
            made.append(message)
    tools = _tools(values, columns)
    return tools if type(tools) is Bad else (tuple(made), tools)


def _sharegpt_message(turn, field: str) -> Message | Bad:
    if type(turn) is not dict:
        return Bad("D116", f"{field} should be an object with from and value", field)
    speaker, value = turn.get("from"), turn.get("value")
    role = SHAREGPT_ROLES.get(speaker, "") if type(speaker) is str else ""
    if not role:
        bad = _bad_role(speaker, f"{field}.from")
        return Bad(bad.code, bad.message.replace(".from", ""), bad.field, f"`from` is one of: {', '.join(SHAREGPT_ROLES)}")
    if type(value) is not str:
        return Bad("D119", f"{field}.value is {'null' if value is None else 'not text'}", f"{field}.value", "write the text, or leave the row out")
    if role == "call":
        return _call(value, f"{field}.value")
    weight = turn.get("weight", 1.0)
    if type(weight) not in (int, float) or not 0 <= weight <= 1:
        return Bad("D116", f"{field}.weight should be a number from 0 to 1, and is {weight!r}", f"{field}.weight", "0 keeps the turn as context only")
    return Message(role, value, float(weight))


def _call(value: str, field: str) -> Message | Bad:
    """A function call that stands as JSON text, as OpenAI's tool_calls."""
    try:
        calls = parse(value)
    except Fault as fault:
        return Bad("D116", f"{field} should be a function call as JSON: {fault} (column {fault.position + 1} of the value)", field, fault.hint)
    calls = calls if isinstance(calls, list) else [calls]
    if not calls or not all(isinstance(call, dict) and isinstance(call.get("name"), str) for call in calls):
        return Bad("D116", f"{field} should be a function call with name and arguments", field)
    return Message("assistant", "", 1.0, {"tool_calls": [{"type": "function", "function": {"name": call["name"], "arguments": call.get("arguments", {})}} for call in calls]})


# ---- turns, Alpaca, pairs -------------------------------------------------------------------------
def from_turns(values: dict, columns: dict[str, str]) -> tuple | Bad:
    field = columns["turns"]
    given = values.get(field)
    if type(given) is not list or not given:
        return _messages(given, field, field in values)
    made = _system(values, columns)
    if type(made) is Bad:
        return made
    for at, turn in enumerate(given):
        if type(turn) is not str:
            return wrong(turn, f"{field}[{at}]")
        made.append(Message("assistant" if at % 2 else "user", turn))
    return (tuple(made),)


def from_alpaca(values: dict, columns: dict[str, str]) -> tuple | Bad:
    """Instruction, then input below it; earlier exchanges in `history` come first."""
    instruction, answer = values.get(columns["instruction"]), values.get(columns["completion"])
    if type(instruction) is not str:
        return wrong(instruction, columns["instruction"])
    if type(answer) is not str:
        return wrong(answer, columns["completion"])
    more = values.get(columns["input"]) if "input" in columns else None
    if more is not None and type(more) is not str:
        return wrong(more, columns["input"])
    made = _system(values, columns)
    if type(made) is Bad:
        return made
    for at, pair in enumerate(values.get(columns.get("history", "")) or ()):
        if not isinstance(pair, (list, tuple)) or len(pair) != 2 or not all(isinstance(side, str) for side in pair):
            return Bad("D116", f"history[{at}] should be a pair of texts", columns["history"], "write [[question, answer], ...]")
        made += [Message("user", pair[0]), Message("assistant", pair[1])]
    question = f"{instruction}\n\n{more}" if more and instruction.strip() else more or instruction
    return (*made, Message("user", question), Message("assistant", answer)),


def from_pair(values: dict, columns: dict[str, str]) -> tuple | Bad:
    """A prompt and its answer, as texts or as lists of messages."""
    made = _system(values, columns)
    if type(made) is Bad:
        return made
    for role, key in (("user", "prompt"), ("assistant", "completion")):
        value = values.get(columns[key])
        if type(value) is str:
            made.append(Message(role, value))
        elif type(value) is list:
            messages = _messages(value, columns[key])
            if type(messages) is Bad:
                return messages
            made += messages
        else:
            return wrong(value, columns[key])
    return (tuple(made),)


def _system(values: dict, columns: dict[str, str]) -> list[Message] | Bad:
    value = values.get(columns["system"]) if "system" in columns else None
    if value is None or value == "":
        return []
    return [Message("system", value)] if type(value) is str else wrong(value, columns["system"])
