"""The labelled tickets: the same for the same seed, balanced, unrepeated, and not decided by counting words."""

import csv
from collections import Counter

import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from luthier.data.samples import generate, measured, write
from luthier.data.samples.tickets import labels


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    return generate("tickets", rows=2000, seed=1)


def test_a_sample_is_a_function_of_its_seed(rows):
    assert generate("tickets", rows=2000, seed=1) == rows
    assert generate("tickets", rows=100, seed=2) != rows[:100]


def test_labels_are_nine_and_balanced(rows):
    counts = Counter(row["label"] for row in rows)
    assert sorted(counts) == labels() and len(counts) == 9
    assert min(counts.values()) > 0.7 * 2000 / 9


def test_no_two_rows_share_template_and_slot_values(rows):
    assert len({(row["template"], *row["slots"].values()) for row in rows}) == len(rows)
    assert len({row["text"].lower() for row in rows}) == len(rows)


@pytest.mark.parametrize("seed", (1, 2, 3))
def test_a_tenth_shares_few_13_grams_with_the_rest(seed):
    assert measured("tickets", generate("tickets", rows=2000, seed=seed)) <= 0.05


def test_counting_words_goes_far_but_not_all_the_way(rows):
    test, train = rows[::10], [row for i, row in enumerate(rows) if i % 10]
    space = TfidfVectorizer(ngram_range=(1, 2))
    model = LogisticRegression(max_iter=1000, C=10).fit(space.fit_transform([r["text"] for r in train]), [r["label"] for r in train])
    found = model.predict(space.transform([r["text"] for r in test]))
    assert 0.75 < f1_score([r["label"] for r in test], found, average="macro") < 0.95


def test_the_file_is_plain_csv(tmp_path, rows):
    path = write(tmp_path, kind="tickets", rows=2000, seed=1)
    with open(path, newline="") as file:
        assert list(csv.DictReader(file)) == [{"text": row["text"], "label": row["label"]} for row in rows]
