"""Several labels a text: each applies or does not, whatever the others do."""
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from luthier.data.records import JOINT, MultiLabelled
from luthier.metrics import calibration, multilabel
from luthier.runs.events import Say, silent
from luthier.tasks.answers import Answer
from luthier.tasks.classification import PreparedClassification, halves

APPLIES = 0.5
"""A label applies from this probability on."""


@dataclass
class PreparedMultiLabel(PreparedClassification):
    """Classification with several labels a text."""

    def seen(self, counts: Mapping[str, int]):
        """Rows of several labels are not weighed."""
        return self, ""

    def examples(self, records: Sequence[MultiLabelled], renderer):
        return [renderer.labelled(record.text, None, pair=record.pair, values=self.wanted(record)) for record in records]

    def wanted(self, record: MultiLabelled) -> np.ndarray:
        """[L] 1 where a label applies."""
        return np.array([float(label in record.labels) for label in self.labels], dtype=np.float32)

    def logits(self, language_model, renderer, records: Sequence[MultiLabelled], say: Say):
        """Logits [N, L], the tokens read and the seconds of each row."""
        from luthier.tasks.asking import row_outputs  # torch

        prepared = [renderer.labelled(record.text, None, pair=record.pair) for record in records]
        logits_NL, seconds = row_outputs(language_model, prepared, say=say)
        return logits_NL, [len(item.examples[0].tokens) for item in prepared], seconds

    def answers(self, language_model, renderer, records: Sequence[MultiLabelled], *, shots=None, say: Say = silent) -> list[Answer]:
        """Every label whose probability is at least one half, and the probability of each."""
        logits_NL, tokens, seconds = self.logits(language_model, renderer, records, say)
        found = []
        for logits_L, record, read, taken in zip(logits_NL / self.temperature, records, tokens, seconds, strict=True):
            shares_L = 1 / (1 + np.exp(-logits_L))
            chosen = [label for label, share in zip(self.labels, shares_L, strict=True) if share >= APPLIES]
            nll = float((np.logaddexp(0, logits_L) - self.wanted(record) * logits_L).sum())
            text = JOINT.join(chosen)
            found.append(Answer(text or "none", label=text, probabilities=dict(zip(self.labels, shares_L.round(6).tolist(), strict=True)), nll=nll, learned_tokens=1, tokens_in=read, tokens_out=len(chosen), seconds=taken))
        return found

    def predict(self, language_model, renderer, texts: Sequence[str], *, say: Say = silent) -> list[dict]:
        """The labels of each text with the probability of each; two texts stand apart by a tab."""
        records = [MultiLabelled(first, (), *rest) for first, _, *rest in map(halves, texts)]
        found = []
        for answer in self.answers(language_model, renderer, records, say=say):
            labels = [label for label in self.labels if answer.probabilities[label] >= APPLIES]
            found.append({"answer": answer.text, "labels": [{"label": label, "confidence": round(answer.probabilities[label], 4)} for label in labels]})
        return found

    def score(self, answers: Sequence[Answer], records: Sequence[MultiLabelled]) -> dict:
        return multilabel.scores([record.labels for record in records], [chosen_by(answer) for answer in answers])

    def details(self, record: MultiLabelled, answer: Answer) -> dict:
        """The labels wanted and given."""
        return {"wanted_labels": list(record.labels), "labels": chosen_by(answer)}

    def calibration(self, language_model, renderer, records: Sequence[MultiLabelled], *, say: Say = silent) -> dict:
        """A temperature fitted on validation rows over all decisions."""
        if not self.calibrate or len(records) < 20:
            return {}
        logits_NL, _, _ = self.logits(language_model, renderer, records, say)
        wanted_NL = np.stack([self.wanted(record) for record in records])
        temperature = calibration.fit_sigmoid_temperature(logits_NL, wanted_NL)
        before, after = (self.decisions_error(logits_NL / each, wanted_NL) for each in (1.0, temperature))
        said = f"temperature {temperature:.3g}, fitted on {len(records):,} validation rows: calibration error of single decisions {before:.3f} before, {after:.3f} after"
        return {"temperature": temperature, "rows": len(records), "ece_before": before, "ece_after": after, "sentence": said}

    @staticmethod
    def decisions_error(logits_NL, wanted_NL) -> float:
        """Expected calibration error over all decisions."""
        shares = 1 / (1 + np.exp(-logits_NL.ravel()))
        return calibration.ece(np.maximum(shares, 1 - shares), ((shares >= APPLIES) == (wanted_NL.ravel() > 0)).astype(float)).value


def chosen_by(answer: Answer) -> list[str]:
    """The labels of an answer, which is one text."""
    return [label for label in (answer.label or "").split(JOINT) if label]
