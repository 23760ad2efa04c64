"""Support conversations of the shop: a question in many wordings, an answer in the house's one, true by the catalogue.

A row is made from a template (intent, frame, wording) and slot values. No two rows share intent and slot values, so that whatever rows are
held out, none of them can be answered from another: the answer copies or derives its facts from this one question.
"""

import string
from functools import cache

from luthier.data.samples.draws import Draws
from luthier.data.samples.shop import Shop, facts_in, open_shop, table


@cache
def _phrases() -> dict:
    return table("chat")


def draw(draws: Draws) -> dict:
    """One row: {"messages", "truth", "template", "slots"}."""
    phrases = _phrases()
    intent = draws.weighted({name: entry["weight"] for name, entry in phrases["intents"].items()})
    entry = phrases["intents"][intent]
    frame = draws.number(0, len(phrases["frames"]) - 1)
    ask = draws.number(0, len(entry["asks"]) - 1)
    slots = _fill(["name", *entry["slots"]], draws)
    return _row(intent, frame, ask, slots, open_shop())


def about(intent: str, given: dict[str, str], draws: Draws, shop: Shop) -> dict:
    """One row of an intent with some slots given, true in a shop that need not be the one that ships."""
    phrases = _phrases()
    entry = phrases["intents"][intent]
    frame, ask = draws.number(0, len(phrases["frames"]) - 1), draws.number(0, len(entry["asks"]) - 1)
    return _row(intent, frame, ask, {**_fill(["name", *entry["slots"]], draws), **given}, shop)


def _fill(names: list[str], draws: Draws) -> dict[str, str]:
    """A value for each slot; a friend is not the writer, the other instrument not the first one."""
    slots = {}
    for name in names:
        free = [value for value in open_shop().values(name) if name not in ("friend", "other") or value not in slots.values()]
        slots[name] = draws.pick(free)
    return slots


def _row(intent: str, frame: int, ask: int, slots: dict[str, str], shop: Shop) -> dict:
    entry = _phrases()["intents"][intent]
    facts = shop.following(slots)
    variant = shop.variant(intent, facts)
    pattern = entry["answers"][variant]
    asks = [part.format(**facts) for part in entry["asks"][ask]]
    first = _phrases()["frames"][frame].format(name=slots["name"], ask=asks[0])
    messages = [{"role": "user", "content": first}]
    if len(asks) > 1:
        messages.append({"role": "assistant", "content": entry["reply"].format(**facts)})
        messages.append({"role": "user", "content": asks[1]})
    messages.append({"role": "assistant", "content": pattern.format(**facts)})
    sides = entry.get("phrases", {})
    truth = {
        "facts": sorted(_required(pattern, facts)),
        "says": [sides[variant]] if variant else [],
        "never": [phrase for other, phrase in sides.items() if other != variant],
    }
    return {"messages": messages, "truth": truth, "template": f"{intent}/{frame}/{ask}", "slots": slots}


def _required(pattern: str, facts: dict[str, str]) -> set[str]:
    """The facts of an answer, by the slots of its pattern, not by reading the answer: what is wanted, not what was written."""
    fields = [field for _, field, _, _ in string.Formatter().parse(pattern) if field]
    fixed = facts_in(" ".join(text for text, _, _, _ in string.Formatter().parse(pattern)))
    return fixed | {facts[field].split(". ")[-1].lower() for field in fields}


def identity(row: dict) -> str:
    """What no two rows share: the intent and the slot values."""
    return row["template"].split("/")[0] + "|" + "|".join(row["slots"].values())


def text(row: dict) -> str:
    """All words of a row."""
    return "\n".join(message["content"] for message in row["messages"])
