"""National identity numbers, each by the rule of its country: a form, and a check sum where the country has one."""
import re

SOCIAL_US = re.compile(r"(?!000|666|9\d\d)\d{3}[- ](?!00)\d{2}[- ](?!0000)\d{4}")
NINO_GB = re.compile(r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D]")
DNI_ES = re.compile(r"[XYZ\d]-?\d{7}-?[A-Z]")
FISCAL_IT = re.compile(r"[A-Z]{6}\d{2}[ABCDEHLMPRST]\d{2}[A-Z]\d{3}[A-Z]")
WORDS = re.compile(rf"\b(?:{NINO_GB.pattern}|{DNI_ES.pattern}|{FISCAL_IT.pattern}|\d{{17}}X)\b")
CPF_BR = re.compile(r"\d{3}\.\d{3}\.\d{3}-\d{2}")
NIR_FR = re.compile(r"[12] ?\d{2} ?(?:0[1-9]|1[0-2]|[2-9]\d) ?\d{2} ?\d{3} ?\d{3} ?\d{2}")
AADHAAR_IN = re.compile(r"[2-9]\d{3}[ -]\d{4}[ -]\d{4}")
NAMED = re.compile(
    r"(?i:\b(?:ssn|social security|social insurance|sin|national id|identity|tax (?:id|file)|tfn|steuer-?id\w*|idnr|steuernummer|bsn|burgerservice\w*|pesel|personnummer|cpf|aadhaar|"
    r"id card|passport|insee|sécurité sociale)\b)[^\d\0]{0,24}$"
)
NAMING = ("ssn", "social", "sin", "id", "identity", "tax", "tfn", "steuer", "bsn", "burger", "pesel", "personnummer", "cpf", "aadhaar", "passport", "insee", "sécurité")
"""Part of each way to name an identity number; without one of them NAMED need not be tried."""
ODD_IT = dict(zip("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23]))


def identity_of_word(word: str) -> str:
    """The country whose identity number a word of letters and digits is; empty where it is none."""
    plain = word.replace("-", "").replace(" ", "")
    if NINO_GB.fullmatch(word):
        return "GB"
    if DNI_ES.fullmatch(word):
        number = int(str("XYZ".find(plain[0])) + plain[1:-1] if plain[0] in "XYZ" else plain[:-1])
        return "ES" if "TRWAGMYFPDXBNJZSQVHLCKE"[number % 23] == plain[-1] else ""
    if FISCAL_IT.fullmatch(word):
        total = sum(ODD_IT[one] if at % 2 == 0 else int(one, 36) - (10 if one.isalpha() else 0) for at, one in enumerate(plain[:15]))
        return "IT" if chr(ord("A") + total % 26) == plain[15] else ""
    if re.fullmatch(r"\d{17}X", plain):
        return "CN" if is_cn(plain) else ""
    return ""


def identity_of_number(written: str, digits: str, before: str) -> str:
    """The country whose identity number this is. Where digits alone would fit too much, the words before must name it."""
    low = before.lower()
    named = any(word in low for word in NAMING) and NAMED.search(before)
    if SOCIAL_US.fullmatch(written) and ("-" in written or named):
        return "US"
    if CPF_BR.fullmatch(written) and is_cpf(digits):
        return "BR"
    if NIR_FR.fullmatch(written) and 97 - int(digits[:13]) % 97 == int(digits[13:]):
        return "FR"
    if len(digits) == 18 and is_cn(digits):
        return "CN"
    if AADHAAR_IN.fullmatch(written) and is_verhoeff(digits):
        return "IN"
    if not named:
        return ""
    rules = {"US": len(digits) == 9 and written == digits, "PL": is_pesel(digits), "NL": is_bsn(digits), "DE": is_tax_de(digits), "SE": is_se(digits), "CA": is_sin(digits)}
    return next((country for country, holds in rules.items() if holds), "")


def is_cpf(digits: str) -> bool:
    for size in (9, 10):
        total = sum(int(digit) * (size + 1 - at) for at, digit in enumerate(digits[:size]))
        if total * 10 % 11 % 10 != int(digits[size]):
            return False
    return len(set(digits)) > 1


def is_cn(code: str) -> bool:
    weights = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]
    return "10X98765432"[sum(int(digit) * weight for digit, weight in zip(code, weights)) % 11] == code[17] and code[6:8] in ("19", "20")


def is_pesel(digits: str) -> bool:
    return len(digits) == 11 and sum(int(digit) * weight for digit, weight in zip(digits, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1))) % 10 == 0


def is_bsn(digits: str) -> bool:
    return len(digits) == 9 and sum(int(digit) * weight for digit, weight in zip(digits, (9, 8, 7, 6, 5, 4, 3, 2, -1))) % 11 == 0


def is_tax_de(digits: str) -> bool:
    if len(digits) != 11 or digits[0] == "0":
        return False
    product = 10
    for digit in digits[:10]:
        product = ((int(digit) + product) % 10 or 10) * 2 % 11
    return (11 - product) % 10 == int(digits[10])


def is_se(digits: str) -> bool:
    return len(digits) in (10, 12) and _luhn(digits[-10:])


def is_sin(digits: str) -> bool:
    return len(digits) == 9 and _luhn(digits)


def _luhn(digits: str) -> bool:
    return sum(sum(divmod(int(digit) * (1 + at % 2), 10)) for at, digit in enumerate(reversed(digits))) % 10 == 0


_D5 = [[(a + b) % 5 if a < 5 and b < 5 else (a - b) % 5 + 0 if a >= 5 and b >= 5 else (a + b - 5) % 5 + 5 if a < 5 else (a - 5 - b) % 5 + 5 for b in range(10)] for a in range(10)]
_PERMUTED = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]


def is_verhoeff(digits: str) -> bool:
    """Verhoeff's check sum over the dihedral group of order ten."""
    check = 0
    for at, digit in enumerate(reversed(digits)):
        number = int(digit)
        for _ in range(at % 8):
            number = _PERMUTED[number]
        check = _D5[check][number]
    return check == 0
