"""What guessing gives: neither answer of a pair is preferred, which counts half a point each time."""
from luthier.evaluation.contestants.contestant import Contestant
from luthier.evaluation.contestants.inputs import timed
from luthier.tasks.answers import Answer


def make() -> Contestant:
    """Half a point for every pair."""
    return Contestant("coin", timed(lambda records: [Answer("", label="neither") for _ in records]), "prefers neither answer")
