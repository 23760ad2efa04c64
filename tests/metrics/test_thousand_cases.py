"""Our figures are those of the libraries that everybody uses: random cases, equal to 1e-9."""
import random

import pytest

from luthier.metrics import classification, text

LETTERS = "abcdeé ü,. 12"


def words(draw, most=12):
    return " ".join("".join(draw.choice("abcde") for _ in range(draw.randint(1, 4))) for _ in range(draw.randint(0, most)))


def labels(count):
    from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score

    for case in range(count):
        draw = random.Random(case)
        kinds = [f"l{number}" for number in range(draw.randint(1, 6))]
        target = [draw.choice(kinds) for _ in range(draw.randint(1, 30))]
        answer = [one if draw.random() < 0.5 else draw.choice([*kinds, "other"]) for one in target]
        found, known = classification.scores(target, answer), sorted(set(target))
        assert abs(found["accuracy"].value - accuracy_score(target, answer)) < 1e-9
        for average in ("macro", "weighted"):
            for name, oracle in (("f1", f1_score), ("precision", precision_score), ("recall", recall_score)):
                assert abs(found[f"{average}_{name}"].value - oracle(target, answer, labels=known, average=average, zero_division=0)) < 1e-9, (case, average, name)
                # what the intervals draw again is the same figure
                assert abs(found[f"{average}_{name}"].recompute(range(len(target))) - found[f"{average}_{name}"].value) < 1e-6


def chrf(count):
    from sacrebleu.metrics import CHRF

    for case in range(count):
        draw = random.Random(case)
        pairs = [("".join(draw.choice(LETTERS) for _ in range(draw.randint(1, 25))), "".join(draw.choice(LETTERS) for _ in range(draw.randint(0, 25)))) for _ in range(draw.randint(1, 5))]
        references, answers = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        found, oracle = text.chrf(references, answers), CHRF()
        assert abs(found.value - oracle.corpus_score(answers, [references]).score) < 1e-9, case
        assert abs(found.per_row[0] - oracle.sentence_score(answers[0], [references[0]]).score) < 1e-9, case


def rouge(count):
    from rouge_score.rouge_scorer import RougeScorer

    oracle = RougeScorer(["rougeL"])
    for case in range(count):
        draw = random.Random(case)
        reference, answer = words(draw), words(draw)
        assert abs(text.rouge_l([reference], [answer]).value - oracle.score(reference, answer)["rougeL"].fmeasure) < 1e-9, case


CASES = {"scikit-learn": labels, "sacrebleu": chrf, "rouge-score": rouge}


@pytest.mark.parametrize("library", CASES)
def test_fifty_random_cases(library):
    CASES[library](50)


@pytest.mark.nightly
@pytest.mark.parametrize("library", CASES)
def test_a_thousand_random_cases(library):
    CASES[library](1000)
