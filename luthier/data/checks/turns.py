"""D509, D511: conversations that repeat themselves, and tool calls whose arguments are no JSON object."""
from array import array
from collections.abc import Iterator

from luthier.data.columns import Batch
from luthier.data.seen import Found, Seen, level_of, plural, rows
from luthier.data.sources.strict_json import Fault, parse

FEWEST_CHARACTERS = 12


class Turns:
    """Looks at conversations only. Warnings."""

    def __init__(self):
        self.repeated, self.calls = array("q"), array("q")
        self.faults: dict[int, str] = {}

    def see(self, batch: Batch) -> None:
        for at, values in enumerate(batch.values, batch.first):
            messages = values.get("messages")
            if messages is None:
                return
            if len(messages) > 2 and repeats(messages):
                self.repeated.append(at)
            if any(len(message) > 2 for message in messages) and (fault := bad_call(messages)):
                self.calls.append(at)
                self.faults[at] = fault

    def report(self, seen: Seen) -> Iterator[Found]:
        if len(found := rows(self.repeated)):
            yield Found("D509", "warning", f"{plural(len(found), 'conversation')} say{'s' * (len(found) == 1)} one turn twice, word for word", found, "a model learns to repeat itself; leave out the second, or the row", fix="repeats")
        if len(found := rows(self.calls)):
            first = self.faults[int(found[0])]
            yield Found("D511", level_of(found, seen), f"{plural(len(found))} call{'s' * (len(found) == 1)} a tool with arguments that cannot be read: {first}", found, "write the arguments as a JSON object", fix="tool_calls", why=self.faults)


def repeats(messages: list[dict]) -> bool:
    """Whether one side says something longer than a nod twice."""
    said = [(message["role"], " ".join(message["content"].split()).casefold()) for message in messages if message["role"] in ("user", "assistant")]
    long = [turn for turn in said if len(turn[1]) >= FEWEST_CHARACTERS]
    return len(set(long)) < len(long)


def bad_call(messages: list[dict]) -> str:
    """What is wrong with the first tool call that cannot be read; empty where all can."""
    for number, message in enumerate(messages, 1):
        calls = message.get("tool_calls") or ([{"function": message["function_call"]}] if message.get("function_call") else [])
        for call in calls if isinstance(calls, list) else [calls]:
            function = call.get("function", call) if isinstance(call, dict) else {}
            if not isinstance(function, dict) or not isinstance(function.get("name"), str) or not function["name"]:
                return f"turn {number} has a call without a name"
            arguments = function.get("arguments", {})
            if isinstance(arguments, str):
                try:
                    arguments = parse(arguments or "{}")
                except Fault as fault:
                    return f"turn {number}: {fault}"
            if not isinstance(arguments, dict):
                return f"turn {number}: the arguments are no object"
    return ""
