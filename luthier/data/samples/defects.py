"""Faults planted on purpose, each with its row and kind written down, so that a check can be measured against the truth.

Every fault takes the place of a row, so the number of rows stays as asked; rows are never used twice, neither as victim nor as original.
"""

from collections.abc import Callable
from copy import deepcopy

from luthier.data.samples.draws import Draws
from luthier.data.samples.tickets import labels

SHARE = 0.01  # of the rows, for each kind of fault
KINDS = ("empty", "exact_duplicate", "near_duplicate", "conflicting", "mislabelled", "leaked", "private_data")
PRIVATE = {
    "email": "You can write to {low}.{number}@example.org.",
    "phone": "My phone is 555-0{number}.",
    "card": "My card is 4111 1111 1111 1111.",
    "address": "I live at {number} Maple Street, Springfield.",
}


def plant(rows: list[dict], held_out: list[dict], kind: str, draws: Draws) -> list[dict]:
    """Plant every kind of fault in `rows` (changed in place); returns the list of {"kind", "row", "of"?, "detail"?}, rows 1-based.

    `of` is the row that a duplicate or a conflict repeats; for a leaked row it is the row of the held-out file.
    """
    each = max(1, int(len(rows) * SHARE))
    free = draws.some(range(len(rows)), 2 * each * len(KINDS))
    leaked = draws.some(range(len(held_out)), each)
    edit = CHAT if kind == "chat" else TICKETS
    planted = []
    for fault in KINDS:
        for _ in range(each):
            at, of = free.pop(), free.pop()
            if fault == "leaked":
                of = leaked.pop()
                rows[at], detail = deepcopy(held_out[of]), {}
            else:
                rows[at], detail = edit[fault](rows[at], rows[of], draws)
            origin = {} if fault in ("empty", "mislabelled", "private_data") else {"of": of + 1}
            planted.append({"kind": fault, "row": at + 1} | origin | detail)
    return sorted(planted, key=lambda entry: entry["row"])


def _asked(row: dict, change: Callable[[str], str]) -> dict:
    """A copy of a row whose question (first user turn, or text) is changed."""
    row = deepcopy(row)
    place = row["messages"][0] if "messages" in row else row
    field = "content" if "messages" in row else "text"
    place[field] = change(place[field])
    return row


def _same(row: dict, other: dict, draws: Draws) -> tuple[dict, dict]:
    return deepcopy(other), {}


def _nearly(row: dict, other: dict, draws: Draws) -> tuple[dict, dict]:
    addition = draws.pick([" Thank you very much.", " Please answer soon.", " Many thanks in advance."])
    return _asked(other, lambda text: text.rstrip(".!?").replace(",", "") + "." + addition), {}


def _private(row: dict, other: dict, draws: Draws) -> tuple[dict, dict]:
    what = draws.pick(list(PRIVATE))
    number = draws.number(100, 999)
    low = row["slots"].get("name", "somebody").lower()
    secret = PRIVATE[what].format(low=low, number=number)
    return _asked(row, lambda text: f"{text} {secret}"), {"detail": what}


def _no_answer(row: dict, other: dict, draws: Draws) -> tuple[dict, dict]:
    row = deepcopy(row)
    row["messages"][-1]["content"] = draws.pick(["", " ", "\n"])
    return row, {}


def _wrong_answer(row: dict, other: dict, draws: Draws) -> tuple[dict, dict]:
    row = deepcopy(row)
    row["messages"][-1]["content"] = other["messages"][-1]["content"]
    return row, {}


def _other_answer(row: dict, other: dict, draws: Draws) -> tuple[dict, dict]:
    answered = deepcopy(other)
    answered["messages"][-1]["content"] = row["messages"][-1]["content"]
    return answered, {}


def _no_text(row: dict, other: dict, draws: Draws) -> tuple[dict, dict]:
    return deepcopy(row) | {"text": draws.pick(["", " ", "\t"])}, {}


def _wrong_label(row: dict, other: dict, draws: Draws) -> tuple[dict, dict]:
    wrong = draws.pick([label for label in labels() if label != row["label"]])
    return deepcopy(row) | {"label": wrong}, {"detail": row["label"]}


def _other_label(row: dict, other: dict, draws: Draws) -> tuple[dict, dict]:
    second, _ = _wrong_label(other, row, draws)
    return second, {}


ALIKE = {"exact_duplicate": _same, "near_duplicate": _nearly, "private_data": _private}
CHAT = ALIKE | {"empty": _no_answer, "mislabelled": _wrong_answer, "conflicting": _other_answer}
TICKETS = ALIKE | {"empty": _no_text, "mislabelled": _wrong_label, "conflicting": _other_label}
