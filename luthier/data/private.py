"""What looks private in a text: addresses, numbers, keys, found by form and confirmed by check sum, range or the words beside them.

No model is asked. A number alone is not private; it is a card by its check sum (ISO/IEC 7812-1), an account by ISO 13616, an identity number by the
rule of its country, a telephone by how it is written or called. Names that cannot exist (`.invalid`, country code 999) are pseudonyms and pass.
"""
import ipaddress
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from luthier.data.columns import codes_of, places_of
from luthier.data.identities import WORDS, identity_of_number, identity_of_word
from luthier.data.phrases import Signs


class Span(NamedTuple):
    """Where something private stands in a text, and what it is."""

    start: int
    end: int
    kind: str


KINDS = {
    "email": "an e-mail address", "phone": "a telephone number", "card": "a card number", "iban": "a bank account", "identity": "an identity number",
    "ip": "an IP address", "key": "a key", "name": "a name", "address": "an address or place",
}
Names = Callable[[Sequence[str]], Sequence[Sequence[tuple[int, int, str]]]]
"""Texts to the (start, end, type) of what a model finds in each, in its own words for types."""
TYPES = {  # a model's words, in capitals, to ours; of other types (organisations, dates ...) nothing is private by itself
    **dict.fromkeys("PER PERSON NAME FIRSTNAME LASTNAME FIRST_NAME LAST_NAME GIVENNAME SURNAME PERSON_NAME USERNAME NAME_STUDENT".split(), "name"),
    **dict.fromkeys("LOC LOCATION GPE ADDRESS STREET STREET_ADDRESS STREETADDRESS CITY ZIPCODE ZIP_CODE BUILDINGNUM BUILDINGNUMBER".split(), "address"),
}
REPLACED = re.compile(r"\[(?:[a-z]+)(?:-[0-9a-f]{10})?\]|person-[0-9a-f]{10}@pseudonym\.invalid|\+999 \d{9}")
"""Masks and pseudonyms: what was replaced already."""
LOCAL = re.compile(r"[\w.+%-]{1,64}\Z")
DOMAIN = re.compile(r"(?:[\w-]{1,63}\.)+[^\W\d_]{2,24}\b")
NUMBER = re.compile(r"(?<![\w./€$£-])(?<!\d,)[+(]{0,2}\d(?:[ ()./-]{0,3}\d){5,24}(?:x\d{1,5})?(?![\w%])(?![.,]\d)")
IBAN = re.compile(r"\b(?:[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?|[a-z]{2}\d{2}[a-z]{0,4}\d{10,26})\b")
IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)")
IPV6 = re.compile(r"(?<![\w:])[0-9a-fA-F]{0,4}(?::[0-9a-fA-F]{0,4}){2,7}(?![\w:])")
KEYS = {  # what a key holds, looked for first since most texts hold none; then its whole form
    "-----BEGIN": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?:[^\0]{0,8000}?-----END [A-Z ]*PRIVATE KEY-----)?"),
    "sk-": re.compile(r"\bsk-[\w-]{20,}", re.A),
    "sk_": re.compile(r"\bsk_[\w-]{20,}", re.A),
    "rk_": re.compile(r"\brk_(?:live|test)_[\w-]{20,}", re.A),
    "AKIA": re.compile(r"\bAKIA[0-9A-Z]{16}\b"),
    "ASIA": re.compile(r"\bASIA[0-9A-Z]{16}\b"),
    "AIza": re.compile(r"\bAIza[\w-]{35}", re.A),
    "ghp_": re.compile(r"\bghp_[A-Za-z0-9]{30,}"),
    "gho_": re.compile(r"\bgho_[A-Za-z0-9]{30,}"),
    "ghs_": re.compile(r"\bghs_[A-Za-z0-9]{30,}"),
    "github_pat_": re.compile(r"\bgithub_pat_\w{40,}", re.A),
    "glpat-": re.compile(r"\bglpat-[\w-]{20,}", re.A),
    "hf_": re.compile(r"\bhf_[A-Za-z0-9]{30,}"),
    "xox": re.compile(r"\bxox[abprs]-[A-Za-z0-9-]{10,}"),
    "eyJ": re.compile(r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}", re.A),
    "npm_": re.compile(r"\bnpm_[A-Za-z0-9]{36}"),
    "SG.": re.compile(r"\bSG\.[\w-]{20,}\.[\w-]{20,}", re.A),
    "://": re.compile(r"(?<=://)[^\s/:@\0]{1,64}:[^\s/@\0]{3,64}(?=@)"),
}
APART = Signs(("-----BEGIN", "://"))
"""Marks of keys that hold other signs than KEY_LIKE."""
COLONS = Signs(("::",))
SHORTEST_KEY = 14
KEY_LIKE = np.zeros(256, dtype=bool)
KEY_LIKE[[ord(one) for one in "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-."]] = True
SECRET_WORDS = ("api", "apikey", "secret", "token", "password", "passwd", "passphrase", "access", "accesskey", "bearer", "auth")
"""Whole words that a secret stands behind."""
SECRET = re.compile(r"(?i:\b(?:api[_ -]?key|secret|token|passw(?:or)?d|passphrase|access[_ -]?key|bearer|auth)\b(?:\s+is)?\s{0,3}[:=\"'`]{0,3}\s{0,3})([^\s\"'`,;<>\0]{8,200})")
LEAST_ENTROPY = 3.0
FEWEST_DIGITS, WIDEST_GAP = 5, 5
GLUE = np.zeros(256, dtype=bool)
"""Characters that may stand between the digits of one number."""
GLUE[[ord(one) for one in "0123456789 ()./-:abcdefABCDEFGHIJKLMNOPQRSTUVWXYZ"]] = True
BEFORE = 40
"""Characters before a number in which a word may say what it is."""
CALLED = re.compile(r"(?i:\b(?:phone|telephone|tel|mobile|cell|cellphone|fax|call(?: me| us)?|reach (?:me|us)|contact|dial|ring|whatsapp|hotline|sms|text(?: me)?|number is|my number|landline|desk|office|answering at|messages? to|registered)\b)[^\d\0]{0,24}$")
CALLED_AFTER = re.compile(r"[ -]{0,2}(?i:office|fax|desk|mobile|cell|home|work)\b")
OTHERWISE = re.compile(r"(?i:\b(?:order|invoice|ticket|account|reference|ref|tracking|case|id|isbn|issn|doi|version|serial|model|sku|part|zip|code|pin|page|article|bill|booking|row|box|licen[sc]e(?: number)?)\b)[^\d\n\0]{0,14}$")
DATE = re.compile(r"(?:(?:1[6-9]|2[01])\d\d[-/. ](?:0?[1-9]|1[0-2])[-/. ]\d{1,2}|\d{1,2}[-/. ]\d{1,2}[-/. ](?:1[6-9]|2[01])\d\d)(?:$|\D)")
DIGITS = re.compile(r"\D+")
BESIDE = re.compile(r"[A-Z]{2} ?\d|[A-Za-z]-?\d|\d-?[A-Z]")
"""A letter beside a digit, as in all accounts and in identity numbers that hold letters; quick to try."""
LETTERS = re.compile(r"[a-z]+")
CALLING_WORDS = frozenset("phone telephone tel mobile cell cellphone fax call reach contact dial ring whatsapp hotline sms text number landline desk office answering message messages registered".split())
"""A word of each way to say that a number is a telephone's; without one of them CALLED need not be tried."""
OTHER_WORDS = frozenset("order invoice ticket account reference ref tracking case id isbn issn doi version serial model sku part zip code pin page article bill booking row box license licence".split())
"""The same for OTHERWISE."""


