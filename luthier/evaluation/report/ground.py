"""The last parts of a report: the data, alerts, cost, where the model loads, how to make it again, and its limits."""
from collections.abc import Sequence

from luthier.evaluation.report.document import Block, Code, Notice, Prose, Section, Table
from luthier.evaluation.report.escape import short
from luthier.evaluation.report.folder import RunFiles, inner, items, number, word
from luthier.evaluation.report.opening import model_name
from luthier.evaluation.report.pictures import shares
from luthier.evaluation.wording import rows as so_many
from luthier.evaluation.wording import seconds

SPLITS = ("train", "validation", "test")
TOKENS = (("learned", "part learned"), ("context", "part context"), ("cut", "part cut"))


# ---- data ---------------------------------------------------------------------------------------
def data(run: RunFiles) -> Section | None:
    """Every row and token accounted for, and what the checks found."""
    splits = [name for name in SPLITS if inner(run.ledger, name)]
    if not splits and not run.check:
        return None
    blocks: list[Block] = []
    if splits:
        blocks.append(Prose(ledger_sentence(run, splits)))
        blocks.append(ledger_table(run, splits))
        if bars := [(name, token_parts(run, name)) for name in splits if token_total(run, name)]:
            blocks.append(shares("Tokens of each split", token_sentence(run), bars))
    looked = {word(finding.get("code")) for finding in items(run.doctor, "findings") if isinstance(finding, dict)}
    findings = [finding for finding in items(run.check, "findings") if isinstance(finding, dict) and word(finding.get("code")) not in looked]
    findings += [finding for finding in items(run.doctor, "findings") if isinstance(finding, dict)]
    if findings:
        blocks.append(finding_table(findings))
    elif run.check:
        blocks.append(Prose("The checks found nothing to report."))
    if prints := fingerprints(run):
        blocks.append(Table(["source", "SHA-256"], prints, title="Fingerprints of the data", folded=True))
    return Section("data", "Data", blocks)


def amount(run: RunFiles, split: str, *keys: str) -> float:
    """A number of the ledger, 0 where it has none."""
    values = inner(run.ledger, split, *keys[:-1])
    return number(values.get(keys[-1])) or 0.0


def ledger_sentence(run: RunFiles, splits: Sequence[str]) -> str:
    came, used = (sum(amount(run, name, key) for name in splits) for key in ("rows_in", "used"))
    if came == used:
        return f"All {came:,.0f} rows that came in are used."
    return f"{came:,.0f} rows came in, {used:,.0f} are used and {came - used:,.0f} were left out, for the reasons below."


def ledger_table(run: RunFiles, splits: Sequence[str]) -> Table:
    reasons = list(dict.fromkeys(reason for name in splits for reason in inner(run.ledger, name, "left_out")))
    lines = [["rows in", *(f"{amount(run, name, 'rows_in'):,.0f}" for name in splits)]]
    lines += [[f"left out: {reason}", *(f"{amount(run, name, 'left_out', reason):,.0f}" for name in splits)] for reason in reasons]
    lines.append(["rows used", *(f"{amount(run, name, 'used'):,.0f}" for name in splits)])
    if any(token_total(run, name) for name in splits):
        for key in ("in", "learned", "context", "cut"):
            lines.append([f"tokens {key}", *(f"{amount(run, name, 'tokens', key):,.0f}" for name in splits)])
    return Table(["", *splits], lines, frozenset(range(1, len(splits) + 1)), "Ledger")


def token_total(run: RunFiles, split: str) -> float:
    return sum(amount(run, split, "tokens", key) for key, _ in TOKENS)


def token_parts(run: RunFiles, split: str) -> list[tuple[str, float, str]]:
    return [(key, amount(run, split, "tokens", key), kind) for key, kind in TOKENS]


def token_sentence(run: RunFiles) -> str:
    split = next(name for name in SPLITS if token_total(run, name))
    total, cut = token_total(run, split), amount(run, split, "tokens", "cut")
    learned = amount(run, split, "tokens", "learned") / total
    lost = "nothing was cut" if not cut else f"{cut:,.0f} were cut off because they did not fit"
    return f"Of {total:,.0f} {split} tokens {100 * learned:.1f} % are learned, the rest is context; {lost}."


