"""Does a learning curve through pilots on 10, 25 and 50 % of the rows hold what happens with all of them? Real learners on real and made rows.

    python benchmarks/forecasts.py [--data FOLDER] [--trials 20]

Each trial draws its own rows, fits TF-IDF with a linear model (the contestant `tfidf`) on each part, measures macro-F1 on rows of its own, and
compares the forecast's 80 % band with the figure at 100 %. Aim: inside in at least 70 % of 20 trials.
"""
import argparse
import csv
import os
from pathlib import Path

import numpy as np

from luthier.data import samples
from luthier.data.records import Labelled
from luthier.evaluation.contestants import make
from luthier.evaluation.learning_curve import Pilot, forecast
from luthier.evaluation.statistics import interval
from luthier.metrics.classification import scores


def rows_of(data: Path, trial: int) -> list[Labelled]:
    """Tickets of the sample world in even trials, ten intents of banking77 in odd ones where it is there."""
    path = data / "classification/PolyAI-LDN__task-specific-datasets/banking_data/train.csv"
    if trial % 2 and path.exists():
        with open(path, encoding="utf-8") as stream:
            every = [Labelled(row["text"], row["category"]) for row in csv.DictReader(stream)]
        names = sorted({row.label for row in every})
        chosen = set(np.random.default_rng(trial).choice(names, 10, replace=False))
        return [row for row in every if row.label in chosen]
    return [Labelled(row["text"], row["label"]) for row in samples.generate("tickets", rows=1500, seed=trial + 1)]


def measured(train: list[Labelled], test: list[Labelled], seed: int) -> tuple[float, float]:
    """Macro-F1 and its standard error."""
    answers = make("tfidf", train=train, seed=seed).answer(test)
    metric = scores([row.label for row in test], [answer.label for answer in answers])["macro_f1"]
    found = interval(metric, resamples=300, seed=seed)
    return metric.value, (found.high - found.low) / 3.92


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("LUTHIER_TEST_DATA") or "../shared/data"))
    parser.add_argument("--trials", type=int, default=20)
    given = parser.parse_args()
    inside = []
    for trial in range(given.trials):
        rows = rows_of(given.data, trial)
        order = np.random.default_rng((trial, 1)).permutation(len(rows))
        cut = len(rows) // 3
        test, train = [rows[at] for at in order[:cut]], [rows[at] for at in order[cut:]]
        pilots = [Pilot(count, *measured(train[:count], test, trial)) for count in (round(share * len(train)) for share in (0.1, 0.25, 0.5))]
        expected, (happened, _) = forecast(pilots, [len(train)], seed=trial)[0], measured(train, test, trial)
        inside.append(expected.low <= happened <= expected.high)
        print(f"{trial:2} {len(train):5} rows: {', '.join(f'{pilot.value:.3f}' for pilot in pilots)} -> {expected.value:.3f} [{expected.low:.3f}, {expected.high:.3f}], became {happened:.3f}: {'inside' if inside[-1] else 'OUTSIDE'}", flush=True)
    print(f"inside the band: {sum(inside)} of {len(inside)}")


if __name__ == "__main__":
    main()
