"""Overfitting: how much better the tuned model knows the answers it was trained on than answers of the same kind that it never saw, in nats a token."""
import numpy as np

from luthier.evaluation.probes.probe import Found, Subject, resampled_interval

RED_LINE = 0.5
ROWS = 200


def probe(subject: Subject) -> list[Found]:
    """`overfitting`: held-out minus training loss of the tuned model; before: that of the base, which is the difficulty of the rows."""
    train, held_out = subject.train[:: max(1, len(subject.train) // ROWS)][:ROWS], subject.held_out[:ROWS]
    if not len(train) or not len(held_out):
        return []
    sides = {model: [np.array(getattr(subject, model).target_nats(rows), dtype=float) for rows in (train, held_out)] for model in ("before", "after")}

    def gap(known: np.ndarray, unseen: np.ndarray) -> float:
        return float(unseen[:, 0].sum() / max(1.0, unseen[:, 1].sum()) - known[:, 0].sum() / max(1.0, known[:, 1].sum()))

    def drawn(random: np.random.Generator) -> float:
        return gap(*(rows[random.integers(0, len(rows), len(rows))] for rows in sides["after"]))

    before, after = gap(*sides["before"]), gap(*sides["after"])
    low, high = resampled_interval(drawn, seed=subject.seed)
    sentence = f"answers that were trained on cost the tuned model {after:+.3f} nats a token less than unseen ones (95 % interval {low:+.3f} to {high:+.3f}); the base {before:+.3f}"
    return [Found("overfitting", before, after, after, low, high, len(train) + len(held_out), RED_LINE, sentence)]
