"""D140-D143, D205: answers that are cut off, stand for others, repeat the question, say nothing, or contradict each other."""
import re
from array import array
from collections.abc import Iterator

import numpy as np

from luthier.data.columns import ANSWER, Batch
from luthier.data.lexicon import lexicon
from luthier.data.phrases import Phrases, Signs
from luthier.data.records import Text
from luthier.data.seen import Found, Seen, level_of, plural, rows

ENDS = frozenset(".!?\"')]}»”’…:;*`>|。！？」』।؟%$€£")
FEWEST_CHARACTERS = 24
ALL_THE_SAME = 0.95
MOST_OPEN = 0.2
"""Where more answers than this share end without a mark, that is how they are written, and says nothing."""
SAME_ANSWER = 0.02
FEWEST_SAME = 10
OPENINGS = ("[insert", "[your", "[enter", "[add", "[placeholder", "[fill in", "<insert", "<your", "<enter", "<placeholder")
CLOSED = re.compile(r"[^\]>\n\0]{0,48}[\]>]")
SAYINGS = ("lorem ipsum", "placeholder text", "your text here", "text goes here")
SHOUTED = re.compile(r"\b(?:TODO|FIXME|TBD|XXX+)\b")
ALONE = frozenset("n/a na none null nan tbd todo - -- ... … ? . test asdf foo placeholder".split())


