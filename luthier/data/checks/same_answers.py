"""D162: a pair whose two answers are one."""
from luthier.data.findings import Finding
from luthier.data.records import Preference, Record


def check(record: Record) -> Finding | None:
    """An error where chosen and rejected are the same but for white space: such a pair teaches nothing and counts in every average."""
    if type(record) is not Preference or record.chosen.split() != record.rejected.split():
        return None
    return Finding("D162", "error", "chosen and rejected are the same answer", field="rejected", hint="leave the row out")
