"""How figures are called and written in sentences, tables and pictures; one place, so that they are the same everywhere."""
import math

METRIC_WORDS = {
    "accuracy": "accuracy",
    "macro_precision": "macro precision",
    "macro_recall": "macro recall",
    "macro_f1": "macro-F1",
    "weighted_precision": "weighted precision",
    "weighted_recall": "weighted recall",
    "weighted_f1": "weighted F1",
    "rouge_1": "ROUGE-1",
    "rouge_2": "ROUGE-2",
    "rouge_l": "ROUGE-L",
    "bleu": "BLEU",
    "chrf": "chrF",
    "exact_match": "exact match",
    "correct": "answer accuracy",
    "json_match": "JSON match",
    "perplexity": "perplexity",
    "pseudo_perplexity": "pseudo-perplexity",
    "masked_accuracy": "masked accuracy",
    "ece": "calibration error",
    "micro_f1": "micro-F1",
    "exact_sets": "exact sets",
    "hamming_loss": "Hamming loss",
    "mae": "mean absolute error",
    "rmse": "root mean squared error",
    "spearman": "Spearman's rho",
    "r2": "share of variance explained",
    "coverage": "coverage of the intervals",
    "interval_width": "width of the intervals",
    "bits_per_character": "bits per character",
    "bits_per_byte": "bits per byte",
    "loss": "loss",
    "brier": "Brier score",
    "rating_auc": "rating AUC",
    "win_rate": "win rate",
    "watched": "the watched reward",
    "answer_tokens": "tokens of an answer",
    "span_f1": "span F1",
    "span_precision": "span precision",
    "span_recall": "span recall",
    "macro_span_f1": "macro span F1",
}
LOWER_IS_BETTER = {"ece", "brier", "no_reward", "length_bias", "hamming_loss", "mae", "rmse", "interval_width", "perplexity", "pseudo_perplexity", "bits_per_character", "bits_per_byte", "loss", "errors_missed", "errors_extra", "errors_type", "errors_boundary"}
HUNDREDS = {"chrf", "bleu"}
"""Figures from 0 to 100."""


def metric_words(name: str) -> str:
    """The figure's standard term; a name that is not known, with spaces."""
    return METRIC_WORDS.get(name, name.replace("_", " "))


def figure(value: float | None, name: str = "", *, signed: bool = False) -> str:
    """A figure with the digits that its size deserves; `signed` for differences. A dash where there is none."""
    if value is None or not math.isfinite(value):
        return "–" if value is None or math.isnan(value) else "∞"
    large = name in HUNDREDS or abs(value) >= 100
    text = f"{abs(value):,.1f}" if large else f"{abs(value):.3f}"
    sign = "−" if value < 0 and float(text.replace(",", "")) else "+" if signed else ""
    return sign + text


def percent(share: float) -> str:
    """0.95 as `95 %`."""
    return f"{100 * share:.4g} %"


def seconds(value: float | None) -> str:
    """A duration in the unit that a reader would choose."""
    if value is None or not math.isfinite(value):
        return "–"
    if value < 0.9995e-3:
        return f"{value * 1e6:.0f} µs"
    if value < 0.9995:
        return f"{value * 1e3:.3g} ms"
    if value < 100:
        return f"{value:.3g} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def rows(count: int, noun: str = "row") -> str:
    """1 row, 3,080 rows."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def p_words(value: float) -> str:
    """A p-value as people write it."""
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}" if value < 0.1 else f"p = {value:.2f}"
