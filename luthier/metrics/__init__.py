"""Pure functions from targets and answers to a `Metric`: one value, its per-row values, and the means to compute it again on other rows.

The members import scikit-learn, sacrebleu and rouge-score, so this page stays empty:
import `luthier.metrics.classification`, `.text` or `.language`.
"""
