"""The question, given back: what translation, rewriting and extraction must beat, and a warning where answers mostly repeat their question."""
from luthier.evaluation.contestants.contestant import Contestant
from luthier.evaluation.contestants.inputs import answer_of, prompt_of, timed


def make() -> Contestant:
    """The last thing that was said."""
    return Contestant("copy", timed(lambda records: [answer_of(record, prompt_of(record).rsplit("\n", 1)[-1]) for record in records]))
