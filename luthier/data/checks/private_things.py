"""D501 over whole batches: every kind of private thing counted, with the rows that hold it; names and places only where a model that finds them was named."""
from array import array
from collections.abc import Iterator

import numpy as np

from luthier.data.columns import Batch, Lookup, hash_word
from luthier.data.private import KINDS, SECRET_WORDS, Names, found_by, scan
from luthier.data.seen import Found, Seen, plural, rows


class PrivateThings:
    """A warning per kind; what was found is never repeated, neither on the screen nor in a file."""

    def __init__(self, names: Names | None = None):
        self.names = names
        self.secrets = Lookup([hash_word(word) for word in SECRET_WORDS], np.arange(len(SECRET_WORDS)))
        self.rows = {kind: array("q") for kind in KINDS}
        self.counts = dict.fromkeys(KINDS, 0)

    def see(self, batch: Batch) -> None:
        words = batch.words
        secrets = words.start_W[np.sort(self.secrets.find(words.hash_W)[0])].tolist() if words.start_W is not None else None
        spans = scan(batch.blob, secrets, batch.codes)
        for span, row in zip(spans, batch.rows_at([span.start for span in spans])):
            self.rows[span.kind].append(batch.first + int(row))
            self.counts[span.kind] += 1
        if self.names is not None:
            self.see_names(batch)

    def see_names(self, batch: Batch) -> None:
        """What a model finds in each row."""
        for at, spans in enumerate(found_by(self.names, ["\n".join(filter(None, one.segments)) for one in batch.facets]), batch.first):
            for span in spans:
                self.rows[span.kind].append(at)
                self.counts[span.kind] += 1

    def report(self, seen: Seen) -> Iterator[Found]:
        for kind, words in KINDS.items():
            if len(found := rows(self.rows[kind])):
                times = f", {self.counts[kind]:,} in all" if self.counts[kind] > len(found) else ""
                message = f"{words} in {plural(len(found))}{times}"
                yield Found("D501", "warning", message, found, "a tuned model can repeat it to strangers; `--fix pii` masks it, `--pii pseudonym` keeps who is who", fix="pii", why=dict.fromkeys(found.tolist(), words))
