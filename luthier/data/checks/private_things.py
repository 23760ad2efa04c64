"""D501 over whole batches: every kind of private thing counted, with the rows that hold it."""
from array import array
from collections.abc import Iterator

from luthier.data.columns import Batch
from luthier.data.private import KINDS, scan
from luthier.data.seen import Found, Seen, plural, rows


class PrivateThings:
    """A warning per kind; what was found is never repeated, neither on the screen nor in a file."""

    def __init__(self):
        self.rows = {kind: array("q") for kind in KINDS}
        self.counts = dict.fromkeys(KINDS, 0)

    def see(self, batch: Batch) -> None:
        spans = scan(batch.blob)
        for span, row in zip(spans, batch.rows_at([span.start for span in spans])):
            self.rows[span.kind].append(batch.first + int(row))
            self.counts[span.kind] += 1

    def report(self, seen: Seen) -> Iterator[Found]:
        for kind, words in KINDS.items():
            if len(found := rows(self.rows[kind])):
                times = f", {self.counts[kind]:,} in all" if self.counts[kind] > len(found) else ""
                message = f"{words} in {plural(len(found))}{times}"
                yield Found("D501", "warning", message, found, "a tuned model can repeat it to strangers; `--fix pii` masks it, `--pii pseudonym` keeps who is who", fix="pii", why=dict.fromkeys(found.tolist(), words))
