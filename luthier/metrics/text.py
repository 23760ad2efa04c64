"""How close a written answer is to its reference: ROUGE-L, chrF and normalised exact match.

ROUGE-L (Lin 2004): F1 of the longest common subsequence of words, 0 to 1, mean over rows, by rouge-score.
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

    return RougeScorer(["rougeL"], tokenizer=Words())


@functools.cache
def chrf_scorer():
    """sacrebleu's scorer with its defaults."""
    from sacrebleu.metrics import CHRF

    return CHRF()


def answers(references: Sequence[str], candidates: Sequence[str]) -> dict[str, Metric]:
    """The three figures of a written answer by name: `rouge_l`, `chrf`, `exact_match`."""
    found = [rouge_l(references, candidates), chrf(references, candidates), exact_match(references, candidates)]
    return {metric.name: metric for metric in found}


def rouge_l(references: Sequence[str], candidates: Sequence[str]) -> Metric:
    """ROUGE-L F1 per row, 0 to 1, and their mean."""
    same_rows(references, candidates)
    return mean("rouge_l", [rouge_scorer().score(reference, candidate)["rougeL"].fmeasure for reference, candidate in zip(references, candidates)])


def chrf(references: Sequence[str], candidates: Sequence[str]) -> Metric:
    """chrF, 0 to 100: the corpus figure as value, the sentence figures per row."""
    same_rows(references, candidates)
    # The library gives no public way to its per-row counts; a test holds what is made of them equal to its public scores.
    parts_NS = np.array(chrf_scorer()._extract_corpus_statistics(list(candidates), [list(references)]), dtype=np.float64)
    return from_parts("chrf", parts_NS, chrf_of_counts, per_row=chrf_of_counts(parts_NS))


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
