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

    oracle = RougeScorer(["rouge1", "rouge2", "rougeL"])
    for case in range(count):
        draw = random.Random(case)
        reference, answer = words(draw), words(draw)
        found, wanted = text.rouge([reference], [answer]), oracle.score(reference, answer)
        assert all(abs(found[ours].value - wanted[theirs].fmeasure) < 1e-9 for ours, theirs in (("rouge_1", "rouge1"), ("rouge_2", "rouge2"), ("rouge_l", "rougeL"))), case


def bleu(count):
    from sacrebleu.metrics import BLEU

    for case in range(count):
        draw = random.Random(case)
        references, answers = [[words(draw) for _ in range(draw.randint(1, 5))] for _ in range(2)]
        answers = [(answers + references)[draw.randrange(len(answers))] if draw.random() < 0.5 else each for each in references]
        cut = draw.choice(["13a", "char", "none"])
        found, oracle = text.bleu(references, answers, tokenizer=cut), BLEU(tokenize=cut)
        assert abs(found.value - oracle.corpus_score(answers, [references]).score) < 1e-9, case
        assert found.signature == f"BLEU|{oracle.get_signature()}", case


CASES = {"scikit-learn": labels, "sacrebleu": chrf, "rouge-score": rouge, "sacrebleu-bleu": bleu}


@pytest.mark.parametrize("library", CASES)
def test_fifty_random_cases(library):
    CASES[library](50)


@pytest.mark.nightly
@pytest.mark.parametrize("library", CASES)
def test_a_thousand_random_cases(library):
    CASES[library](1000)
