"""BLEU, chrF and ROUGE on a thousand random cases: the figures of sacrebleu and rouge-score, signatures included, and resamples that are figures of the rows."""
import random

import pytest
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU, CHRF

from luthier.metrics import text

WORDS = "the a cat dog sat on mat ran to, hill. it's 3.5 big; red".split()


def sentences(rng, rows):
    references = [" ".join(rng.choice(WORDS) for _ in range(rng.randint(1, 12))) for _ in range(rows)]
    candidates = [" ".join(word for word in reference.split() if rng.random() < 0.8) if rng.random() < 0.8 else " ".join(rng.choice(WORDS) for _ in range(rng.randint(0, 9))) for reference in references]
    return references, candidates


def test_a_thousand_random_cases():
    rng, bleu, chrf = random.Random(7), BLEU(), CHRF()
    sentence_bleu = BLEU(effective_order=True)
    for _ in range(100):
        references, candidates = sentences(rng, 10)
        ours = text.bleu(references, candidates)
        assert ours.value == pytest.approx(bleu.corpus_score(candidates, [references]).score, abs=1e-9)
        assert text.chrf(references, candidates).value == pytest.approx(chrf.corpus_score(candidates, [references]).score, abs=1e-9)
        for row, (reference, candidate) in enumerate(zip(references, candidates)):
            assert ours.per_row[row] == pytest.approx(sentence_bleu.sentence_score(candidate, [reference]).score, abs=1e-9)
    assert ours.signature == f"BLEU|{bleu.get_signature()}" and "version:" in ours.signature and "tok:13a" in ours.signature
    assert text.chrf(references, candidates).signature.startswith("chrF2|nrefs:1")


def test_rouge_on_a_thousand_random_cases():
    rng, scorer = random.Random(8), RougeScorer(["rouge1", "rouge2", "rougeL"])
    references, candidates = sentences(rng, 1000)
    ours = text.rouge(references, candidates)
    for row, (reference, candidate) in enumerate(zip(references, candidates)):
        theirs = scorer.score(reference, candidate)
        for name, key in (("rouge_1", "rouge1"), ("rouge_2", "rouge2"), ("rouge_l", "rougeL")):
            assert ours[name].per_row[row] == pytest.approx(theirs[key].fmeasure)


def test_a_resample_of_bleu_is_the_bleu_of_its_rows():
    references, candidates = sentences(random.Random(9), 30)
    whole, rows = text.bleu(references, candidates), [3, 3, 7, 21, 29]
    again = text.bleu([references[row] for row in rows], [candidates[row] for row in rows])
    assert whole.recompute(rows) == pytest.approx(again.value)


def test_characters_for_languages_without_spaces():
    assert text.bleu(["今天天气很好"], ["今天天气真好"], tokenizer="char").value > text.bleu(["今天天气很好"], ["今天天气真好"]).value
