"""The spellings of labels and numbers: one label, several of them, a number, each of one text or of two."""
import re

from luthier.data.chats import Bad, wrong
from luthier.data.records import JOINT
from luthier.data.tagging import listed

NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?")
SEPARATORS = re.compile(r"\s*[|;]\s*")
SIGN = JOINT.strip()


# ---- what values look like ----------------------------------------------------------------------
def look_like_several(values: list) -> bool:
    """Whether the values are lists of short texts, or texts that a named task will split."""
    return bool(values) and all(isinstance(value, (list, str)) for value in values) and not any(isinstance(item, dict) for value in values if isinstance(value, list) for item in value)


def look_like_numbers(values: list) -> bool:
    """Whether most values are numbers, as text too."""
    return sum(number_of(value) is not None for value in values) > len(values) / 2


def never(columns: dict[str, str], values: list) -> bool:
    """Names alone never say it: a task must be named."""
    return False


def told_by_both(columns: dict[str, str], values: list) -> bool:
    """Whether both texts are named as halves of a pair; `text` beside a `passage` may be anything."""
    return columns["first"].lower().strip() != "query" or columns["pair"].lower().strip() == "passage"


def told_by_lists(columns: dict[str, str], values: list) -> bool:
    """Lists with other than one label each say that a row may have several."""
    return any(isinstance(value, list) and len(value) != 1 for value in values)


# ---- making records -----------------------------------------------------------------------------
def one(label, column: str) -> str | Bad:
    """The one label of a row."""
    if type(label) is not str:
        if type(label) is bool:
            label = "true" if label else "false"
        elif isinstance(label, (int, float)) and label == label:
            label = str(int(label) if isinstance(label, float) and label.is_integer() else label)
        elif isinstance(label, list) and len(label) == 1 and isinstance(label[0], str):
            label = label[0]
        elif isinstance(label, list) and label:
            return Bad("D116", f"several labels in one row ({len(label)}); classification takes one", column, "task.many=true learns several labels a row")
        else:
            return wrong(label, column, "a label")
    label = label.strip()
    return label or Bad("D110", "empty label", column, "write the label, or leave the row out")


def several_of(value, column: str) -> tuple[str, ...] | Bad:
    """All labels of a row, each once, sorted: a list, a list as text, or names between bars or semicolons. None at all is a value too."""
    if value is None:
        return wrong(value, column, "labels")
    given = listed(value) if isinstance(value, str) and value[:1] == "[" else [part for part in SEPARATORS.split(value.strip()) if part] if isinstance(value, str) else value
    if not isinstance(given, list):
        return wrong(value, column, "a list of labels")
    found = []
    for item in given:
        label = one(item, column)
        if type(label) is Bad:
            return label
        if SIGN in label:
            return Bad("D116", f"the label `{label[:40]}` holds the sign `{SIGN}`, which stands between labels", column, "write it otherwise")
        found.append(label)
    return tuple(sorted(set(found)))


def number_of(value) -> float | None:
    """A finite number, written as one or as text."""
    if isinstance(value, str) and NUMBER.fullmatch(value.strip()):
        value = float(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value == value and abs(value) != float("inf"):
        return float(value)
    return None


def texts_of(values: dict, columns: dict[str, str], *roles: str) -> list[str] | Bad:
    """The texts of a row."""
    found = []
    for role in roles:
        text = values.get(columns[role])
        if type(text) is not str:
            return wrong(text, columns[role])
        if not text.strip():
            return Bad("D110", "empty text", columns[role], "fill it, or leave the row out")
        found.append(text)
    return found


def scored_value(values: dict, columns: dict[str, str]) -> float | Bad:
    value = number_of(values.get(columns["value"]))
    return wrong(values.get(columns["value"]), columns["value"], "a number") if value is None else value


def _joined(texts: list[str] | Bad, answer) -> tuple | Bad:
    """First text, answer, and the second text where there is one; or what is wrong."""
    if type(texts) is Bad or type(answer) is Bad:
        return texts if type(texts) is Bad else answer
    return (texts[0], answer, *texts[1:])


def labelled_pair(values: dict, columns: dict[str, str]) -> tuple | Bad:
    return _joined(texts_of(values, columns, "first", "pair"), one(values.get(columns["label"]), columns["label"]))


def several(values: dict, columns: dict[str, str]) -> tuple | Bad:
    return _joined(texts_of(values, columns, "text"), several_of(values.get(columns["labels"]), columns["labels"]))


def several_pair(values: dict, columns: dict[str, str]) -> tuple | Bad:
    return _joined(texts_of(values, columns, "first", "pair"), several_of(values.get(columns["labels"]), columns["labels"]))


def scored(values: dict, columns: dict[str, str]) -> tuple | Bad:
    return _joined(texts_of(values, columns, "text"), scored_value(values, columns))


def scored_pair(values: dict, columns: dict[str, str]) -> tuple | Bad:
    return _joined(texts_of(values, columns, "first", "pair"), scored_value(values, columns))