def scan(text: str, secrets: Sequence[int] | None = None, code_C: np.ndarray | None = None) -> list[Span]:
    """Everything private in a text, in order, none overlapping another. Texts may be joined by NUL; nothing is found across one.

    `secrets` are the places where one of SECRET_WORDS begins, `code_C` the characters as numbers, for who knows them already.
    """
    code_C = codes_of(text) if code_C is None else code_C
    found: list[Span] = [*_keys(text, _secrets(text) if secrets is None else secrets, code_C), *_emails(text)]
    for start, end in windows(text, code_C):
        part = text[start:end]
        mixed = BESIDE.search(part) is not None
        dotted = part.count(".") > 2 or part.count(":") > 2
        for find in (*((_accounts,) if mixed else ()), *((_addresses,) if dotted else ()), *((_identities,) if mixed else ()), _numbers):
            found += [Span(span.start + start, span.end + start, span.kind) for span in find(part)]
    # of what overlaps, the kind that is found first above stays; windows may overlap too
    order = {kind: at for at, kind in enumerate(("key", "email", "iban", "ip", "identity", "card", "phone"))}
    result: list[Span] = []
    for span in sorted(set(found), key=lambda span: (span.start, order[span.kind])):
        if result and span.start < result[-1].end:
            if order[span.kind] < order[result[-1].kind]:
                result[-1] = span
            continue
        result.append(span)
    return result


