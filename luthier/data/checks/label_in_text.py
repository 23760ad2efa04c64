"""D305: a label that is written in its own text, so that a model need only read it off."""
import re
from array import array
from collections.abc import Iterator

import numpy as np

from luthier.data.columns import Batch
from luthier.data.seen import Found, Seen, plural, rows

LEAKS = 0.5
FEWEST = 20
TIMES = 5


class LabelInText:
    """A warning where most rows of a label hold its name and other rows rarely do."""

    def __init__(self):
        self.own: dict[str, array] = {}
        self.total: dict[str, int] = {}
        self.spelled: dict[str, str] = {}
        self.turn = 0
        self.strangers = [0, 0]

    def see(self, batch: Batch) -> None:
        names = None
        for at, one in enumerate(batch.facets, batch.first):
            if one.label is None:
                return
            if one.label not in self.spelled:
                self.spelled[one.label] = " ".join(re.split(r"[\W_]+", one.label.casefold())).strip()
                self.own[one.label], self.total[one.label] = array("q"), 0
                names = None
            name = self.spelled[one.label]
            if len(name) < 3:
                continue
            text = one.segments[0].casefold()
            self.total[one.label] += 1
            if name in text or one.label.casefold() in text:
                self.own[one.label].append(at)
            names = names or list(self.spelled.values())
            # another label's name, in turn: how often a name stands in a text that is not its own
            self.turn = (self.turn + 7) % len(names)
            if names[self.turn] != name and len(names[self.turn]) >= 3:
                self.strangers[0] += names[self.turn] in text
                self.strangers[1] += 1

    def report(self, seen: Seen) -> Iterator[Found]:
        stray = (self.strangers[0] + 1) / (self.strangers[1] + 20)
        leaking = [label for label, found in self.own.items() if self.total[label] >= FEWEST and len(found) > max(LEAKS, TIMES * stray) * self.total[label]]
        # one label's name in its texts is how people speak; most labels' names are a leak
        if leaking and len(leaking) > len([label for label, count in self.total.items() if count >= FEWEST]) / 2:
            found = rows(np.concatenate([np.frombuffer(self.own[label], dtype=np.int64) for label in leaking]))
            listed = ", ".join(f"`{label}`" for label in leaking[:5]) + (" ..." if len(leaking) > 5 else "")
            yield Found("D305", "warning", f"{plural(len(found))} hold{'s' * (len(found) == 1)} the label in the text, where it can be read off: {listed}", found, "remove it from the text if use does not have it there", field="label")
