"""A product catalogue to training rows: questions with their answers, descriptions, and passages, by templates that fit the type of each column.

Every row keeps the id of the product and stands in its group, so that a split by `product` never asks in the test what training has answered about the same product.
"""
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from luthier.errors import DataError

NAMES = ("name", "title", "product", "product_name", "item", "model", "label")
IDS = ("id", "sku", "product_id", "item_id", "article", "code", "ean", "uid")
LONG = 60
LOOKED_AT = 500
PRICES = re.compile(r"(?i)(?:^|_)(?:price|cost|fee|amount|rrp)(?:$|_)")
YES, NO = {"yes", "true", "y", "1"}, {"no", "false", "n", "0"}

QUESTIONS: dict[str, list[str]] = {
    "price": ["How much does {name} cost?", "What is the {column} of {name}?"],
    "number": ["What is the {column} of {name}?", "Which {column} does {name} have?"],
    "flag": ["Is {name} {column}?"],
    "date": ["What is the {column} of {name}?"],
    "choice": ["What {column} does {name} have?", "What is the {column} of {name}?"],
    "text": ["Tell me about the {column} of {name}."],
}
ANSWERS = {
    "price": "The {column} of {name} is {value}.", "number": "The {column} of {name} is {value}.", "date": "The {column} of {name} is {value}.", "choice": "The {column} of {name} is {value}.", "text": "{value}",
}
KINDS = ("pairs", "descriptions", "passages")


@dataclass(frozen=True)
class Columns:
    """What the columns of a catalogue are."""

    name: str
    id: str
    types: dict[str, str]
    """Column -> price, number, flag, date, choice or text."""


def look(rows: list[dict], *, name: str = "", id: str = "") -> Columns:
    """Which column names the product, which identifies it, and the type of all others. Raises DataError D113 where none names it."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    lower = {column.lower(): column for column in reversed(columns)}
    for given in (name, id):
        if given and given not in columns:
            raise DataError(f"there is no column `{given}`", code="D113", field=given, hint=f"columns: {', '.join(columns[:20])}")
    name = name or next((lower[one] for one in NAMES if one in lower), "")
    if not name:
        raise DataError("no column names the product", code="D113", hint=f"say which with --name; columns: {', '.join(columns[:20])}")
    id = id or next((lower[one] for one in IDS if one in lower), "")
    return Columns(name, id, {column: type_of(column, [str(row[column]).strip() for row in rows[:LOOKED_AT] if row.get(column) not in (None, "")]) for column in columns if column not in (name, id)})


def type_of(column: str, values: list[str]) -> str:
    if not values:
        return ""
    if {value.lower() for value in values} <= YES | NO:
        return "flag"
    if all(re.fullmatch(r"[^\w\s]?\s?-?[\d.,]+\s?(?:[^\W\d]{1,4}|[^\w\s])?", value) for value in values):
        return "price" if PRICES.search(column) else "number"
    if all(re.fullmatch(r"\d{4}-\d\d-\d\d.*|\d{1,2}[./]\d{1,2}[./]\d{4}", value) for value in values):
        return "date"
    return "text" if sum(map(len, values)) / len(values) > LONG else "choice"


def rows_from(rows: Iterable[dict], columns: Columns, kinds: Iterable[str] = KINDS) -> Iterator[dict]:
    """Training rows: `{question, answer}` for pairs and descriptions, `{text}` for passages; each with product, row and kind."""
    seen: Counter = Counter()
    kinds = set(kinds)
    for number, row in enumerate(rows, 1):
        name = str(row.get(columns.name) or "").strip()
        if not name:
            continue
        about = {"product": str(row.get(columns.id) or name), "row": number}
        seen[name] += 1
        facts = {column: str(row[column]).strip() for column, kind in columns.types.items() if kind and row.get(column) not in (None, "")}
        if "pairs" in kinds:
            for at, (column, value) in enumerate(facts.items()):
                kind = columns.types[column]
                asked = QUESTIONS[kind][(number + at) % len(QUESTIONS[kind])]
                yield {"question": asked.format(name=name, column=spoken(column), value=value), "answer": answered(kind, name, column, value), "kind": kind, "column": column, **about}
        if "descriptions" in kinds and facts:
            yield {"question": f"Describe {name}.", "answer": described(name, facts, columns), "kind": "description", "column": None, **about}
        if "passages" in kinds and facts:
            yield {"text": described(name, facts, columns), "kind": "passage", **about}


def spoken(column: str) -> str:
    """`ship_date` as one says it."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", column).replace("_", " ").strip().lower()


def answered(kind: str, name: str, column: str, value: str) -> str:
    if kind == "flag":
        return f"Yes, {name} is {spoken(column)}." if value.lower() in YES else f"No, {name} is not {spoken(column)}."
    return ANSWERS[kind].format(name=name, column=spoken(column), value=value)


def described(name: str, facts: dict[str, str], columns: Columns) -> str:
    """The long texts first, then every fact in a sentence."""
    long = [value for column, value in facts.items() if columns.types[column] == "text"]
    short = [answered(columns.types[column], name, column, value).removeprefix("Yes, ").removeprefix("No, ") for column, value in facts.items() if columns.types[column] != "text"]
    return " ".join([*long, *short]) if long else f"{name}. " + " ".join(short)