def finding_table(findings: Sequence[dict]) -> Table:
    order = {"error": 0, "warning": 1, "info": 2}
    ordered = sorted(findings, key=lambda finding: order.get(word(finding.get("level")), 3))
    lines = [[word(f.get("level")), word(f.get("code")), short(word(f.get("message")), 300), place(f), so_many(int(number(f.get("count")) or 0))] for f in ordered[:20]]
    rest = f", the first 20 of {len(ordered)}" if len(ordered) > 20 else ""
    return Table(["level", "code", "what", "where", "how many"], lines, title=f"What the checks found{rest}")


def place(finding: dict) -> str:
    """file:line, without the folders of this machine."""
    file = word(finding.get("file")).rsplit("/", 1)[-1]
    return ":".join([file, *(word(finding.get(key)) for key in ("line", "column") if finding.get(key) is not None)]) if file else ""


def fingerprints(run: RunFiles) -> list[list[str]]:
    found = [[word(inner(run.check, "sources", name).get("name")).rsplit("/", 1)[-1], word(inner(run.check, "sources", name).get("sha256"))] for name in inner(run.check, "sources")]
    whole = word(inner(run.facts, "data").get("fingerprint")) or word(run.check.get("fingerprint"))
    return found + ([["the split data set", whole]] if whole else [])


# ---- alerts -------------------------------------------------------------------------------------
def alerts(run: RunFiles) -> Section | None:
    """Everything that was warned of, with its step."""
    if not run.facts and not run.events:
        return None
    warnings = [event for event in run.events if event.get("kind") == "warning"]
    blocks: list[Block] = [Notice("warning", f"This report is incomplete: {sentence}.") for sentence in run.unreadable]
    if not warnings:
        return Section("alerts", "Alerts", [*blocks, Prose("Nothing alarming happened: no spike, no NaN, no overfitting alarm, no stalled learning.")])
    lines = [[step_words(inner(event, "data")), word(inner(event, "data").get("code")), short(word(event.get("message")), 400)] for event in warnings[:50]]
    more = f", the first 50 of {len(warnings)}" if len(warnings) > 50 else ""
    return Section("alerts", "Alerts", [*blocks, Table(["step", "code", "what"], lines, frozenset({0}), f"{so_many(len(warnings), 'warning')}{more}")])


def step_words(values: dict) -> str:
    step = number(values.get("step"))
    return f"{step:,.0f}" if step else ""


# ---- cost ---------------------------------------------------------------------------------------
UNITS = {"tokens": "{:,.0f}", "energy_joules": "{:,.0f} J", "energy_kwh": "{:.4f} kWh", "threads": "{:.0f}", "steps": "{:,.0f}", "cores": "{:.0f}"}


def cost(run: RunFiles) -> Section | None:
    """Seconds, tokens, energy where it can be read, and what had been planned."""
    spent, planned, measured = (inner(run.facts, key) for key in ("cost", "planned", "measured"))
    if not spent and not planned and number(run.facts.get("seconds")) is None:
        return None
    lines = [["whole run", seconds(number(run.facts.get("seconds")))]] if "seconds" not in spent else []
    lines += [[key.replace("_", " "), amount_words(key, value)] for key, value in spent.items()]
    if not any("energy" in key for key in spent):
        lines.append(["energy", "not readable on this machine"])
    if number(spent.get("seconds")) and number(spent.get("tokens")):
        lines.append(["tokens a second, everything counted", f"{spent['tokens'] / spent['seconds']:,.0f}"])
    blocks: list[Block] = [Table(["", "spent"], lines, frozenset({1}))]
    if planned or measured:
        keys = list(dict.fromkeys([*planned, *measured]))
        compared = [[key.replace("_", " "), amount_words(key, planned.get(key)), amount_words(key, measured.get(key))] for key in keys]
        blocks.append(Table(["", "planned", "measured"], compared, frozenset({1, 2}), "Planned and real"))
    return Section("cost", "Cost", blocks)