def found_by(names: Names, texts: Sequence[str]) -> list[list[Span]]:
    """Names and addresses in each text, what was replaced already left out."""
    result = []
    for text, found in zip(texts, names(texts), strict=True):
        replaced = [match.span() for match in REPLACED.finditer(text)]
        spans = [Span(start, end, TYPES[kind.upper()]) for start, end, kind in found if kind.upper() in TYPES]
        result.append([span for span in spans if not any(span.start < end and start < span.end for start, end in replaced)])
    return result


def windows(text: str, code_C: np.ndarray) -> list[tuple[int, int]]:
    """The parts of a text in which at least five digits stand close together, with room around them; a number outside of them is short."""
    digits = np.flatnonzero((code_C >= 48) & (code_C <= 57))
    spans = []
    if len(digits) >= FEWEST_DIGITS:
        gap = np.diff(digits)
        apart = gap > WIDEST_GAP
        for step in range(1, WIDEST_GAP):
            inside = np.flatnonzero((gap > step) & ~apart)
            apart[inside] = ~GLUE[np.minimum(code_C[digits[inside] + step], 255)]
        bounds = np.concatenate([[0], np.flatnonzero(apart) + 1, [len(digits)]])
        long = np.flatnonzero(np.diff(bounds) >= FEWEST_DIGITS)
        spans = [(int(digits[bounds[at]]) - BEFORE - 6, int(digits[bounds[at + 1] - 1]) + 24) for at in long]
    spans += [(at - 2, at + 44) for at in account_starts(code_C, digits).tolist()]
    spans += [(at - 40, at + 40) for at in COLONS.places(code_C).get("::", np.zeros(0, dtype=np.int64)).tolist()]
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        start, end = max(start, 0), min(end, len(text))
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def account_starts(code_C: np.ndarray, digits: np.ndarray) -> np.ndarray:
    """Where two capitals (or two small letters) stand before two digits, as accounts begin; what follows may be letters mostly."""
    first = digits[:-1][np.diff(digits) == 1]
    first = first[first >= 2]
    before = code_C[first - 1] & ~np.uint8(32), code_C[first - 2] & ~np.uint8(32)
    return first[(before[0] >= 65) & (before[0] <= 90) & (before[1] >= 65) & (before[1] <= 90)] - 2


def _secrets(text: str) -> list[int]:
    """Where a word begins that a secret may stand behind."""
    lower = text.lower()
    if len(lower) != len(text):
        return []
    return [at for word in ("api", "secret", "token", "passw", "passphrase", "access", "bearer", "auth") for at in places_of(lower, word)]


def _keys(text: str, secrets: Iterable[int], code_C: np.ndarray) -> Iterator[Span]:
    for mark, places in APART.places(code_C).items():
        for at in places.tolist():
            if match := KEYS[mark].match(text, at + len(mark) if mark == "://" else at):
                yield Span(*match.span(), "key")
    for start, end in runs(code_C):
        run = text[start:end]
        for mark in (mark for mark in KEYS if mark in run and mark not in APART.strings):
            for at in places_of(run, mark):
                if match := KEYS[mark].match(text, start + at):
                    yield Span(*match.span(), "key")
    for at in secrets:
        if (match := SECRET.match(text, at)) and is_random(match[1]):
            yield Span(*match.span(1), "key")


def runs(code_C: np.ndarray) -> list[tuple[int, int]]:
    """Stretches of letters, digits, `_`, `-` and `.` as long as keys are at least; most texts hold few words of that length."""
    edges = np.flatnonzero(np.diff(KEY_LIKE[np.minimum(code_C, 255)], prepend=False, append=False))
    starts, ends = edges[::2], edges[1::2]
    long = ends - starts >= SHORTEST_KEY
    return list(zip(starts[long].tolist(), ends[long].tolist()))


def is_random(word: str) -> bool:
    """Whether a word looks drawn by lot rather than spelled: letters and digits mixed, and many different ones."""
    kinds = sum(any(test(character) for character in word) for test in (str.isdigit, str.islower, str.isupper, lambda one: not one.isalnum()))
    return kinds >= 2 and any(map(str.isdigit, word)) and entropy(word) >= LEAST_ENTROPY


