"""Private spans that the rules were not written on: texts from templates of our own, values by the rules of their countries, and numbers that are not private.

Telephone numbers are the example numbers of `phonenumbers` (Google's libphonenumber) for every region in the ways they are written there and abroad; accounts
have the lengths of `stdnum.iban`; cards, addresses, identity numbers and keys are drawn by lot with their check sums. Templates and distractors stand in
two halves: rules may be changed on `development`, and only `held_out` is reported.
"""
import ipaddress
import random
import string
from collections.abc import Callable

Value = Callable[[random.Random], str]

TEMPLATES = {
    "development": [
        "Please send the signed copy to {email} before Friday.", "You can get hold of our night shift under {phone}.", "The refund went to {iban}, and it should arrive tomorrow.",
        "He paid with {card} at the counter.", "Requests from {ip} were blocked at noon.", "Her national insurance number is {nino}.", "The applicant gave {ssn} as social security number.",
        "Deploy with {key} until the vault works.", "{email} wrote twice, then rang from {phone}.", "Order {order} was packed; call {phone} if it is late.",
        "The invoice {invoice} over {price} is open since {date}.", "We moved from {version} to {version} on {date}.",
    ],
    "held_out": [
        "cc {email} on everything that concerns the lease", "mobile: {phone}", "Fax {phone}, mail {email}, no visitors", "Überweisung an {iban} bitte bis Monatsende", "beneficiary account {iban} / ref {invoice}",
        "Karte {card}, gültig bis 09/29", "my visa {card} got declined twice", "ssh root@{ip} does not answer", "client {ip} timed out after 30s", "identity: {ssn} (social security)", "NI no. {nino} on file",
        "export TOKEN={key}", "leaked credential {key} found in repo", "ring me back on {phone} any time after 6", "I'm on {phone} today and on {email} tomorrow", "Between {date} and {date} we shipped {order} units for {price}",
        "ticket {order}, serial {serial}, firmware {version}", "ISBN {isbn} costs {price}", "page 12 of 340, rev {version}, dated {date}", "{order} users, {price} revenue, build {serial}",
        "Kontakt: {email} oder {phone}", "tel. {phone} ({email})", "wire it to {iban}; questions to {email}", "from: {email}\nto: {email}\nsubject: invoice {invoice}",
    ],
}


def luhn(digits: str) -> str:
    """The digits with the check digit of ISO/IEC 7812 behind them."""
    total = sum(sum(divmod(int(digit) * (2 - at % 2), 10)) for at, digit in enumerate(reversed(digits)))
    return digits + str(-total % 10)


def card(rng: random.Random) -> str:
    prefix, length, groups = rng.choice([("4", 16, 4), ("5" + rng.choice("12345"), 16, 4), ("34", 15, 0), ("37", 15, 0), ("6011", 16, 4), ("35" + rng.choice("2345678") + "9", 16, 4)])
    digits = luhn(prefix + "".join(rng.choice(string.digits) for _ in range(length - 1 - len(prefix))))
    return rng.choice([digits, " ".join(digits[at : at + 4] for at in range(0, 16, 4)), "-".join(digits[at : at + 4] for at in range(0, 16, 4))]) if groups else digits


def iban(rng: random.Random) -> str:
    """An account of a country whose lengths and kinds of characters stdnum knows."""
    from stdnum import iban as rules

    while True:
        country = rng.choice("DE FR GB ES IT NL BE AT CH PL PT SE NO DK FI IE CZ HU GR RO BG HR SI SK EE LT LV LU CY MT TR IL AE SA".split())
        info = dict(rules._ibandb.info(country)[0][1])
        body = "".join(rng.choice({"n": string.digits, "a": string.ascii_uppercase, "c": string.ascii_uppercase + string.digits}[kind]) for kind, size in parts(info["bban"]) for _ in range(size))
        number = country + f"{98 - int(''.join(str(int(one, 36)) for one in body + country + '00')) % 97:02d}" + body
        if rules.is_valid(number, check_country=False):
            return rng.choice([number, " ".join(number[at : at + 4] for at in range(0, len(number), 4))])


def parts(structure: str) -> list[tuple[str, int]]:
    """`4!n5!n` as [("n", 4), ("n", 5)]."""
    import re

    return [(kind, int(size)) for size, kind in re.findall(r"(\d+)!?([nac])", structure)]


