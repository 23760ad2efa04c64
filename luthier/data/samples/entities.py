"""Letters to the shop with every person, instrument, order, day, town and sum marked: the places of the slots in tickets written with care.

Which words are marked follows from what they mean in the sentence: a name is a person whatever stands around it. No two rows share template
and slot values.
"""

import string

from luthier.data.samples import tickets
from luthier.data.samples.draws import Draws

LABELS = {
    "name": "person", "friend": "person", "instrument": "instrument", "other": "instrument", "order": "order", "day": "day", "day2": "day", "town": "town",
    "amount": "amount", "months": "duration", "time": "time",
}
"""What a slot's value is called; slots that are not here are not marked."""


def draw(draws: Draws) -> dict:
    """One row: {"text", "spans", "template", "slots"}."""
    row = tickets.draw(draws)
    text, spans = "", []
    for literal, field, _, _ in string.Formatter().parse(row["template"]):
        text += literal
        if field:
            value = row["slots"][field]
            if field in LABELS:
                spans.append({"start": len(text), "end": len(text) + len(value), "label": LABELS[field]})
            text += value
    return {"text": text, "spans": spans, "template": row["template"], "slots": row["slots"]}


def identity(row: dict) -> str:
    """What no two rows share: the template and the slot values."""
    return tickets.identity(row)


def text(row: dict) -> str:
    """All words of a row."""
    return row["text"]
