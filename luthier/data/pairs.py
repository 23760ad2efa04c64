"""The spellings of pairs: a source beside its target, and translations as an object with one text for each language."""
from luthier.data.chats import Bad, wrong

TELLING = ("source", "summary", "highlights", "translation", "tgt", "abstract", "reference_summary", "headline", "simplified")
"""Names of columns that say by themselves that a text becomes another; `target` and `output` alone may be an answer or a label."""


def told_by_names(columns: dict[str, str], values: list) -> bool:
    """Whether one of the two columns is named as in pairs."""
    return any(column.lower().strip() in TELLING for column in columns.values())


def look_like_translations(values: list) -> bool:
    """Whether most values are objects with a text for each of two languages or more."""
    fitting = sum(isinstance(value, dict) and len(value) >= 2 and all(isinstance(text, str) for text in value.values()) for value in values)
    return bool(values) and fitting > len(values) / 2


def from_pair(values: dict, columns: dict[str, str]) -> tuple | Bad:
    """Source and target as they stand."""
    found = []
    for role in ("source", "target"):
        value = values.get(columns[role])
        if type(value) is not str:
            return wrong(value, columns[role])
        found.append(value)
    return tuple(found)


def from_translation(values: dict, columns: dict[str, str]) -> tuple | Bad:
    """The first two texts of an object: `{"en": ..., "de": ...}` is from English to German."""
    value, field = values.get(columns["translation"]), columns["translation"]
    if not isinstance(value, dict) or len(value) < 2:
        return wrong(value, field, "an object with a text for each language")
    for language, text in list(value.items())[:2]:
        if type(text) is not str:
            return wrong(text, f"{field}.{language}")
    return tuple(value.values())[:2]
