"""Pairs of answers from the shop: the house's own answer, true by the catalogue, and one that is worse in one plain way.

Worse is: another row's facts (wrong), a curt tone, or an answer that breaks off. Which of the three is drawn, and none of them is told by length alone:
wrong answers are as long, curt ones shorter, and rambling ones longer than the right one.
"""
from luthier.data.samples import chat
from luthier.data.samples.draws import Draws

FAULTS = {"wrong": 0.4, "curt": 0.3, "rambling": 0.3}
CURT = ("No idea. Next.", "Look it up yourself.", "Not my job.", "Ask somebody else.")
RAMBLING = (" But who knows, and it hardly matters anyway.", " Or so they say, I really could not care less.", " Anyway, stop asking such things, we are busy here.")


def draw(draws: Draws) -> dict:
    """One row: {"prompt", "chosen", "rejected", "fault", "slots", "template"}."""
    row, other = chat.draw(draws), chat.draw(draws)
    answer = row["messages"][-1]["content"]
    fault = draws.weighted(FAULTS)
    worse = {"wrong": other["messages"][-1]["content"], "curt": draws.pick(CURT), "rambling": answer + draws.pick(RAMBLING)}[fault]
    return {"prompt": row["messages"][-2]["content"], "chosen": answer, "rejected": worse, "fault": fault, "slots": row["slots"], "template": row["template"]}


def identity(row: dict) -> str:
    """What no two rows share."""
    return f"{row['template']} {row['slots']} {row['fault']}"


def text(row: dict) -> str:
    """All that a row says."""
    return f"{row['prompt']} {row['chosen']}"
