"""The spellings of what people thought of answers, each turned into the fields of a record: pairs, ratings and bare prompts.

TRL's `prompt, chosen, rejected` (texts or messages, the prompt also inside both), `prompt, completion, label` and `prompt`; OpenAI's
`input, preferred_output, non_preferred_output`; transcripts as hh-rlhf has them ("\\n\\nHuman: ...\\n\\nAssistant: ..."); Alpaca's instruction and
input beside two answers.
"""
import re

from luthier.data import chats
from luthier.data.chats import Bad
from luthier.data.records import Asked, Conversation, Message, Preference, Prompt, Rated

SPOKEN = re.compile(r"(?:^|\n\n)(Human|Assistant):[ \t]?")
SPEAKERS = {"Human": "user", "Assistant": "assistant"}
GOOD = {"true": True, "good": True, "up": True, "thumbs_up": True, "1": True, "yes": True, "👍": True, "like": True, "+1": True}
BAD = {"false": False, "bad": False, "down": False, "thumbs_down": False, "0": False, "no": False, "👎": False, "dislike": False, "-1": False}
RATINGS = GOOD | BAD
TURN = "write the whole talk up to the answer into the prompt, and one answer on each side"


# ---- what records of this kind say ----------------------------------------------------------------
def answers_of(record: Asked) -> tuple[str, ...]:
    """The answers that a record holds."""
    if type(record) is Preference:
        return (record.chosen, record.rejected)
    if type(record) is Rated:
        return (record.answer,)
    return (record.reference,) if record.reference is not None else ()


def spoken(record: Asked) -> Conversation:
    """All that is said in a record, as one conversation: for checks that read texts."""
    return Conversation((*record.messages, *(Message("assistant", answer) for answer in answers_of(record))), origin=record.origin, group=record.group)


def lengths(record: Asked) -> tuple[int, int]:
    """Characters in all, and of the answers."""
    answer = sum(map(len, answers_of(record)))
    return answer + sum(len(message.content) for message in record.messages), answer


def told_by_reference(columns: dict[str, str], values: list) -> bool:
    """Whether the names alone say that answers will be compared with something: `prompt` beside `reference` or `ground_truth`."""
    return columns["prompt"].lower() == "prompt" and columns["reference"].lower() in ("reference", "ground_truth")


# ---- pairs ----------------------------------------------------------------------------------------
def look_like_transcripts(values: list) -> bool:
    return bool(values) and all(isinstance(value, str) and value.lstrip().startswith(("Human:", "Assistant:")) for value in values)


def look_like_answers(values: list) -> bool:
    return chats.look_like_prompts(values) and not look_like_transcripts(values)


def look_like_input(values: list) -> bool:
    return bool(values) and all(isinstance(value, dict) and "messages" in value for value in values)


def from_transcripts(values: dict, columns: dict[str, str]) -> tuple | Bad:
    """Two transcripts that differ in the last answer."""
    sides = []
    for role in ("chosen", "rejected"):
        value = values.get(columns[role])
        if type(value) is not str:
            return chats.wrong(value, columns[role])
        words = SPOKEN.split(value)
        if words[0].strip() or len(words) < 3:
            return Bad("D116", f"`{columns[role]}` is no transcript of Human and Assistant", columns[role], "begin each turn with Human: or Assistant:")
        sides.append([Message(SPEAKERS[speaker], text.strip()) for speaker, text in zip(words[1::2], words[2::2], strict=True)])
    return parted(*sides, columns)


def from_chosen(values: dict, columns: dict[str, str]) -> tuple | Bad:
    """A prompt and two answers; where there is no prompt, both sides are whole talks that begin alike."""
    asked = _asked(values, columns)
    if type(asked) is Bad:
        return asked
    sides = []
    for role in ("chosen", "rejected"):
        side = _said(values.get(columns[role]), columns[role], "assistant")
        if type(side) is Bad:
            return side
        sides.append(side if side[0].role != "assistant" else [*asked, *side])
    return parted(*sides, columns)


def from_openai(values: dict, columns: dict[str, str]) -> tuple | Bad:
    """`input: {messages}`, `preferred_output` and `non_preferred_output` as lists of messages."""
    given = values.get(columns["input"])
    asked = _said(given.get("messages") if isinstance(given, dict) else given, f"{columns['input']}.messages", "user")
    if type(asked) is Bad:
        return asked
    sides = []
    for role in ("chosen", "rejected"):
        side = _said(values.get(columns[role]), columns[role], "assistant")
        if type(side) is Bad:
            return side
        sides.append([*asked, *side])
    return parted(*sides, columns)


