"""The spellings of tagged texts, each turned into words and tags in IOB2: token lists with tags (names or class numbers), and spans of characters."""
import ast
from collections.abc import Sequence

from luthier.data.chats import Bad, _decoded, wrong
from luthier.data.records import Span
from luthier.data.words import joined, tagged
from luthier.metrics.spans import chunks, iob2, parts_of

STARTS = ("start", "start_offset", "start_position", "start_char", "begin", "from")
ENDS = ("end", "end_offset", "end_position", "end_char", "stop", "to")
TYPES = ("label", "labels", "entity_type", "entity_group", "entity", "type", "tag", "category", "class")
QUOTED = ("entity_value", "text", "value", "word", "surface")
HINT = "write one tag for each word, as IOB2 (B-person, I-person, O)"


# ---- what values look like ----------------------------------------------------------------------
def look_like_tags(values: list) -> bool:
    """Whether most values are lists of tags of spans: with prefixes, with an O among them, or class numbers."""
    lists = [tags for value in values if (tags := listed(value))]
    return len(lists) > len(values) / 2 and any(type(tag) is int or parts_of(str(tag))[0] != "I" or str(tag)[1:2] in ("-", "_") for tags in lists for tag in tags)


def look_like_classes(values: list) -> bool:
    """Whether most values are lists of one class per word, as parts of speech are."""
    lists = [tags for value in values if (tags := listed(value))]
    return len(lists) > len(values) / 2 and all(isinstance(tag, str) for tags in lists for tag in tags)


def look_like_spans(values: list) -> bool:
    """Whether the values are lists of places in a text; empty lists tell nothing."""
    lists = [found for value in values if isinstance(found := _decoded(value), list)]
    return len(lists) > len(values) / 2 and all(place_of(item) is not None for found in lists for item in found)


def listed(value) -> list | None:
    """A list that stands as a list, as JSON or Python text in a cell, or as words between spaces."""
    if not isinstance(value, str):
        return value if isinstance(value, list) else None
    if value[:1] == "[":
        found = _decoded(value)
        if not isinstance(found, list):
            try:
                found = ast.literal_eval(value)
            except (ValueError, SyntaxError, MemoryError, RecursionError):
                found = None
        return found if isinstance(found, list) else None
    return value.split()


# ---- tokens and tags ------------------------------------------------------------------------------
def from_tags(values: dict, columns: dict[str, str]) -> tuple | Bad:
    """Words with tags in any dialect of IOB."""
    pair = _pair(values, columns)
    if type(pair) is Bad:
        return pair
    tokens, tags = pair
    text, places = joined(tokens)
    return text, tuple(places), tuple(iob2(chunks(tags), len(tags)))


def from_classes(values: dict, columns: dict[str, str]) -> tuple | Bad:
    """Words with a class each: every word is a span of its own."""
    pair = _pair(values, columns)
    if type(pair) is Bad:
        return pair
    tokens, tags = pair
    text, places = joined(tokens)
    return text, tuple(places), tuple(tag if tag in ("O", "_", "") else f"B-{tag}" for tag in tags)


def _pair(values: dict, columns: dict[str, str]) -> tuple[list[str], list[str]] | Bad:
    """The words and the tags of a row, as many of the one as of the other."""
    found = {}
    for role in ("tokens", "tags"):
        found[role] = listed(values.get(columns[role]))
        if found[role] is None:
            return wrong(values.get(columns[role]), columns[role], "a list")
    tokens, tags = found["tokens"], found["tags"]
    if len(tokens) != len(tags):
        return Bad("D340", f"{len(tokens)} words and {len(tags)} tags", columns["tags"], HINT)
    if not tokens:
        return Bad("D110", "no words", columns["tokens"], "fill it, or leave the row out")
    for at, (token, tag) in enumerate(zip(tokens, tags)):
        if not isinstance(token, str) or not token.strip():
            return Bad("D110", f"word {at + 1} is empty", f"{columns['tokens']}[{at}]", "leave the word and its tag out")
        if type(tag) is int:
            return Bad("D342", f"tag {at + 1} is the number {tag}, and nothing says what the numbers mean", f"{columns['tags']}[{at}]", "name them in their order: data.labels=[O, B-person, I-person]")
        if not isinstance(tag, str):
            return wrong(tag, f"{columns['tags']}[{at}]", "a tag")
    return [token.strip() for token in tokens], [tag.strip() for tag in tags]


