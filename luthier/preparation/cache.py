"""Records to a token store, once: the store is made again when content, tokenizer, template, settings or code have changed, and only then."""
import dataclasses
import inspect
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from luthier.data.ledger import Ledger, Tokens
from luthier.files import digest
from luthier.preparation.examples import Example, Prepared
from luthier.preparation.renderer import Renderer
from luthier.preparation.store import TokenStore
from luthier.runs.events import Event, Say, silent

AT_ONCE = 256  # records that are rendered and encoded together
SHOWN = 20  # rows that are named for each reason
REASONS = 40  # different reasons that are told apart; templates may write their own


@dataclass(frozen=True)
class PreparedSplit:
    """The token store of one split and what became of its records."""

    store: TokenStore
    rows: int
    """Records that came in."""
    left_out: dict[str, int]
    """Reason to number of records that have no example."""
    left_out_rows: dict[str, list[int]]
    """Reason to the first of those rows: 1-based record numbers of their file where known, else of the split."""
    neutralised: dict[str, int]
    """Control strings found in the data and encoded as text: string to how often."""
    endless: int
    """Learned answers that no end token closes."""
    cut: int
    """Tokens of records that stand in no example."""
    reused: bool
    """Whether the store was there already."""

    @staticmethod
    def of(store: TokenStore, *, reused: bool = True) -> "PreparedSplit":
        """What a store made by `prepare` says about its making."""
        facts = store.facts["facts"]
        return PreparedSplit(store, facts["rows"], facts["left_out"], facts["left_out_rows"], facts["neutralised"], facts["endless"], facts["cut"], reused)

    @property
    def kept(self) -> list[int]:
        """0-based indices, in the split, of the records that have examples; `store.records` has the index for every example."""
        return np.unique(self.store.records).tolist()

    @property
    def used(self) -> int:
        """Records that have examples."""
        return self.rows - sum(self.left_out.values())

    def account(self, ledger: Ledger) -> Ledger:
        """The split's ledger with the rows that preparation left out and with its tokens; the given one stays as it is."""
        reasons = Counter(ledger.left_out)
        reasons.update(self.left_out)
        context = self.store.tokens - self.store.tokens_learned
        tokens = Tokens(self.store.tokens + self.cut, self.store.tokens_learned, context, self.cut)
        return Ledger(ledger.rows_in, ledger.used - sum(self.left_out.values()), reasons, tokens).check()


def prepare(records: Iterable, examples: Callable[[Sequence, Renderer], Sequence[Prepared]], renderer: Renderer, folder: Path, *, content: str, task: object, say: Say = silent) -> PreparedSplit:
    """The store of a split, made by `examples(records, renderer)` or reused.

    `content` names the records by hash; `task` is what `examples` belongs to: its settings and its source file are part of the key.
    """
    key = key_of(content, renderer, task)
    if store := TokenStore.cached(folder, key):
        return PreparedSplit.of(store)
    tally = Tally(renderer)
    store = TokenStore.build(folder, tally.stream(records, examples, say), key, facts=tally.facts)
    return PreparedSplit.of(store, reused=False)


def key_of(content: str, renderer: Renderer, task: object) -> str:
    """Hash of everything that decides the tokens of a split."""
    return digest(content, renderer.fingerprint, repr(task), code_hash(Path(__file__).parent), digest(Path(inspect.getfile(type(task))).read_bytes()))


def code_hash(folder: Path) -> str:
    """Hash of the source of a part, file names included."""
    sources = sorted(folder.rglob("*.py"))
    return digest(*itertools.chain.from_iterable((path.relative_to(folder).as_posix(), path.read_bytes()) for path in sources))


def weighed(item: Example, weight: float) -> Example:
    """An example that counts as its row does: by its tokens, or as a whole where it has a label or numbers."""
    if weight == 1.0:
        return item
    if item.label is not None or item.values is not None:
        return dataclasses.replace(item, share=item.share * weight)
    return dataclasses.replace(item, weights=item.weights * np.float32(weight))


class Tally:
    """Counts what becomes of records while their examples stream into a store."""

    def __init__(self, renderer: Renderer):
        self.renderer = renderer
        self.rows = self.cut = 0
        self.left_out: Counter[str] = Counter()
        self.left_out_rows: dict[str, list[int]] = {}
        self._counts, self._endless = renderer.counts, renderer.endless

    def stream(self, records: Iterable, examples: Callable[[Sequence, Renderer], Sequence[Prepared]], say: Say) -> Iterator[Example]:
        """The examples of all records in order, a batch in memory at a time."""
        waiting = iter(records)
        while batch := list(itertools.islice(waiting, AT_ONCE)):
            for record, prepared in zip(batch, examples(batch, self.renderer), strict=True):
                if prepared.left_out:
                    self._leave_out(prepared.left_out, record)
                self.cut += prepared.cut
                yield from (dataclasses.replace(weighed(item, record.weight), record=self.rows) for item in prepared.examples)
                self.rows += 1
            say(Event("progress", data={"task": "tokens", "done": self.rows, "total": None, "unit": "rows"}))

    def _leave_out(self, reason: str, record: object) -> None:
        if reason not in self.left_out and len(self.left_out) >= REASONS:
            reason = "another reason of the chat template"
        self.left_out[reason] += 1
        shown = self.left_out_rows.setdefault(reason, [])
        if len(shown) < SHOWN:
            shown.append(record.origin.row if record.origin else self.rows + 1)

    def facts(self) -> dict:
        """What the store keeps beside the examples."""
        neutralised = self.renderer.counts - self._counts
        return {"rows": self.rows, "cut": self.cut, "left_out": dict(self.left_out), "left_out_rows": self.left_out_rows, "neutralised": dict(neutralised), "endless": self.renderer.endless - self._endless}

