"""The number that needs no model: the median of the training numbers, from which absolute errors are smallest."""
from collections.abc import Sequence
from statistics import median

from luthier.data.records import Scored
from luthier.evaluation.contestants.contestant import Contestant
from luthier.evaluation.contestants.inputs import timed
from luthier.tasks.regression import number_answer


def make(train: Sequence[Scored]) -> Contestant:
    """Everyone gets the same number."""
    value = median(record.value for record in train)
    return Contestant("median", timed(lambda records: [number_answer(value) for _ in records]), f"{value:.4g}")
