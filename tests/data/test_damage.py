"""A random bad row among good ones is reported at its exact line, column and byte, whatever the damage: 100 of 100, for JSONL and for CSV.

Each kind of damage knows where it struck because it was put there; nothing of the reader is used to say what is expected.
Replay one trial with LUTHIER_SEED=<seed>.
"""
import json
import os
import random
import re

import pytest

from luthier.data.sources import Finding, read

TRIALS = 100
SEED = int(os.environ.get("LUTHIER_SEED", "20240"))
WORDS = ["guitar", "café", "string", "naïve", "tune", "Zürich", "🎸", "order", "line\u2028end", "你好", "bridge", "fret"]
LIMIT = 4000
TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|-?[0-9.]+|true|false|null|[\[\]{},:]')


def words(draw, least=3, most=8):
    return " ".join(draw.choices(WORDS, k=draw.randint(least, most)))


# ---- JSONL: a damage takes (draw, text, tokens) and returns the new bytes and the 0-based character that is wrong -------
def spans(text):
    return [(match.start(), match.end(), match[0]) for match in TOKEN.finditer(text)]


def is_key(text, end):
    return text[end : end + 1] == ":"


def pick(draw, text, wanted):
    return draw.choice([(start, end) for start, end, token in spans(text) if wanted(token, start, end)])


def strings(text):
    return lambda token, start, end: token[0] == '"' and len(token) > 4 and not is_key(text, end)


def keys(text):
    return lambda token, start, end: token[0] == '"' and is_key(text, end)


def numbers(token, start, end):
    return token[0] in "-0123456789"


def replace(kind, word, shift=0):
    def damage(draw, text):
        start, end = pick(draw, text, kind if kind is numbers else kind(text))
        new = word(text[start:end]) if callable(word) else word
        return text[:start] + new + text[end:], start + shift

    return damage


def insert_in_string(word, shift=0):
    def damage(draw, text):
        start, end = pick(draw, text, strings(text))
        inside = [start + 1 + match.start() for match in re.finditer(r"\\u....|\\.|.", text[start + 1 : end - 1])]
        at = draw.choice(inside)
        return text[:at] + word + text[at:], at + shift

    return damage


def cut(draw, text):
    at = draw.randint(1, len(text) - 1)
    return text[:at], at


def drop(token):
    def damage(draw, text):
        start, end = pick(draw, text, lambda found, *_: found == token)
        rest = text[end:]
        return text[:start] + rest, start + len(rest) - len(rest.lstrip())

    return damage


def trailing_comma(draw, text):
    start, _ = pick(draw, text, lambda token, start, end: token in "]}")
    return text[:start] + "," + text[start:], start + 1


def wrong_bracket(draw, text):
    start, end = pick(draw, text, lambda token, start, end: token in "]}" and end < len(text))
    return text[:start] + ("}" if text[start] == "]" else "]") + text[end:], start


def after(tail, shift):
    return lambda draw, text: (text + tail, len(text) + shift)


def duplicate_key(draw, text):
    return text[:-1] + ', "id": 1}', len(text) + 1


def depth_bomb(draw, text):
    start, end = pick(draw, text, numbers)
    before = sum((token in "[{") - (token in "]}") for at, _, token in spans(text) if at < start)
    return text[:start] + "[" * 5000 + text[end:], start + 64 - before


def too_long(draw, text):
    return text.replace('"id"', '"pad": "' + "x" * LIMIT + '", "id"', 1), 0


def not_an_object(draw, text):
    return f"[{text}]", 0


def smart_quotes(draw, text):
    start, end = pick(draw, text, keys(text))
    return text[:start] + "“" + text[start + 1 : end - 1] + "”" + text[end:], start