class Answers:
    """Looks at what is learned of each row; of plain texts, at the text."""

    def __init__(self):
        self.open, self.hanging, self.echoes, self.alone, self.placeholders, self.refusals = (array("q") for _ in range(6))
        self.judged = 0
        self.answered = False
        """Whether any row has an answer; else only plain texts are judged by their ends."""
        self.hang = lexicon("sentence_ends")["hanging"]
        self.refusal, self.sayings = Phrases(lexicon("boilerplate")["refusals"]), Phrases(SAYINGS)
        self.openings, self.shouted = Signs(OPENINGS, any_case=True), Signs(("TODO", "FIXME", "TBD", "XXX"))

    def see(self, batch: Batch) -> None:
        plain = not any(one.segments[ANSWER] for one in batch.facets)
        self.answered |= not plain
        labelled = any(one.label is not None for one in batch.facets[:1])
        for at, one in enumerate(batch.facets, batch.first):
            asked, said, _ = one.segments
            if plain:
                said = asked
            if not labelled:
                self.ending(at, said)
            if said and len(said) == len(asked) and not plain and said.casefold() == asked.casefold():
                self.echoes.append(at)
            if len(said) < 12 and said.strip().casefold() in ALONE:
                self.alone.append(at)
        self.phrases(batch, plain)

    def phrases(self, batch: Batch, plain: bool) -> None:
        """Placeholder text anywhere, refusals in answers."""
        self.placeholders.extend((self.sayings.rows(batch) + batch.first).tolist())
        places = [at for some in self.openings.places(batch.codes).values() for at in some.tolist() if CLOSED.match(batch.blob, at + 1)]
        places += [at for some in self.shouted.places(batch.codes).values() for at in some.tolist() if SHOUTED.match(batch.blob, at)]
        self.placeholders.extend((batch.rows_at(places) + batch.first).tolist())
        if not plain:
            self.refusals.extend((self.refusal.rows(batch, ANSWER) + batch.first).tolist())

    def ending(self, at: int, said: str) -> None:
        """Whether a text ends as a sentence does."""
        if len(said) < FEWEST_CHARACTERS:
            return
        said = said.rstrip()
        self.judged += 1
        last = said[-1:]
        if last in ENDS or not (last.isalpha() or last in ",-"):
            return
        self.open.append(at)
        if last in ",-" or said.rsplit(None, 1)[-1].lower() in self.hang:
            self.hanging.append(at)

    def report(self, seen: Seen) -> Iterator[Found]:
        what = "texts" if seen.record is Text else "answers"
        if seen.record is not Text and not self.answered:
            self.judged = 0
        usual = self.judged and len(self.open) <= MOST_OPEN * self.judged
        if self.judged and len(cut := rows(self.open if usual else self.hanging)):
            how = f"where {1 - len(self.open) / self.judged:.0%} of all end with a mark" if usual else "on a word that goes on"
            yield Found("D140", "warning", f"{plural(len(cut))} {'has a' if len(cut) == 1 else 'have'} {what.removesuffix('s') if len(cut) == 1 else what} that stop{'s' * (len(cut) == 1)} in the middle of a sentence, {how}", cut, "a model learns to stop there; write the end, or leave the rows out", fix="cut")
        if len(found := rows([*self.placeholders, *self.alone])):
            yield Found("D141", level_of(found, seen), f"{plural(len(found))} hold{'s' * (len(found) == 1)} placeholder text (TODO, lorem ipsum, [insert ...], n/a)", found, "fill in what is meant, or leave the rows out", fix="placeholders")
        if len(found := rows(self.echoes)):
            yield Found("D142", level_of(found, seen), f"{plural(len(found))} answer{'s' * (len(found) == 1)} with the question itself", found, "write the answer, or leave the rows out", fix="echoes")
        yield from self.boilerplate(seen)
        yield from self.conflicts(seen)

    def boilerplate(self, seen: Seen) -> Iterator[Found]:
        """One answer to many questions, and refusals that speak of the model itself."""
        answered = np.flatnonzero(seen.answer_N)
        _, inverse, counts = np.unique(seen.answer_N[answered], return_inverse=True, return_counts=True)
        wordy = seen.words_N[answered] >= 3
        common = counts[inverse] >= max(FEWEST_SAME, SAME_ANSWER * len(answered)) if len(answered) else np.zeros(0, dtype=bool)
        if len(answered) >= FEWEST_SAME and counts.max() >= ALL_THE_SAME * len(answered):
            found = answered[inverse == counts.argmax()]
            yield Found("D143", "error", f"{plural(len(found))} of {len(answered):,} have one and the same answer", found, "a model learns to give it whatever is asked: is the right column read as the answer?")
            return
        # a few short answers to everything are a vocabulary of answers, not boilerplate
        if len(answered) and len(counts) > len(answered) / 10 and (common & wordy).any():
            found = answered[common & wordy]
            kinds = len(np.unique(seen.answer_N[found]))
            groups = [[int(row) for row in answered[inverse == kind][:20]] for kind in np.unique(inverse[common & wordy])[:20]]
            yield Found("D143", "warning", f"{plural(len(found))} share {plural(kinds, 'answer')} word for word, whatever is asked", found, "a model falls back on such answers; vary them, or leave most of them out", groups=groups)
        if len(found := rows(self.refusals)):
            yield Found("D143", "warning", f"{plural(len(found))} answer{'s' * (len(found) == 1)} as another model would (\"as an AI language model\" and the like)", found, "write the answer that you want, or leave the rows out", fix="refusals")

    def conflicts(self, seen: Seen) -> Iterator[Found]:
        """One question with different answers."""
        both = np.flatnonzero((seen.answer_N != 0) & (seen.input_N != 0))
        order = both[np.lexsort((seen.answer_N[both], seen.input_N[both]))]
        other = (seen.input_N[order][1:] == seen.input_N[order][:-1]) & (seen.answer_N[order][1:] != seen.answer_N[order][:-1])
        if other.any():
            found = both[np.isin(seen.input_N[both], seen.input_N[order[1:][other]])]
            at = np.flatnonzero(other)[0]
            example = f"{seen.where(int(order[at]))} and {seen.where(int(order[at + 1]))}"
            yield Found("D205", "warning", f"{plural(len(found))} ask the same as another row and answer otherwise: {example}", found, "decide which answer is right, unless variety is meant", fix="conflicts")
