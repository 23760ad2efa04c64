"""Calls of tools in an answer: the two ways in which chat templates teach models to write them.

Between `<tool_call>` and `</tool_call>` (Hermes, Qwen and many others), or the whole answer as one JSON object or list with `name` and `arguments`
or `parameters` (Llama). What is neither, or names no tool that was on offer, is an answer in words.
"""
import json
import re
import secrets

TAGGED = re.compile(r"<tool_call>\s*(\{.*?\})\s*</tool_call>", re.S)


def takes_tools(template: str) -> bool:
    """Whether a chat template has a place for tools."""
    return re.search(r"\btools\b", template) is not None


def parse(text: str, names: set[str], *, only_one: bool = False) -> tuple[str, list[dict]]:
    """The words of an answer and its calls, in OpenAI's shape."""
    raw, words = [found[1] for found in TAGGED.finditer(text)], TAGGED.sub("", text).strip()
    if not raw and text.strip().startswith(("{", "[")):
        raw, words = [text.strip()], ""
    calls = []
    for piece in raw:
        try:
            value = json.loads(piece)
        except (ValueError, RecursionError):
            return text, []
        for item in value if isinstance(value, list) else [value]:
            name = item.get("name") if isinstance(item, dict) else None
            arguments = item.get("arguments", item.get("parameters", {})) if isinstance(item, dict) else None
            if name not in names or not isinstance(arguments, dict | str):
                return text, []
            calls.append({"id": f"call_{secrets.token_hex(12)}", "type": "function", "function": {"name": name, "arguments": arguments if isinstance(arguments, str) else json.dumps(arguments)}})
    return (words, calls[:1] if only_one else calls) if calls else (text, [])