def named(values: dict, column: str, names: Sequence[str]) -> dict:
    """The row with class numbers replaced by their names, where they all have one."""
    tags = listed(values.get(column))
    if not tags or not all(_number(tag) for tag in tags) or max(map(int, tags)) >= len(names):
        return values
    return {**values, column: [names[int(tag)] for tag in tags]}


def _number(tag) -> bool:
    return (type(tag) is int and tag >= 0) or (isinstance(tag, str) and tag.isdecimal())


# ---- spans of characters --------------------------------------------------------------------------
def from_spans(values: dict, columns: dict[str, str]) -> tuple | Bad:
    """A text and places in it."""
    text, given = values.get(columns["text"]), _decoded(values.get(columns["spans"]))
    field = columns["spans"]
    if type(text) is not str:
        return wrong(text, columns["text"])
    if not text.strip():
        return Bad("D110", "empty text", columns["text"], "fill it, or leave the row out")
    if not isinstance(given, list):
        return wrong(given, field, "a list of places, each {start, end, label}")
    found: list[Span] = []
    for at, item in enumerate(given):
        place = place_of(item)
        if place is None:
            return Bad("D341", f"place {at + 1} is not {{start, end, label}}", f"{field}[{at}]", "start and end count characters from 0, the end is not part of it")
        span = trimmed(text, place)
        if span is None:
            return Bad("D341", f"place {at + 1}, {place.start} to {place.end}, holds nothing of a text of {len(text)} characters", f"{field}[{at}]", "start and end count characters from 0, the end is not part of it")
        if (quoted := quote_of(item)) is not None and quoted.strip() != text[span.start : span.end]:
            return Bad("D341", f"place {at + 1} should read `{quoted[:40]}`, and `{text[place.start : place.end][:40]}` stands there", f"{field}[{at}]", "count characters (code points), not bytes, on the very same text")
        found.append(span)
    found.sort(key=lambda span: span.start)
    for one, other in zip(found, found[1:]):
        if other.start < one.end:
            return Bad("D341", f"two places overlap: {one.start}-{one.end} {one.label} and {other.start}-{other.end} {other.label}", field, "keep one of the two")
    return tagged(text, found)


def place_of(item) -> Span | None:
    """A place as a Span: an object in the words of spaCy, Prodigy, Label Studio, Presidio or Transformers, or a triple."""
    if isinstance(item, (list, tuple)) and len(item) == 3:
        start, end, label = item
    elif isinstance(item, dict):
        start, end, label = (next((item[name] for name in names if name in item), None) for names in (STARTS, ENDS, TYPES))
    else:
        return None
    if isinstance(label, list) and len(label) == 1:
        label = label[0]
    fits = type(start) is int and type(end) is int and isinstance(label, str) and label.strip()
    return Span(start, end, label.strip()) if fits else None


def quote_of(item) -> str | None:
    """What an object says its place reads."""
    return next((item[name] for name in QUOTED if isinstance(item.get(name), str)), None) if isinstance(item, dict) else None


def trimmed(text: str, place: Span) -> Span | None:
    """The place without the white space at its edges; None where nothing is left, or where it lies outside the text."""
    if not 0 <= place.start < place.end <= len(text):
        return None
    held = text[place.start : place.end]
    start, end = place.start + len(held) - len(held.lstrip()), place.end - len(held) + len(held.rstrip())
    return Span(start, end, place.label) if start < end else None
