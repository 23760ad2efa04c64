"""The strict JSON reader: it takes what JSON is, refuses the rest, and names the first character that cannot stand, as an oracle confirms."""
import json
import random
import tracemalloc

import pytest

from luthier.data.sources.strict_json import Fault, find_fault, parse

FAULTS = [  # text, 0-based position, code, a word of the reason or hint
    ('{"a": 1,}', 8, "D100", "comma"),
    ('{"a": 1} {"b": 2}', 9, "D100", "second value"),
    ('{"a": 1},', 8, "D100", "separated by line ends"),
    ("{'a': 1}", 1, "D100", "straight double quotes"),
    ("{a: 1}", 1, "D100", "in double quotes"),
    ('{"a" 1}', 5, "D100", "`:`"),
    ('{"a": True}', 6, "D100", "write `true`"),
    ('{"a": tru}', 9, "D100", "`true`"),
    ('{"a": 01}', 7, "D100", "start with 0"),
    ('{"a": 1.}', 8, "D100", "digit"),
    ('{"a": -}', 7, "D100", "digit"),
    ('{"a": 2e+}', 9, "D100", "digit"),
    ('{"a": "\\q"}', 8, "D100", "no escape"),
    ('{"a": "\t"}', 7, "D100", "\\t"),
    ('{"a": [1 2]}', 9, "D100", "comma"),
    ('{"a": "x', 8, "D100", "ends inside the string that opens at column 7"),
    ('{"a": {"b": 1', 13, "D100", "opens at column 7"),
    ("", 0, "D100", "ends"),
    ('{"a": NaN}', 6, "D104", "NaN"),
    ('{"a": Infinity}', 6, "D104", "Infinity"),
    ('{"a": -Infinity}', 6, "D104", "Infinity"),
    ('{"a": 1e999}', 6, "D104", "too large"),
    ('{"a": ' + "9" * 5000 + "}", 6, "D104", "too large"),
    ('{"a": 1, "a": 2}', 9, "D105", "twice"),
    ('{"a": {"b": 1, "\\u0062": 2}}', 15, "D105", "twice"),
    ('{"a": "\\ud800"}', 7, "D101", "lone surrogate"),
    ('{"a": "\\udc00\\ud800"}', 7, "D101", "lone surrogate"),
    ('{"a": "\\ud800\\u0041"}', 7, "D101", "lone surrogate"),
    ('{"a": "\\u0000"}', 7, "D101", "NUL"),
    ('{"a": "\0"}', 7, "D101", "NUL"),
    ("[" * 65 + "]" * 65, 64, "D106", "64 levels"),
]


@pytest.mark.parametrize("text, position, code, word", FAULTS, ids=[text[:24] for text, *_ in FAULTS])
def test_names_the_place_and_the_reason(text, position, code, word):
    with pytest.raises(Fault) as raised:
        parse(text)
    fault = raised.value
    assert (fault.position, fault.code) == (position, code)
    assert word in f"{fault} {fault.hint}"


@pytest.mark.parametrize("text", ['{"a": "\\ud83d\\ude00 \u2028 é"}', '{"a": -0.0e-5, "b": [], "c": {}}', "[" * 64 + "]" * 64, ' \t{"a": null}\r', '{"[[{{": "\\"[[[{"}'])
def test_takes_what_json_is(text):
    assert parse(text) == json.loads(text)


@pytest.mark.parametrize("bomb", ["[" * 100_000, '{"a":' * 100_000, "[" * 100_000 + "]" * 100_000], ids=["lists", "objects", "closed"])
def test_a_depth_bomb_costs_little(bomb):
    tracemalloc.start()
    with pytest.raises(Fault) as raised:
        parse(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert raised.value.code == "D106"
    assert peak < 5 << 20


# ---- an oracle made of Python's own decoder -----------------------------------------------------
TAILS = ["", "0", '"', '":0', ":0", '"a":0', '"a"', "ull", "ll", "l", "rue", "ue", "e", "alse", "lse", "se", '\\"', 'n"', 'u0041"', '0041"', '041"', '41"', '1"']
TAILS += [tail + ":0" for tail in ('n"', 'u0041"', '0041"', '041"', '41"', '1"')]


def closers(text):
    """The brackets that are open after a text, closed in order; strings are passed over."""
    open_, inside, escaped = [], False, False
    for character in text:
        if inside:
            escaped, inside = (character == "\\" and not escaped), (character != '"' or escaped)
        elif character == '"':
            inside = True
        elif character in "[{":
            open_.append("]" if character == "[" else "}")
        elif character in "]}" and open_:
            open_.pop()
    return "".join(reversed(open_))


def can_go_on(prefix):
    """Whether some text that begins so is JSON, tried with Python's decoder on every way to end it."""
    for tail in TAILS:
        try:
            json.loads(prefix + tail + closers(prefix), parse_constant=lambda word: 1 / 0)
            return True
        except (ValueError, ZeroDivisionError):
            continue
    return False


def mutated(draw):
    text = json.dumps({"messages": [{"role": "user", "content": "a \"b\" \\ é"}], "n": draw.choice([1, -2.5, 3e10]), "t": [True, None, False, {}], "k": "v\n"}, ensure_ascii=draw.random() < 0.5)
    for _ in range(draw.randint(1, 2)):
        at = draw.randrange(len(text) or 1)
        text = draw.choice([text[:at] + text[at + 1 :], text[:at] + draw.choice('{}[],:"\\0 1e.-+ntu\'x\t') + text[at:], text[:at], text[:at] + draw.choice('{}[],:"x') + text[at + 1 :]])
    return text


def test_agrees_with_an_oracle_on_random_damage():
    seed = 7
    draw = random.Random(seed)
    wrong = damaged = 0
    for _ in range(600):
        text = mutated(draw)
        fault = find_fault(text)
        try:
            json.loads(text)
            assert fault is None or fault.code != "D100", (seed, text)
        except ValueError:
            damaged += 1
            assert fault is not None, (seed, text)
        if fault is not None and fault.code == "D100":
            stands = can_go_on(text[: fault.position])
            goes_on = fault.position < len(text) and can_go_on(text[: fault.position + 1])
            wrong += not stands or goes_on
            assert stands and not goes_on, (seed, text, fault.position, text[fault.position :][:10])
    assert damaged > 300 and wrong == 0


def test_fast_and_slow_path_agree():
    draw = random.Random(11)
    for _ in range(2000):
        text = mutated(draw)
        try:
            parse(text)
            assert find_fault(text) is None, text
        except Fault as fault:
            assert find_fault(text) is not None and find_fault(text).position == fault.position, text
