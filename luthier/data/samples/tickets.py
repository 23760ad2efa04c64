"""Labelled tickets of the shop: hasty letters whose label follows from what is asked, not from which words occur.

Many letters mention another matter in passing, or name two matters and dismiss one, so that counting words misleads. No two rows share
template and slot values.
"""

import re
import string
from functools import cache

from luthier.data.samples.draws import Draws
from luthier.data.samples.shop import open_shop, table

PASSING = 0.45  # share of letters that mention another matter first
TURNED = 0.3  # share of letters that name two matters and mean one
HASTY = 0.35  # share of letters written without care


@cache
def _phrases() -> dict:
    return table("tickets")


def labels() -> list[str]:
    return sorted(_phrases()["labels"])


def draw(draws: Draws) -> dict:
    """One row: {"text", "label", "template", "slots"}."""
    phrases = _phrases()
    label = draws.pick(labels())
    other = draws.pick([name for name in labels() if name != label])
    right, wrong = phrases["labels"][label], phrases["labels"][other]
    parts = {"opener": draws.pick(phrases["openers"]), "closer": draws.pick(phrases["closers"])}
    if draws.share() < TURNED:
        turn = draws.pick(phrases["turns"])
        parts["body"] = turn.replace("{wrong}", draws.pick(wrong["topics"])).replace("{right}", draws.pick(right["topics"]))
    else:
        parts["body"] = draws.pick(right["asks"]) + draws.pick([".", "?", "", "!", "...", "??"])
    if draws.share() < PASSING:
        parts["body"] = draws.pick(wrong["asides"]) + " " + _capital(parts["body"])
    template = parts["opener"] + (parts["body"] if parts["opener"] else _capital(parts["body"])) + parts["closer"]
    fields = [field for _, field, _, _ in string.Formatter().parse(template) if field]
    slots = {field: draws.pick(_values(field)) for field in sorted(set(fields))}
    written = template.format(**slots)
    return {"text": hurried(written, draws) if draws.share() < HASTY else written, "label": label, "template": template, "slots": slots}


def _values(field: str) -> list[str]:
    if field == "shop":
        return [open_shop().catalogue["shop"], "music shop", "people"]
    return open_shop().values("day" if field == "day2" else field)


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def hurried(text: str, draws: Draws) -> str:
    """What haste does to a letter: no capitals, no stops, two letters swapped, a letter lost, a short form."""
    kind = draws.weighted({"lower": 3, "bare": 2, "swap": 3, "lose": 2, "short": 2})
    if kind == "lower":
        return text.lower()
    if kind == "bare":
        return re.sub(r"[.,;:!?]", "", text).lower()
    if kind == "short":
        return re.sub(r"\byou\b", "u", re.sub(r"\bplease\b", "pls", re.sub(r"\bare\b", "r", text)))
    places = [match for match in re.finditer(r"[a-z]{5,}", text)]
    if not places:
        return text.lower()
    match = draws.pick(places)
    at = match.start() + draws.number(1, len(match.group()) - 3)
    if kind == "swap":
        return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    return text[:at] + text[at + 1 :]


def identity(row: dict) -> str:
    """What no two rows share: the template and the slot values."""
    return row["template"] + "|" + "|".join(row["slots"].values())


def text(row: dict) -> str:
    """All words of a row."""
    return row["text"]