def entropy(word: str) -> float:
    """Bits per character of a word's own frequencies."""
    return -sum(count / len(word) * math.log2(count / len(word)) for count in Counter(word).values())


def _emails(text: str) -> Iterator[Span]:
    at = text.find("@")
    while at >= 0:
        local, domain = LOCAL.search(text, max(at - 64, 0), at), DOMAIN.match(text, at + 1)
        if local and domain and not domain[0].endswith(".invalid"):
            yield Span(local.start(), domain.end(), "email")
        at = text.find("@", at + 1)


def _accounts(text: str) -> Iterator[Span]:
    for match in IBAN.finditer(text):
        words = match[0]
        # a word that follows may look like a last group; it is given up until the check sum holds
        while len(words) >= 15:
            if is_iban(words.replace(" ", "").upper()):
                yield Span(match.start(), match.start() + len(words), "iban")
                break
            words = words.rpartition(" ")[0]


def is_iban(code: str) -> bool:
    """The check sum of account numbers (ISO 13616, modulo 97)."""
    return 15 <= len(code) <= 34 and int("".join(str(int(character, 36)) for character in code[4:] + code[:4])) % 97 == 1


def _addresses(text: str) -> Iterator[Span]:
    for match in IPV4.finditer(text):
        if all(int(part) < 256 for part in match[0].split(".")) and not re.search(r"(?i:version|release|\bv)\s?$", text[max(match.start() - 12, 0) : match.start()]):
            yield Span(*match.span(), "ip")
    if text.count(":") > 2:
        for match in IPV6.finditer(text):
            if len(match[0]) > 6 and _is_ipv6(match[0]):
                yield Span(*match.span(), "ip")


def _is_ipv6(word: str) -> bool:
    try:
        return len(ipaddress.IPv6Address(word).compressed) > 4
    except ValueError:
        return False


def _identities(text: str) -> Iterator[Span]:
    for match in WORDS.finditer(text):
        if identity_of_word(match[0]):
            yield Span(*match.span(), "identity")


def _numbers(text: str) -> Iterator[Span]:
    for match in NUMBER.finditer(text):
        before = text[max(match.start() - BEFORE, 0) : match.start()].rpartition("\0")[2]
        if kind := kind_of_number(match[0].partition("x")[0], before, text[match.end() : match.end() + 12]):
            yield Span(*match.span(), kind)


def kind_of_number(written: str, before: str, after: str = "") -> str:
    """What a long number is, by how it is written and by the words around it; empty where nothing says that it is private."""
    digits = DIGITS.sub("", written)
    if written.startswith("+999"):
        return ""
    if 12 <= len(digits) <= 19 and is_card(digits) and not written.startswith(("+", "(")) and not before.endswith("+"):
        return "card"
    if identity_of_number(written, digits, before):
        return "identity"
    said = frozenset(LETTERS.findall(before.lower()))
    if DATE.match(written) or not 6 <= len(digits) <= 15 or (said & OTHER_WORDS and OTHERWISE.search(before)):
        return ""
    if (said & CALLING_WORDS and CALLED.search(before)) or CALLED_AFTER.match(after):
        return "phone"
    groups = re.findall(r"\d+", written)
    international = written.startswith("+") and 8 <= len(digits)
    bracketed = written.startswith(("(", "+(")) and 7 <= len(digits) <= 13
    trunk = digits.startswith("0") and 9 <= len(digits) <= 12 and 2 <= len(groups) <= 6 and not digits.startswith("000")
    grouped = 9 <= len(digits) <= 13 and 3 <= len(groups) <= 5 and all(len(group) >= 2 for group in groups[1:]) and "/" not in written and not re.search(r"\d[.]\d", written)
    dotted = len(groups) == 3 and [len(group) for group in groups] == [3, 3, 4]
    return "phone" if international or bracketed or trunk or grouped or dotted else ""


NETWORKS = re.compile(r"(?:4|5[1-5]|2[2-7]|3[47]|3[0689]|35|6|1800|2131|50|5[6-8]|9)")


def is_card(digits: str) -> bool:
    """The check sum of card numbers (ISO/IEC 7812-1, Luhn), and a first digit that cards have."""
    doubled = (2 * int(digit) if at % 2 else int(digit) for at, digit in enumerate(reversed(digits)))
    return bool(NETWORKS.match(digits)) and sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0 and len(set(digits)) > 1