JSONL_DAMAGE = {
    "cut": cut, "missing comma": drop(","), "missing colon": drop(":"), "trailing comma": trailing_comma, "wrong bracket": wrong_bracket,
    "single quotes": replace(keys, lambda token: f"'{token[1:-1]}'"), "unquoted key": replace(keys, lambda token: token[1:-1]), "smart quotes": smart_quotes,
    "NaN": replace(numbers, "NaN"), "Infinity": replace(numbers, "-Infinity"), "1e999": replace(numbers, "1e999"), "huge integer": replace(numbers, "9" * 3000),
    "leading zero": replace(numbers, "07", 1), "Python literal": replace(numbers, "None"), "bare point": replace(numbers, "1.x", 2),
    "bad escape": insert_in_string("\\x", 1), "bad hex": insert_in_string("\\u12G4", 4), "lone surrogate": insert_in_string("\\ud83d "), "raw tab": insert_in_string("\t"),
    "NUL": insert_in_string("\0"), "escaped NUL": insert_in_string("\\u0000"), "Latin-1 byte": insert_in_string("\udce9z"), "overlong": insert_in_string("\udcc0\udc80"),
    "surrogate bytes": insert_in_string("\udced\udca0\udc80"), "second object": after(' {"a": 1}', 1), "comma after": after(",", 0), "words after": after("  end", 2),
    "extra bracket": after("}", 0), "duplicate key": duplicate_key, "depth bomb": depth_bomb, "too long": too_long, "not an object": not_an_object,
}


def jsonl_row(draw, number):
    messages = [{"role": "user", "content": words(draw)}, {"role": "assistant", "content": words(draw) + draw.choice(["", ' "quoted" \\ / {[,:]}', "\n\ttwo lines"])}]
    return json.dumps({"messages": messages, "score": draw.random(), "tags": [words(draw, 1, 2), 3, 4.5], "id": number}, ensure_ascii=draw.random() < 0.3)


def jsonl_trial(seed, folder):
    """A file with one bad row; returns (kind, what was found, what was expected)."""
    draw = random.Random(seed)
    rows = [jsonl_row(draw, number) for number in range(draw.randint(2, 120))]
    bad = draw.randrange(len(rows))
    kind = list(JSONL_DAMAGE)[seed % len(JSONL_DAMAGE)]
    rows[bad], position = JSONL_DAMAGE[kind](draw, rows[bad])
    return run(draw, folder / f"{seed}.jsonl", rows, bad, kind, rows[bad], position, blank=True)


def run(draw, path, records, bad, kind, first_line, position, *, blank, header=0):
    """Write the records with random line ends and report what the reader says of the one bad record."""
    ending = draw.choice(["\n", "\r\n"])
    pieces, line, offset, place = ["\ufeff"] if draw.random() < 0.3 else [], 1, 0, None
    offset = 3 * len(pieces)
    for number, record in enumerate(records):
        if blank and draw.random() < 0.1:
            pieces.append(ending)
            line, offset = line + 1, offset + len(ending)
        if number == bad + header:
            place = (line, position + 1, offset + len(first_line[:position].encode(errors="surrogateescape")))
        last = number == len(records) - 1 and draw.random() < 0.5
        piece = record.replace("\n", ending) + ("" if last else ending)
        pieces.append(piece)
        line, offset = line + piece.count("\n"), offset + len(piece.encode(errors="surrogateescape"))
    path.write_bytes("".join(pieces).encode(errors="surrogateescape"))
    items = list(read(str(path), max_line_bytes=LIMIT if kind == "too long" else 1 << 24))
    errors = [(item.line, item.column, item.byte_offset, item.rows) for item in items if type(item) is Finding and item.level == "error"]
    good = sum(type(item) is not Finding for item in items)
    return kind, (errors, good), ([(*place, [bad + 1])], len(records) - header - 1)


def test_jsonl_reports_the_exact_place(tmp_path, capsys):
    trials = [(seed, *jsonl_trial(seed, tmp_path)) for seed in range(SEED, SEED + TRIALS)]
    report(trials, "JSONL", capsys)


# ---- CSV ----------------------------------------------------------------------------------------
def quote(text):
    return '"' + text.replace('"', '""') + '"'


def csv_row(draw, number, delimiter, *, plain=False, quoted=False):
    text = words(draw).replace(delimiter, " ")
    if quoted:
        text = quote(text + delimiter + draw.choice([' said "yes" to', " and"]) + " more")
    elif not plain and draw.random() < 0.4:
        text = quote(text + draw.choice([delimiter, ' says "well" then ', "\nnext line", "\n\nthen" + delimiter + '"ok" so']))
    return delimiter.join([str(number), text, draw.choice(["billing", "login", "repair"])])


def on_plain(damage):
    return False, damage


def on_quoted(damage):
    return True, damage


def stray_quote(draw, text, delimiter):
    start = text.index(delimiter) + 2
    at = draw.randrange(start, text.rindex(delimiter))
    return text[:at] + '"' + text[at:], at


