"""What `train` asks of the doctor before it starts: the errors that `check` would tell stop it, and the warnings are told in one line.

What may be an error is always looked for; what can only be a warning is left to `check` where there are very many rows.
"""
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from luthier.data import doctor
from luthier.data.checks import STREAM_CHECKS
from luthier.data.dataset import DataSet
from luthier.data.findings import CODES, Finding
from luthier.data.settings import ACCEPTED
from luthier.errors import DataError
from luthier.runs.events import Event, Say, silent

MOST_ROWS = 100_000
"""Beyond, only the checks that can stop a training are made."""
STOPPING = ("answers", "characters", "turns")
"""Stream checks that know errors; a test holds that no other does."""
LISTED = 6
_known: dict[tuple, list[Finding]] = {}


def vet(data: DataSet, accepted: Iterable[str] = (), say: Say = silent) -> list[dict]:
    """The doctor's findings about a data set that is about to be learned; DataError with all of them where one is an error that was not accepted.

    The same rows are looked at, and the warnings told, once in a process: further trainings of one run read what stands there already.
    """
    rows = sum(account.used for account in data.ledger.values())
    checks = (*STREAM_CHECKS, "near duplicates") if rows <= MOST_ROWS else STOPPING
    key = (data.fingerprint, checks)
    new = key not in _known
    if new:
        _known.clear()
        _known[key] = doctor.examine(data, only=checks, say=say).findings()
    found = [one.to_dict() for one in settled(_known[key], accepted)]
    refuse(found)
    if new and (words := warned([*(one for one in data.findings if one["code"] not in doctor.MEASURED_ANEW), *found])):
        say(Event("note", f"the doctor warns of {words}; luthier check shows the rows", {"findings": [one["code"] for one in found if one["level"] == "warning"]}))
    return found


def settled(findings: Iterable[Finding], accepted: Iterable[str]) -> list[Finding]:
    """The findings with errors that the recipe accepts as warnings."""
    accepted = set(accepted)
    return [replace(one, level="warning", hint="accepted by data.accept") if one.level == "error" and one.code in accepted else one for one in findings]


def refuse(findings: Iterable[dict]) -> None:
    """Stop where a finding is an error."""
    findings = list(findings)
    errors = [one for one in findings if one["level"] == "error"]
    if not errors:
        return
    first, more = errors[0], f" (and {len(errors) - 1} more errors)" if len(errors) > 1 else ""
    place = {key: first[key] for key in ("code", "file", "line", "column", "byte_offset", "field", "rows", "count")}
    meant = f"; if it is meant: data.accept=[{first['code']}]" if first["code"] in ACCEPTED else ""
    raise DataError(f"{first['message']}{more}", findings=findings, hint=first["hint"] + meant, **place)


def warned(findings: Iterable[dict]) -> str:
    """The warnings in a few words, those of most rows first: `near duplicates (212 rows), what looks private (3)`."""
    counts: Counter[str] = Counter()
    for one in findings:
        if one["level"] == "warning":
            counts[one["code"]] += one["count"] or 1
    listed = ", ".join(f"{CODES[code]} ({count:,})" for code, count in counts.most_common(LISTED))
    return listed + (f" and {len(counts) - LISTED} more" if len(counts) > LISTED else "")
