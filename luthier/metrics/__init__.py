"""Pure functions from targets and answers to a `Metric`: one value, its per-row values, and the means to compute it again on other rows.

The members need scikit-learn, sacrebleu and rouge-score, and import them when they first score.
"""
from luthier.metrics.metric import Metric

__all__ = ["Metric"]
