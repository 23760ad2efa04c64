"""How close a written answer is to its reference: ROUGE-1, -2 and -L, BLEU, chrF and normalised exact match.

ROUGE-N (Lin 2004): F1 of the N-grams of words that both have; ROUGE-L: F1 of their longest common subsequence; 0 to 1, mean over rows, by rouge-score.
BLEU (Papineni et al. 2002): geometric mean of the precision of word 1- to 4-grams times a penalty for short answers, 0 to 100, by sacrebleu; its value is
that of the corpus, its per-row values are those of the sentences (orders that a sentence is too short for are left out).
chrF (Popovic 2015): F2 over character 1- to 6-grams, 0 to 100, by sacrebleu; its value is that of the corpus (n-gram counts are
summed first), its per-row values those of the sentences.
"""
import functools
import re
import unicodedata
from collections.abc import Sequence

import numpy as np

from luthier.metrics.metric import Metric, from_parts, mean, same_rows

# rouge-score's own tokenizer drops every letter outside a-z: two equal Greek answers score 0. On ASCII text this one gives the
# same words; scripts that write no spaces between words (Thai, Lao, kana, Han, Hangul) are cut into single characters.
UNSPACED = r"\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff"
WORD = re.compile(rf"[{UNSPACED}]|[^\W_{UNSPACED}]+")


class Words:
    """The tokenizer that rouge-score asks for: lower-case words of any script."""

    def tokenize(self, text: str) -> list[str]:
        return WORD.findall(unicodedata.normalize("NFC", text).lower())


# Both libraries take seconds to import, paid only by who scores.
@functools.cache
def rouge_scorer():
    """rouge-score's scorer over our words."""
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rouge1", "rouge2", "rougeL"], tokenizer=Words())


@functools.cache
def chrf_scorer():
    """sacrebleu's scorer with its defaults."""
    from sacrebleu.metrics import CHRF

    return CHRF()


@functools.cache
def bleu_scorer(tokenizer: str):
    """sacrebleu's scorer with its defaults and one of its tokenizers."""
    from sacrebleu.metrics import BLEU

    return BLEU(tokenize=tokenizer)


def answers(references: Sequence[str], candidates: Sequence[str]) -> dict[str, Metric]:
    """The three figures of a written answer by name: `rouge_l`, `chrf`, `exact_match`."""
    found = [rouge_l(references, candidates), chrf(references, candidates), exact_match(references, candidates)]
    return {metric.name: metric for metric in found}


def rouge_l(references: Sequence[str], candidates: Sequence[str]) -> Metric:
    """ROUGE-L F1 per row, 0 to 1, and their mean."""
    return rouge(references, candidates)["rouge_l"]


def rouge(references: Sequence[str], candidates: Sequence[str]) -> dict[str, Metric]:
    """`rouge_1`, `rouge_2`, `rouge_l`: F1 per row, 0 to 1, and their means."""
    same_rows(references, candidates)
    found = [rouge_scorer().score(reference, candidate) for reference, candidate in zip(references, candidates)]
    return {name: mean(name, [scores[theirs].fmeasure for scores in found]) for name, theirs in (("rouge_1", "rouge1"), ("rouge_2", "rouge2"), ("rouge_l", "rougeL"))}


def bleu(references: Sequence[str], candidates: Sequence[str], *, tokenizer: str = "13a") -> Metric:
    """BLEU, 0 to 100: the corpus figure as value, the sentence figures per row; with sacrebleu's signature."""
    same_rows(references, candidates)
    scorer = bleu_scorer(tokenizer)
    parts_NS = np.array(scorer._extract_corpus_statistics(list(candidates), [list(references)]), dtype=np.float64)
    scorer.num_refs = 1
    signature = f"BLEU|{scorer.get_signature()}"
    return from_parts("bleu", parts_NS, bleu_of_counts, per_row=np.array([bleu_of(row, effective=True) for row in parts_NS]), signature=signature)


def bleu_of_counts(sums_RS: np.ndarray) -> np.ndarray:
    """BLEU [R] of sums [R, answer length, reference length, 4 matches, 4 totals]."""
    return np.array([bleu_of(row) for row in sums_RS])


def bleu_of(sums_S: np.ndarray, *, effective: bool = False) -> float:
    """BLEU of one line of sums, by sacrebleu."""
    correct, total = sums_S[2:6].round().tolist(), sums_S[6:10].round().tolist()
    from sacrebleu.metrics import BLEU

    return BLEU.compute_bleu(correct, total, int(sums_S[0]), int(sums_S[1]), smooth_method="exp", effective_order=effective).score


def chrf(references: Sequence[str], candidates: Sequence[str]) -> Metric:
    """chrF, 0 to 100: the corpus figure as value, the sentence figures per row."""
    same_rows(references, candidates)
    # The library gives no public way to its per-row counts; a test holds what is made of them equal to its public scores.
    parts_NS = np.array(chrf_scorer()._extract_corpus_statistics(list(candidates), [list(references)]), dtype=np.float64)
    scorer = chrf_scorer()
    scorer.num_refs = 1
    return from_parts("chrf", parts_NS, chrf_of_counts, per_row=chrf_of_counts(parts_NS), signature=f"chrF2|{scorer.get_signature()}")


def chrf_of_counts(sums_RS: np.ndarray) -> np.ndarray:
    """chrF [R] of n-gram counts [R, 6 x (answer, reference, match)]: mean precision and recall over orders both sides have, then F2."""
    answer_RO, reference_RO, match_RO = (sums_RS[:, start::3] for start in range(3))
    both_RO = (answer_RO > 0) & (reference_RO > 0)
    orders_R = np.maximum(both_RO.sum(axis=1), 1)
    precision_R = np.divide(match_RO, answer_RO, out=np.zeros_like(match_RO), where=both_RO).sum(axis=1) / orders_R
    recall_R = np.divide(match_RO, reference_RO, out=np.zeros_like(match_RO), where=both_RO).sum(axis=1) / orders_R
    beta = chrf_scorer().beta ** 2
    below_R = beta * precision_R + recall_R
    return 100 * np.divide((1 + beta) * precision_R * recall_R, below_R, out=np.zeros_like(below_R), where=below_R > 0)


def exact_match(references: Sequence[str], candidates: Sequence[str]) -> Metric:
    """Share of answers equal to their reference after `normalised`."""
    same_rows(references, candidates)
    same_N = [float(normalised(reference) == normalised(candidate)) for reference, candidate in zip(references, candidates)]
    return mean("exact_match", same_N)


def normalised(text: str) -> str:
    """Text without what no reader calls a difference: compatibility forms, case, runs of white space, quotes around, stops after."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()).strip("\"'“”‘’ ").rstrip(".!? ")
