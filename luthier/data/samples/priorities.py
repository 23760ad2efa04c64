"""Letters to the shop and how urgent each is, from 1 to 10: what kind of matter it is, one point more where a day is named and one where money is.

The number follows from the letter's label and slots, so it is known to be true; words that another matter shares mislead. No two rows share template and slot values.
"""

from luthier.data.samples import tickets
from luthier.data.samples.draws import Draws

URGENCY = {"opening_hours": 1, "stock": 2, "lesson": 3, "rental": 3, "order_status": 5, "payment": 6, "repair": 6, "refund": 7, "damage": 8}
"""What a clerk thinks of each label of the tickets."""
ADDS = {"day": 1, "amount": 1}
"""What a slot adds."""


def draw(draws: Draws) -> dict:
    """One row: {"text", "score", "template", "slots"}."""
    row = tickets.draw(draws)
    score = URGENCY[row["label"]] + sum(points for field, points in ADDS.items() if field in row["slots"])
    return {"text": row["text"], "score": score, "template": row["template"], "slots": row["slots"]}


def identity(row: dict) -> str:
    """What no two rows share: the template and the slot values."""
    return tickets.identity(row)


def text(row: dict) -> str:
    """All words of a row."""
    return row["text"]
