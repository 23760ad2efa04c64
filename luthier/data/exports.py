"""Conversations as chat programs export them: ChatGPT's tree of turns, of which the branch that was read last counts, and Claude's list."""
from luthier.data.chats import Bad
from luthier.data.records import Message

SENDERS = {"human": "user", "user": "user", "assistant": "assistant"}


def look_like_chatgpt(values: list) -> bool:
    return bool(values) and all(isinstance(value, dict) and any(isinstance(node, dict) and "message" in node for node in value.values()) for value in values)


def look_like_claude(values: list) -> bool:
    return bool(values) and all(isinstance(value, list) and all(isinstance(turn, dict) and "sender" in turn for turn in value) for value in values)


def from_chatgpt(values: dict, columns: dict[str, str]) -> tuple | Bad:
    """The turns from the root to `current_node`; answers that were tried again and dropped stand on other branches. Turns without text (pictures, code that was run) are left out."""
    field = columns["mapping"]
    nodes = values.get(field)
    if type(nodes) is not dict or not nodes:
        return Bad("D116", f"`{field}` should be an object of turns", field, "export the conversations again")
    at = values.get(columns["last"]) if "last" in columns else None
    at = at if at in nodes else last_leaf(nodes)
    turns: list[Message] = []
    seen: set[str] = set()
    while at in nodes and at not in seen:
        seen.add(at)
        if message := turn_of(nodes[at].get("message")):
            turns.append(message)
        at = nodes[at].get("parent")
    turns.reverse()
    return (tuple(joined(turns)),) if turns else Bad("D118", f"`{field}` holds no turn with text", field, "leave the row out")


def last_leaf(nodes: dict) -> str:
    """The last node that nothing follows."""
    return [name for name, node in nodes.items() if not node.get("children")][-1] if any(not node.get("children") for node in nodes.values()) else next(reversed(nodes))


def turn_of(message) -> Message | None:
    """A turn of the user or the assistant that holds text and was shown."""
    if type(message) is not dict:
        return None
    role = (message.get("author") or {}).get("role")
    content = message.get("content") or {}
    hidden = (message.get("metadata") or {}).get("is_visually_hidden_from_conversation") or content.get("content_type") not in ("text", "multimodal_text")
    text = "\n".join(part for part in content.get("parts") or () if isinstance(part, str)).strip()
    return Message(role, text) if role in ("user", "assistant", "system") and text and not hidden else None


def from_claude(values: dict, columns: dict[str, str]) -> tuple | Bad:
    """Turns in order, each with its sender and text."""
    field = columns["chat_messages"]
    turns = []
    for at, turn in enumerate(values.get(field) or ()):
        sender = turn.get("sender") if isinstance(turn, dict) else None
        if sender not in SENDERS:
            return Bad("D111", f"{field}[{at}] has the unknown sender {sender!r}", field, f"senders are: {', '.join(SENDERS)}")
        text = turn.get("text") or "\n".join(part["text"] for part in turn.get("content") or () if isinstance(part, dict) and isinstance(part.get("text"), str))
        if text.strip():
            turns.append(Message(SENDERS[sender], text.strip()))
    return (tuple(joined(turns)),) if turns else Bad("D118", f"`{field}` holds no turn with text", field, "leave the row out")


def joined(turns: list[Message]) -> list[Message]:
    """Neighbouring turns of one side as one, as exports cut long answers apart."""
    found: list[Message] = []
    for turn in turns:
        if found and found[-1].role == turn.role != "system":
            found[-1] = Message(turn.role, f"{found[-1].content}\n\n{turn.content}")
        else:
            found.append(turn)
    return found
