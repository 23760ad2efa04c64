"""Small sums in the shop, with the right number as reference: what an answer is worth can be checked by a rule, so that rewards need no people.

A row asks how many instruments there are after a few are bought, sold or brought; its grader gives a point each for a number, the instrument, a full stop at
the end and the right number.
"""
from luthier.data.samples.draws import Draws
from luthier.data.samples.shop import open_shop

ASKS = {
    "add": ("The shop has {a} {many}. {name} brings {b} more. How many {many} are there now?", "There are {a} {many} on the wall and {b} in the window. How many {many} is that?"),
    "take": ("The shop has {a} {many}. {name} buys {b} of them. How many {many} are left?", "{name} borrows {b} of our {a} {many}. How many {many} do we still have?"),
}
GRADER = {
    "type": "unit_tests",
    "tests": [{"matches": "[0-9]"}, {"contains": "{{item.instrument}}"}, {"matches": "[.]$"}, {"matches": r"(?<![0-9]){{item.reference}}(?![0-9])"}],
}
"""In the shape of the hosted API's graders; lies beside the rows."""


def draw(draws: Draws) -> dict:
    """One row: {"prompt", "reference", "instrument", "slots"}."""
    shop = open_shop()
    instrument, name = draws.pick(shop.values("instrument")), draws.pick(shop.values("name"))
    kind = draws.pick(list(ASKS))
    first, second = draws.number(2, 30), draws.number(1, 9)
    if kind == "take" and second >= first:
        first, second = second + 1, first
    wording = draws.number(0, len(ASKS[kind]) - 1)
    slots = {"a": str(first), "b": str(second), "many": plural(instrument), "name": name}
    right = first + second if kind == "add" else first - second
    return {"prompt": ASKS[kind][wording].format(**slots), "reference": str(right), "instrument": slots["many"], "slots": {**slots, "kind": kind, "wording": str(wording)}}


def plural(instrument: str) -> str:
    return f"{instrument}es" if instrument.endswith(("s", "x", "ch")) else f"{instrument}s"


def identity(row: dict) -> str:
    """What no two rows share."""
    return f"{row['slots']}"


def text(row: dict) -> str:
    """All that a row says."""
    return f"{row['prompt']} {row['reference']}"
