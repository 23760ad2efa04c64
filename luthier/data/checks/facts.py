"""D516: what rows of each kind are made of, in one line: turns of talks, marked spans, scores, lengths of two answers, ratings, references."""
from array import array
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np

from luthier.data.columns import Batch
from luthier.data.seen import Found, Seen, plural

LISTED = 6
Notes = dict[str, array]


def of_talk(values: dict, numbers: Notes, counts: Counter) -> None:
    numbers["turns"].append(sum(message["role"] in ("user", "assistant") for message in values["messages"]))
    counts["with a system message"] += values["messages"][0]["role"] == "system"
    counts["with tools"] += "tools" in values


def of_spans(values: dict, numbers: Notes, counts: Counter) -> None:
    begun = [tag[2:] for tag in values["tags"] if tag.startswith("B-")]
    numbers["spans"].append(len(begun))
    counts.update(begun)


def of_labels(values: dict, numbers: Notes, counts: Counter) -> None:
    numbers["labels"].append(len(values["labels"]))
    counts.update(values["labels"])


def of_score(values: dict, numbers: Notes, counts: Counter) -> None:
    numbers["value"].append(values["value"])


def of_pair(values: dict, numbers: Notes, counts: Counter) -> None:
    numbers["source"].append(len(values["source"]))
    numbers["target"].append(len(values["target"]))


def of_preference(values: dict, numbers: Notes, counts: Counter) -> None:
    numbers["chosen"].append(len(values["chosen"]))
    numbers["rejected"].append(len(values["rejected"]))


def of_rating(values: dict, numbers: Notes, counts: Counter) -> None:
    numbers["good"].append(bool(values["good"]))


def of_prompt(values: dict, numbers: Notes, counts: Counter) -> None:
    numbers["reference"].append(values["reference"] is not None)
    counts.update(values["item"].keys())


def middle(numbers: Notes, name: str) -> str:
    return f"{np.median(numbers[name]):,.0f}"


def share(numbers: Notes, name: str) -> str:
    return f"{np.mean(numbers[name]):.0%}"


def listed(counts: Counter) -> str:
    more = f" and {len(counts) - LISTED} more" if len(counts) > LISTED else ""
    return ", ".join(f"{name} {count:,}" for name, count in counts.most_common(LISTED)) + more


KINDS: dict[str, tuple[Callable, Callable[[Notes, Counter], str]]] = {  # a key that only rows of this kind have: what to note, and the sentence
    "chosen": (of_preference, lambda numbers, counts: f"pairs of answers: the chosen one has {middle(numbers, 'chosen')} characters, the rejected one {middle(numbers, 'rejected')} (medians); the chosen one is longer in {np.mean(np.array(numbers['chosen']) > np.array(numbers['rejected'])):.0%}"),
    "good": (of_rating, lambda numbers, counts: f"answers with a rating: {share(numbers, 'good')} of them good"),
    "reference": (of_prompt, lambda numbers, counts: f"prompts: {share(numbers, 'reference')} with a right answer" + (f"; for graders: {', '.join(sorted(counts))}" if counts else "")),
    "messages": (of_talk, lambda numbers, counts: f"talks of {middle(numbers, 'turns')} turns (median; the longest {max(numbers['turns']):,.0f})" + "".join(f", {count:,} {name}" for name, count in counts.items() if count)),
    "tags": (of_spans, lambda numbers, counts: f"{sum(numbers['spans']):,.0f} spans, {np.mean(np.array(numbers['spans']) == 0):.0%} of the rows without any: {listed(counts) or 'none'}"),
    "labels": (of_labels, lambda numbers, counts: f"{np.mean(numbers['labels']):.1f} labels a row, {np.mean(np.array(numbers['labels']) == 0):.0%} of the rows without any: {listed(counts)}"),
    "value": (of_score, lambda numbers, counts: f"numbers from {min(numbers['value']):g} to {max(numbers['value']):g}, mean {np.mean(numbers['value']):.4g}, half of them at most {np.median(numbers['value']):g}"),
    "target": (of_pair, lambda numbers, counts: f"sources of {middle(numbers, 'source')} characters become targets of {middle(numbers, 'target')} (medians)"),
}


class Facts:
    """A notice; of plain texts and of rows with one label the figures elsewhere say all there is."""

    def __init__(self):
        self.kind = ""
        self.numbers: Notes = {name: array("d") for name in ("turns", "spans", "labels", "value", "source", "target", "chosen", "rejected", "good", "reference")}
        self.counts: Counter = Counter()

    def see(self, batch: Batch) -> None:
        if not self.kind and batch.values:
            self.kind = next((key for key in KINDS if key in batch.values[0]), "none")
        if self.kind in KINDS:
            note = KINDS[self.kind][0]
            for values in batch.values:
                note(values, self.numbers, self.counts)

    def report(self, seen: Seen) -> Iterator[Found]:
        if self.kind in KINDS and len(seen):
            yield Found("D516", "info", f"{plural(len(seen))}: {KINDS[self.kind][1](self.numbers, self.counts)}", count=len(seen))
