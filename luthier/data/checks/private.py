"""D501: e-mail addresses, telephone and card numbers, keys: what a tuned model could repeat to strangers."""
import re

from luthier.data.feedback import spoken
from luthier.data.findings import Finding
from luthier.data.records import Asked, Conversation, Record

EMAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{2,63})+")
NUMBER = re.compile(r"\d[\d ().-]{5,22}\d")
NAMED = re.compile(r"\b(?:phone|telephone|tel|mobile|cell)\b[^\d\n]{0,20}$", re.I)
NAMING = ("phone", "tel", "mobile", "cell")
"""Part of each word of NAMED, which is slow to try."""
DATE = re.compile(r"\d{4}-\d\d-\d\d")
KEYS = {  # a sign that a key holds and few texts do, the mark that it begins with, its whole form; looked for in this order
    ("-", "-----BEGIN"): re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    ("-", "sk-"): re.compile(r"\bsk-[\w-]{20,}", re.A),
    ("_", "sk_"): re.compile(r"\bsk_[\w-]{20,}", re.A),
    ("K", "AKIA"): re.compile(r"\bAKIA[0-9A-Z]{16}\b"),
    ("_", "ghp_"): re.compile(r"\bghp_[A-Za-z0-9]{30,}"),
    ("_", "hf_"): re.compile(r"\bhf_[A-Za-z0-9]{30,}"),
    ("-", "xox"): re.compile(r"\bxox[abpr]-[A-Za-z0-9-]{10,}"),
}
FEWEST_DIGITS = 10
"""Of a number that nothing calls a telephone's."""
NO_DIGITS = bytes(set(range(256)) - set(b"0123456789"))
LED = 40
"""Characters before a number in which a word may say that it is a telephone's."""


def check(record: Record) -> Finding | None:
    """A warning that names the kind of what was found, never the thing itself."""
    if isinstance(record, Asked):
        record = spoken(record)
    talk = type(record) is Conversation
    if not (kind := kind_of("\n".join([message.content for message in record.messages]) if talk else record.text)):
        return None
    field = next((f"messages[{at}].content" for at, message in enumerate(record.messages) if kind_of(message.content)), "messages") if talk else "text"
    return Finding("D501", "warning", f"{kind} in the text", field=field, hint="replace it by an invented one, or leave the row out")


def kind_of(text: str) -> str:
    """The kind of private thing in a text; empty where there is none."""
    if "@" in text and EMAIL.search(text):
        return "an e-mail address"
    for (sign, mark), form in KEYS.items():
        if sign in text and mark in text and form.search(text):
            return "a key"
    if not may_hold_number(text):
        return ""
    for match in NUMBER.finditer(text):
        if kind := _number(match, text):
            return kind
    return ""


def may_hold_number(text: str) -> bool:
    """False where there are too few digits for any number and no word that calls one a telephone's: most texts, told a few times faster than by the pattern."""
    if not text.isascii():
        return True  # there are other digits than ours
    digits = len(text.encode().translate(None, NO_DIGITS))
    if not 2 <= digits < FEWEST_DIGITS:
        return digits >= FEWEST_DIGITS
    low = text.lower()
    return any([word in low for word in NAMING])


def _number(match: re.Match, text: str) -> str:
    """What a long number is: a card by its check sum, a telephone by its length and how it is written or called."""
    digits = re.sub(r"\D", "", match[0])
    if 13 <= len(digits) <= 19 and is_card(digits):
        return "a card number"
    before = text[max(match.start() - LED, 0) : match.start()]
    low = before.lower()
    if any(word in low for word in NAMING) and NAMED.search(before):
        return "a telephone number"
    written = text[max(match.start() - 1, 0) : match.start()] in ("+", "(") or len(re.findall(r"[ ()-]+", match[0])) > 1
    return "a telephone number" if FEWEST_DIGITS <= len(digits) <= 13 and written and not DATE.match(match[0]) else ""


def is_card(digits: str) -> bool:
    """The check sum of card numbers (ISO/IEC 7812-1, Luhn)."""
    doubled = (2 * int(digit) if at % 2 else int(digit) for at, digit in enumerate(reversed(digits)))
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0