def without_field(draw, text, delimiter):
    at = text.index(delimiter)
    return text[at + 1 :], len(text) - at - 1


def without_delimiter(draw, text, delimiter):
    at = text.rindex(delimiter)
    return text[:at] + text[at + 1 :], len(text) - 1


def put(word, shift=0):
    def damage(draw, text, delimiter):
        at = draw.randrange(text.index(delimiter) + 2, text.rindex(delimiter))
        return text[:at] + word + text[at:], at + shift

    return damage


def surplus(tail):
    return lambda draw, text, delimiter: (text + delimiter + tail, len(text) + 1)


def after_closing(draw, text, delimiter):
    at = text.rindex(delimiter)
    return text[:at] + "x" + text[at:], at


def without_closing(draw, text, delimiter):
    at = text.rindex(delimiter)
    return text[: at - 1] + text[at:], text.index('"')


def without_opening(draw, text, delimiter):
    at = text.index('"')
    text = text[:at] + text[at + 1 :]
    return text, text.index('"')


def undoubled(draw, text, delimiter):
    if '""' not in text:
        return without_opening(draw, text, delimiter)
    at = text.index('""')
    return text[:at] + text[at + 1 :], at + 1


CSV_DAMAGE = {
    "missing field": on_plain(without_field), "missing delimiter": on_plain(without_delimiter), "surplus field": on_plain(surplus("extra")), "surplus delimiter": on_plain(surplus("")),
    "stray quote": on_plain(stray_quote), "Latin-1 byte": on_plain(put("\udce9z")), "overlong": on_plain(put("\udcc0\udc80")), "NUL": on_plain(put("\0")),
    "carriage return": on_plain(put("\r")), "text after quote": on_quoted(after_closing), "unclosed quote": on_quoted(without_closing), "unopened quote": on_quoted(without_opening),
    "quote not doubled": on_quoted(undoubled), "surplus after quotes": on_quoted(surplus("extra")), "too long": on_plain(lambda draw, text, delimiter: (text.replace(delimiter, delimiter + "x" * LIMIT, 1), 0)),
}


def csv_trial(seed, folder):
    draw = random.Random(seed)
    delimiter = draw.choice(",;\t|")
    kind = list(CSV_DAMAGE)[seed % len(CSV_DAMAGE)]
    needs_quotes, damage = CSV_DAMAGE[kind]
    rows = [csv_row(draw, number, delimiter) for number in range(draw.randint(20, 120))]
    rows[draw.randrange(10)] = csv_row(draw, 0, delimiter, quoted=True)
    bad = draw.randrange(10, len(rows))
    rows[bad], position = damage(draw, csv_row(draw, bad, delimiter, plain=not needs_quotes, quoted=needs_quotes), delimiter)
    suffix = "tsv" if delimiter == "\t" else "csv"
    return run(draw, folder / f"{seed}.{suffix}", [delimiter.join(["number", "text", "label"]), *rows], bad, kind, rows[bad], position, blank=False, header=1)


def test_csv_reports_the_exact_place(tmp_path, capsys):
    trials = [(seed, *csv_trial(seed, tmp_path)) for seed in range(SEED, SEED + TRIALS)]
    report(trials, "CSV", capsys)


def report(trials, name, capsys):
    kinds = {kind for _, kind, *_ in trials}
    missed = [(seed, kind, found, expected) for seed, kind, found, expected in trials if found != expected]
    with capsys.disabled():
        print(f"\n{name}: {len(trials) - len(missed)}/{len(trials)} random bad rows reported at the exact line, column and byte; {len(kinds)} kinds of damage; seeds {SEED}-{SEED + len(trials) - 1}")
    assert len(kinds) >= 10
    assert not missed, "\n".join(f"seed {seed} ({kind}): found {found}, expected {expected}" for seed, kind, found, expected in missed[:5])


@pytest.mark.parametrize("line", [1, 2, 500, 50_000])
def test_far_lines_are_counted_right(tmp_path, line):
    path = tmp_path / "far.jsonl"
    path.write_text('{"text": "a"}\n' * (line - 1) + '{"text": }\n' + '{"text": "b"}\n' * 3)
    [error] = [item for item in read(str(path)) if type(item) is Finding]
    assert (error.line, error.column, error.byte_offset, error.rows) == (line, 10, 14 * (line - 1) + 9, [line])
