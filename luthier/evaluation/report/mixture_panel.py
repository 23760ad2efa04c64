"""The panel of a mixture: what each source brought and what became of it, and the kinds of task that were never learned, before and after."""
from luthier.evaluation.report.document import Block, Notice, Prose, Section, Table
from luthier.evaluation.report.folder import RunFiles, inner, number, word
from luthier.evaluation.wording import figure, metric_words


def mixture(run: RunFiles) -> Section | None:
    """None where there is one data set and nothing is held out."""
    blocks: list[Block] = [block for block in (accounts(run), sources(run), *kinds(run)) if block is not None]
    return Section("mixture", "Sources and kinds of task", blocks) if blocks else None


def accounts(run: RunFiles) -> Table | None:
    """Rows and tokens of each source, split by split."""
    lines = []
    for name, account in run.ledger.items():
        if " of " in name and isinstance(account, dict):
            left, tokens = inner(account, "left_out"), inner(account, "tokens")
            reasons = "; ".join(f"{word(reason)}: {number(count) or 0:,.0f}" for reason, count in left.items())
            lines.append([name.partition(" of ")[2], name.partition(" of ")[0], *(f"{number(account.get(key)) or 0:,.0f}" for key in ("rows_in", "used")), f"{number(tokens.get('learned')) or 0:,.0f}", reasons or "none"])
    lines.sort(key=lambda line: line[0])
    return Table(["source", "split", "rows in", "rows used", "tokens learned", "left out"], lines, frozenset({2, 3, 4}), "What each source brought") if lines else None


def sources(run: RunFiles) -> Table | None:
    """Every contestant's headline figure on the test rows of each source."""
    found = {name: one for name, one in inner(run.facts, "by_source").items() if isinstance(one, dict)}
    names = list(dict.fromkeys(contestant for one in found.values() for contestant in one))
    metric = word(run.verdict.get("metric"))
    lines = [[name, f"{number(inner(one, names[0]).get('n')) or 0:,.0f}", *(figure(number(inner(one, contestant).get("value")), metric) for contestant in names)] for name, one in found.items()] if names else []
    return Table(["source", "test rows", *names], lines, frozenset(range(1, len(names) + 2)), f"{metric_words(metric)} by source") if lines else None


def kinds(run: RunFiles) -> list[Block]:
    """Held-out kinds of task without and with examples, before and after."""
    found = {name: one for name, one in inner(run.facts, "held_out").items() if isinstance(one, dict)}
    if not found:
        return []
    lines, worse = [], []
    for name, one in found.items():
        metric = word(one.get("metric"))
        for shots, values in inner(one, "shots").items():
            before, after, change = (inner(values, key) for key in ("base", "tuned", "change"))
            low, high = number(change.get("low")), number(change.get("high"))
            lines.append([name, f"{number(one.get('rows')) or 0:,.0f}", word(shots), *(figure(number(each.get("value")), metric) for each in (before, after)),
                          f"{figure(number(change.get('value')), metric, signed=True)} ({figure(low, metric)} to {figure(high, metric)})"])
            if high is not None and high < 0:
                worse.append(f"{name} with {word(shots)} examples")
    said = Notice("bad", f"Surely worse than before: {', '.join(worse)}.") if worse else Prose("No kind of task that was held out is surely worse than before.")
    return [said, Table(["held out", "rows", "examples shown", "before", "after", "change, 95 % interval"], lines, frozenset({1, 2, 3, 4}), "Kinds of task that were never learned")]