def amount_words(key: str, value: object) -> str:
    """A figure with the unit that its name tells."""
    amount = number(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if amount is None:
        listed = ", ".join(word(item) for item in value) if isinstance(value, list) else word(value)
        return short(listed, 160) or "–"
    if key in UNITS:
        return UNITS[key].format(amount)
    if key.endswith("seconds"):
        return seconds(amount)
    if key.startswith("price_"):
        return f"{amount:,.4f} {key.removeprefix('price_').upper()}"
    if key.endswith("bytes") or (key.endswith(("_total", "_free")) and amount >= 1e6):
        return f"{amount / 1e9:.2f} GB" if amount >= 1e8 else f"{amount / 1e6:.1f} MB"
    return f"{amount:,.6g}"


# ---- where it loads -----------------------------------------------------------------------------
def loading(run: RunFiles) -> Section | None:
    """Which programs load the saved model, and what the check in a fresh process found."""
    if not (run.path / "model").is_dir() and not inner(run.facts, "reload"):
        return None
    programs, check = run.facts.get("loads_in"), inner(run.facts, "reload")
    blocks: list[Block] = []
    if isinstance(programs, list) and programs:
        blocks.append(Prose(f"The folder model/ loads in {', '.join(word(program) for program in programs)}."))
    if check.get("sentence"):
        blocks.append(Prose(word(check["sentence"])))
    if plain := [[key.replace("_", " "), amount_words(key, value)] for key, value in check.items() if key != "sentence" and isinstance(value, int | float | str)]:
        blocks.append(Table(["", "found"], plain, frozenset({1}), "Saved, then loaded in a fresh process", folded=True))
    return Section("loading", "Where it loads", blocks) if blocks else None


# ---- again --------------------------------------------------------------------------------------
def again(run: RunFiles) -> Section:
    """The command, the resolved recipe with the reasons, versions and the machine."""
    blocks: list[Block] = []
    if command := word(run.facts.get("command")):
        blocks.append(Code(command, "It was made with"))
    blocks.append(Code(f"luthier train runs/{run.name}/config.resolved.yaml", "To make it again, bit for bit on the same machine"))
    reasons = inner(run.facts, "resolved")
    lines = [[key, amount_words(key, inner(reasons, key).get("value")), word(inner(reasons, key).get("reason"))] for key in reasons]
    if lines:
        blocks.append(Table(["setting", "value", "why"], lines, title="What auto became", folded=True))
    if run.recipe:
        blocks.append(Code(short(run.recipe, 20_000), "The resolved recipe", folded=True, language="yaml"))
    blocks.append(Table(["", ""], made_of(run), title="Versions, machine, seed", folded=True))
    return Section("again", "Make it again", blocks)


def made_of(run: RunFiles) -> list[list[str]]:
    lines = [["seed", word(run.facts.get("seed"))], ["base", f"{model_name(run)} {word(inner(run.facts, 'model').get('fingerprint'))[:16]}".strip()]]
    for part in ("versions", "machine"):
        lines += [[key.replace("_", " "), short(amount_words(key, value), 120)] for key, value in inner(run.facts, part).items() if not isinstance(value, dict | list)]
    return lines


# ---- limits -------------------------------------------------------------------------------------
def limits(run: RunFiles) -> Section:
    """What these figures do not say, and whose terms hold."""
    count = number(run.verdict.get("n"))
    measured = f"The figures are measured on {so_many(int(count), 'test row')} from the same source as the training rows" if count else "Nothing was measured on unseen rows"
    licence = word(inner(run.facts, "model").get("license"))
    terms = f"The base {model_name(run) or 'model'} is under {licence}" if licence else f"The licence of the base {model_name(run)} was not found in its folder; its terms hold for what is made from it"
    return Section(
        "limits",
        "Limits and licence",
        [
            Prose(f"{measured}; on inputs of another kind nothing is known. What the base learned before, and what it forgot, is not measured here."),
            Prose(f"{terms}. The data is yours, and so are the duties towards the people in it: a tuned model can repeat what it read."),
        ],
    )
