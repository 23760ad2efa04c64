"""The data doctor: one file per check.

A row check looks at one record and yields findings about it; an error leaves the row out. A set check looks at the table of all rows. These two run
whenever data is built. A stream check sees all rows in batches and then reports; a sample check compares the rows of an even sample with each other. These
are the doctor's (`doctor.py`), which `luthier check` calls.
"""
from collections.abc import Callable, Iterator

from luthier.data.checks import (
    columns,
    conflicts,
    contradictions,
    coverage,
    cut_words,
    duplicates,
    empty,
    few_rows,
    ids,
    imbalance,
    label_names,
    label_spelling,
    length_bias,
    no_validation,
    one_sided_labels,
    poison,
    private,
    quantity,
    rare_labels,
    repeated_prompts,
    roles,
    same_answers,
    shares,
    single_class,
    suspects,
    topics,
    unfit,
)
from luthier.data.checks.answers import Answers
from luthier.data.checks.characters import Characters
from luthier.data.checks.dialects import Dialects
from luthier.data.checks.diversity import Diversity
from luthier.data.checks.facts import Facts
from luthier.data.checks.label_in_text import LabelInText
from luthier.data.checks.languages import Languages
from luthier.data.checks.lengths import Lengths
from luthier.data.checks.people import People
from luthier.data.checks.private_things import PrivateThings
from luthier.data.checks.turns import Turns
from luthier.data.findings import Finding
from luthier.data.judgements import Judgements
from luthier.data.records import Record
from luthier.data.seen import StreamCheck
from luthier.data.table import Table

ROW_CHECKS: dict[str, Callable[[Record], Finding | None]] = {
    "empty": empty.check,
    "roles": roles.check,
    "same answers": same_answers.check,
    "private": private.check,
    "cut words": cut_words.check,
}
SET_CHECKS: dict[str, Callable[[Table], Iterator[Finding]]] = {
    "few rows": few_rows.check,
    "duplicates": duplicates.check,
    "conflicts": conflicts.check,
    "ids": ids.check,
    "single class": single_class.check,
    "rare labels": rare_labels.check,
    "imbalance": imbalance.check,
    "one-sided labels": one_sided_labels.check,
    "label spelling": label_spelling.check,
    "no validation": no_validation.check,
    "shares": shares.check,
}
STREAM_CHECKS: dict[str, Callable[[], StreamCheck]] = {
    "answers": Answers,
    "characters": Characters,
    "private": PrivateThings,
    "turns": Turns,
    "languages": Languages,
    "dialects": Dialects,
    "people": People,
    "diversity": Diversity,
    "facts": Facts,
    "label in text": LabelInText,
    "lengths": Lengths,
}
"""`NearDuplicates`, which needs a folder, is added by the doctor."""
SAMPLE_CHECKS: dict[str, Callable] = {
    "suspected labels": suspects.check,
    "unfit answers": unfit.check,
    "poison": poison.check,
    "topics": topics.check,
    "coverage": coverage.check,
    "label names": label_names.check,
    "quantity": quantity.check,
}
JUDGEMENT_CHECKS: dict[str, Callable[[Judgements], Iterator[Finding]]] = {
    "contradictions": contradictions.check,
    "length bias": length_bias.check,
    "repeated prompts": repeated_prompts.check,
}
"""These look at all pairs, ratings or prompts together. `columns` has its own input, the shapes of the rows, and is called by the intake."""

__all__ = ["JUDGEMENT_CHECKS", "ROW_CHECKS", "SAMPLE_CHECKS", "SET_CHECKS", "STREAM_CHECKS", "columns"]
