"""Pair by pair: how surely the better answer is preferred, and whether length alone decides; answer by answer: won, tied and lost against the starting model."""
from collections.abc import Sequence

import numpy as np

from luthier.evaluation.report.document import Block, Notice, Prose, Table
from luthier.evaluation.report.escape import short
from luthier.evaluation.report.folder import RunFiles, inner, number, objects, word
from luthier.evaluation.report.label_panel import sure_and_right
from luthier.evaluation.report.pictures import cloud, shares

SHOWN = 6


# ---- pairs --------------------------------------------------------------------------------------
def pair_blocks(run: RunFiles, rows: Sequence[dict]) -> list[Block]:
    """Margin over length, calibration of the sureness, and the pairs that it has most surely wrong."""
    known = [(margin, number(row.get("longer")) or 0.0, row) for row in rows if (margin := number(row.get("margin"))) is not None]
    blocks: list[Block] = []
    if len({longer for _, longer, _ in known}) > 1:
        blocks.append(margins(known))
    if told := word(inner(run.verdict, "implicit_reward").get("sentence")):
        blocks.append(Prose(f"{told}."))
    if told := word(inner(run.verdict, "length_bias").get("sentence")):
        blocks.append(Notice("warning", f"{told}."))
    blocks += sureness(run, rows)
    worst = sorted((one for one in known if one[0] < 0), key=lambda one: one[0])[:10]
    if worst:
        lines = [[word(row.get("row")), short(word(row.get("question")), 300), f"{margin:+.3f}"] for margin, _, row in worst]
        blocks.append(Table(["row", "prompt and answers", "margin"], lines, frozenset({2}), "The pairs that it has most surely the wrong way round", folded=True))
    return blocks


def margins(known: Sequence[tuple[float, float, dict]]):
    """A dot a pair, of pairs that differ in length."""
    right = {True: [], False: []}
    for margin, longer, _ in known:
        if longer:
            right[longer > 0].append(float(margin > 0))
    said = " and ".join(f"{np.mean(found):.0%} of {len(found):,} where it is {words}" for up, words in ((True, "longer"), (False, "shorter")) if (found := right[up]))
    dots = [(longer, margin, f"row {word(row.get('row'))}: margin {margin:+.3f}, chosen longer by {longer:,.0f} characters") for margin, longer, row in known]
    sentence = f"Above zero the chosen answer is preferred: {said}. A cloud that rises from left to right would mean that length decides."
    return cloud("Margin and length of each pair", sentence, dots, "characters by which the chosen answer is longer", "margin", [])


def sureness(run: RunFiles, rows: Sequence[dict]) -> list[Block]:
    """How often the preferred answer is the chosen one, by how surely it is preferred."""
    pairs = [(max(share, 1 - share), float(row.get("answer") == "chosen")) for row in rows if (share := number(row.get("confidence"))) is not None]
    return sure_and_right(run, pairs, "the answer that it prefers is the chosen one in {} of the pairs")


# ---- answers ------------------------------------------------------------------------------------
def won(run: RunFiles) -> list[Block]:
    """The win rate and some of the prompts behind it, lost ones first."""
    found = inner(run.verdict, "win_rate")
    if number(found.get("value")) is None:
        return []
    counts = [(words, number(found.get(key)) or 0.0, kind) for words, key, kind in (("won", "wins", "part learned"), ("tied", "ties", "part context"), ("lost", "losses", "part cut"))]
    sentence = f"{word(found.get('sentence'))}."
    blocks: list[Block] = [shares("Tuned against the starting model, answer by answer", sentence, [("tuned", counts)], unit="prompts")]
    judge = inner(found, "judge")
    if number(judge.get("asked")):
        blocks.append(Prose(f"The judge was asked {judge['asked']:,.0f} times, both orders of each pair; it named the first place {number(judge.get('first')) or 0:,.0f} times and the second {number(judge.get('second')) or 0:,.0f} times.", "note"))
    rows = [row for row in objects(run.path / "evaluation" / "win_rate.jsonl", run.unreadable) if number(row.get("outcome")) is not None]
    rows.sort(key=lambda row: number(row["outcome"]))
    chosen = [*rows[: SHOWN // 2], *rows[len(rows) - SHOWN // 2 :]] if len(rows) > SHOWN else rows
    if chosen:
        words = {0.0: "lost", 0.5: "tied", 1.0: "won"}
        lines = [[short(word(row.get(key)), 240) for key in ("prompt", "before", "after")] + [words.get(number(row["outcome"]), "won one order")] for row in chosen]
        blocks.append(Table(["prompt", "starting model", "tuned", "outcome"], lines, title="Prompts lost and won", folded=True))
    return blocks