def parted(chosen: list[Message], rejected: list[Message], columns: dict[str, str]) -> tuple | Bad:
    """The turns that both sides share, and the one answer in which each goes on."""
    same = 0
    while same < min(len(chosen), len(rejected)) and chosen[same] == rejected[same]:
        same += 1
    if len(chosen) == len(rejected) == same:  # the same answer twice: a check says so
        same -= 1
    left, right = chosen[same:], rejected[same:]
    if len(left) != 1 or len(right) != 1 or left[0].role != "assistant" or right[0].role != "assistant":
        return Bad("D160", f"the two sides part before their last answer: {len(left)} and {len(right)} turns differ", columns["rejected"], TURN)
    if left[0].extra or right[0].extra:
        return Bad("D160", "an answer of a pair calls a tool; only text is compared", columns["chosen"], "leave out pairs with tool calls")
    if not same:
        return Bad("D160", "nothing stands before the two answers", columns["chosen"], "name the column of the prompt: data.map.prompt=COLUMN")
    return tuple(chosen[:same]), left[0].content, right[0].content


def _asked(values: dict, columns: dict[str, str]) -> list[Message] | Bad:
    """The turns before the answer, where columns of their own hold them."""
    made = chats._system(values, columns)
    if type(made) is Bad:
        return made
    for role in ("prompt", "instruction"):
        if role in columns:
            turns = _said(values.get(columns[role]), columns[role], "user")
            if type(turns) is Bad:
                return turns
            made += turns
    more = values.get(columns["input"]) if "input" in columns else None
    if more and isinstance(more, str) and made:
        made[-1] = Message(made[-1].role, f"{made[-1].content}\n\n{more}")
    return made


def _said(value, field: str, role: str) -> list[Message] | Bad:
    """One turn from a text, or turns from a list of messages."""
    if type(value) is str and value[:1] != "[":
        return [Message(role, value)]
    turns = chats._decoded(value)
    if type(turns) is str:
        return [Message(role, turns)]
    if type(turns) is not list:
        return chats.wrong(value, field)
    return chats._messages(turns, field)


# ---- ratings --------------------------------------------------------------------------------------
def look_like_ratings(values: list) -> bool:
    return bool(values) and all(str(value).strip().lower() in RATINGS for value in values)


def from_rated(values: dict, columns: dict[str, str]) -> tuple | Bad:
    """A prompt, an answer, and true or false; the talk may also stand as messages that end with the answer."""
    rating = str(values.get(columns["rating"])).strip().lower()
    if rating not in RATINGS:
        return Bad("D161", f"`{columns['rating']}` should say whether the answer is good, and is {values.get(columns['rating'])!r}", columns["rating"], f"write one of: {', '.join(RATINGS)}")
    if "messages" in columns:
        turns = _said(values.get(columns["messages"]), columns["messages"], "user")
    else:
        asked = _asked(values, columns)
        answer = _said(values.get(columns["completion"]), columns["completion"], "assistant")
        turns = asked if type(asked) is Bad else answer if type(answer) is Bad else [*asked, *answer]
    if type(turns) is Bad:
        return turns
    if len(turns) < 2 or turns[-1].role != "assistant":
        return Bad("D123", "there is no answer that the rating is about", columns["rating"], "end the talk with the assistant's answer")
    return tuple(turns[:-1]), turns[-1].content, RATINGS[rating]


# ---- prompts --------------------------------------------------------------------------------------
def from_prompt(values: dict, columns: dict[str, str]) -> tuple | Bad:
    """What is asked; a last answer, or a column of references, is what graders compare with; all other columns go to them as `item`."""
    column = columns.get("messages") or columns["prompt"]
    made = chats._system(values, columns)
    turns = made if type(made) is Bad else _said(values.get(column), column, "user")
    if type(turns) is Bad:
        return turns
    turns = [*made, *turns]
    reference = values.get(columns["reference"]) if "reference" in columns else None
    if turns[-1].role == "assistant":
        reference, turns = turns[-1].content, turns[:-1]
    if type(reference) is list:
        answer = _said(reference, columns["reference"], "assistant")
        if type(answer) is Bad:
            return answer
        reference = answer[-1].content
    if not turns or all(turn.role == "system" for turn in turns):
        return Bad("D118", "nothing is asked", column, "leave the row out")
    item = {name: value for name, value in values.items() if name not in columns.values()}
    return tuple(turns), None if reference is None else str(reference), item


KINDS = {Preference: "pairs of answers", Rated: "answers with a rating", Prompt: "prompts"}
"""How a sentence calls these records."""
