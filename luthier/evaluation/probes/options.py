"""Order of options: whether the answer to a question with lettered options hangs on where its option stands (Zheng et al. 2023, arXiv:2309.03882).

Every question is asked with its options in each cyclic order; the likeliest letter names the option chosen. The figure is the share of
questions for which not every order chooses the same option. Who knows nothing and always says A has 1.
"""
from luthier.evaluation.probes.general import LETTERS, Choice, likeliest, questions
from luthier.evaluation.probes.probe import Found, Model, Subject, worse_by
from luthier.metrics.metric import mean

RED_LINE = 0.1
MOST_QUESTIONS = 60


def probe(subject: Subject) -> list[Found]:
    """`order_of_options`; nothing for models that predict no text."""
    if subject.before.nats is None or subject.after.nats is None:
        return []
    asked = [one for one in questions(subject.settings.questions) if len(one.choices) <= len(LETTERS)][:MOST_QUESTIONS]
    sides = [mean("order_of_options", moved(model, asked), higher_is_better=False) for model in (subject.before, subject.after)]
    return [worse_by("order_of_options", *sides, "questions whose answer changes with the order of the options", red_line=RED_LINE, seed=subject.seed)]


def moved(model: Model, asked: list[Choice]) -> list[float]:
    """1 where not every order leads to the same option."""
    shown = [lettered(one, shift) for one in asked for shift in range(len(one.choices))]
    letters, at, found = likeliest(model, shown), 0, []
    for one in asked:
        count = len(one.choices)
        chosen = {(letters[at + shift] + shift) % count for shift in range(count)}
        found.append(float(len(chosen) > 1))
        at += count
    return found


def lettered(one: Choice, shift: int) -> Choice:
    """The question with its options turned by `shift` places, to be answered by a letter."""
    turned = [*one.choices[shift:], *one.choices[:shift]]
    shown = "\n".join(f"{letter}. {text}" for letter, text in zip(LETTERS, turned))
    return Choice(f"{one.question}\n{shown}\nAnswer:", list(LETTERS[: len(turned)]), (one.answer - shift) % len(turned))