def phone(rng: random.Random) -> str:
    import phonenumbers

    regions = sorted(phonenumbers.SUPPORTED_REGIONS)
    while True:
        kind = rng.choice([phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE])
        example = phonenumbers.example_number_for_type(rng.choice(regions), kind)
        if example is None:
            continue
        digits = str(example.national_number)
        example.national_number = int(digits[:-3] + "".join(rng.choice(string.digits) for _ in range(3)))
        written = phonenumbers.format_number(example, rng.choice([phonenumbers.PhoneNumberFormat.INTERNATIONAL, phonenumbers.PhoneNumberFormat.INTERNATIONAL, phonenumbers.PhoneNumberFormat.E164, phonenumbers.PhoneNumberFormat.NATIONAL]))
        if len(digits) >= 7:
            return written


def email(rng: random.Random) -> str:
    name = rng.choice(["j.ortega", "mia_k", "k-hansen", "post", "li.wei88", "o'neill", "a+news", "sören.lund", "r.d.patel", "info", "tuan_n"])
    return f"{name}@{rng.choice(['mail', 'posteo', 'uni-koeln', 'acme', 'news.acme', 'sub.dept.city'])}.{rng.choice(['de', 'org', 'co.uk', 'com.br', 'museum', 'io', 'edu.vn'])}"


def address(rng: random.Random) -> str:
    if rng.random() < 0.3:
        return str(ipaddress.IPv6Address((0x20010DB8 << 96) | rng.getrandbits(64)))
    return ".".join(str(rng.randrange(1, 255)) for _ in range(4))


def key(rng: random.Random) -> str:
    draw = lambda size, signs=string.ascii_letters + string.digits: "".join(rng.choice(signs) for _ in range(size))
    return rng.choice([lambda: f"ghp_{draw(36)}", lambda: f"AKIA{draw(16, string.ascii_uppercase + string.digits)}", lambda: f"sk-{draw(40)}", lambda: f"xoxb-{draw(11, string.digits)}-{draw(24)}", lambda: f"hf_{draw(34)}", lambda: f"AIza{draw(35)}"])()


def ssn(rng: random.Random) -> str:
    return f"{rng.randrange(1, 665):03d}-{rng.randrange(1, 99):02d}-{rng.randrange(1, 9999):04d}"


def nino(rng: random.Random) -> str:
    code = rng.choice("ABCEGHJKLMNPRSTWXYZ") + rng.choice("ABCEGHJKLMNPRSTWXYZ")
    number = f"{rng.randrange(10**6):06d}"
    return f"{code} {number[:2]} {number[2:4]} {number[4:]} {rng.choice('ABCD')}" if rng.random() < 0.5 else f"{code}{number}{rng.choice('ABCD')}"


VALUES: dict[str, tuple[str, Value]] = {
    "email": ("email", email), "phone": ("phone", phone), "iban": ("iban", iban), "card": ("card", card), "ip": ("ip", address), "key": ("key", key), "ssn": ("identity", ssn), "nino": ("identity", nino),
    "order": ("", lambda rng: str(rng.randrange(10**4, 10**8))), "invoice": ("", lambda rng: f"{rng.choice(['RE', 'INV', ''])}-{rng.randrange(2018, 2027)}-{rng.randrange(10**5):05d}".lstrip("-")),
    "price": ("", lambda rng: rng.choice(["{:,.2f} EUR", "${:,.2f}", "{:,.0f} kr"]).format(rng.uniform(5, 2e6))), "date": ("", lambda rng: rng.choice(["{2}-{1:02d}-{0:02d}", "{0:02d}.{1:02d}.{2}", "{1}/{0}/{2}"]).format(rng.randrange(1, 29), rng.randrange(1, 13), rng.randrange(1990, 2027))),
    "version": ("", lambda rng: f"v{rng.randrange(20)}.{rng.randrange(30)}.{rng.randrange(100)}"), "isbn": ("", lambda rng: f"978-{rng.randrange(10)}-{rng.randrange(10**3, 10**4)}-{rng.randrange(10**3, 10**4)}-{rng.randrange(10)}"),
    "serial": ("", lambda rng: f"SN{rng.randrange(10**7, 10**9)}"),
}


def generate(half: str, count: int, seed: int) -> list[tuple[str, list[tuple[int, int, str]]]]:
    """Texts with the (start, end, kind) of what is private in them."""
    rng, rows = random.Random(f"{half} {seed}"), []
    for _ in range(count):
        text, spans = "", []
        for literal, field, _, _ in string.Formatter().parse(rng.choice(TEMPLATES[half])):
            text += literal
            if field:
                kind, make = VALUES[field]
                value = make(rng)
                if kind:
                    spans.append((len(text), len(text) + len(value), kind))
                text += value
        rows.append((text, spans))
    return rows
