"""Letters to the shop and the line that a clerk would file them under: what the letter is about, and the things and numbers that matter.

The line follows from the letter's label and slots, so it is known to be true; its words mostly do not stand in the letter in this order.
No two rows share template and slot values.
"""

from luthier.data.samples import tickets
from luthier.data.samples.draws import Draws
from luthier.data.samples.entities import LABELS

MATTERS = {
    "damage": "Something arrived damaged", "lesson": "Question about lessons", "opening_hours": "Question about opening hours", "order_status": "Asks where an order is",
    "payment": "Question about a payment", "refund": "Wants money back", "rental": "Question about renting", "repair": "Needs a repair", "stock": "Asks what is in stock",
}
"""What a clerk writes for each label of the tickets."""
ORDER = ("instrument", "other", "order", "amount", "day", "day2", "name")


def draw(draws: Draws) -> dict:
    """One row: {"source", "target", "template", "slots"}."""
    row = tickets.draw(draws)
    slots, parts = row["slots"], [MATTERS[row["label"]]]
    parts += [f"{LABELS[field]} {slots[field]}" for field in ORDER if field in slots]
    return {"source": row["template"].format(**slots), "target": "; ".join(parts) + ".", "template": row["template"], "slots": slots}


def identity(row: dict) -> str:
    """What no two rows share: the template and the slot values."""
    return tickets.identity(row)


def text(row: dict) -> str:
    """All words of a row."""
    return f"{row['source']}\n{row['target']}"
