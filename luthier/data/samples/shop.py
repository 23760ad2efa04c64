"""The instrument shop of the sample world: its catalogue, what follows from it, and which of its facts a sentence names."""

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent


def table(name: str) -> dict:
    """One of the JSON tables beside this file."""
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Shop:
    """The catalogue and what can be drawn from it."""

    catalogue: dict

    def values(self, slot: str) -> list[str]:
        """Everything that a slot of a template can hold."""
        c = self.catalogue
        low, high = c["orders"]
        return {
            "name": c["names"],
            "friend": c["names"],
            "instrument": list(c["instruments"]),
            "other": list(c["instruments"]),
            "order": [str(number) for number in range(low, high + 1)],
            "day": list(c["hours"]),
            "problem": list(c["problems"]),
            "town": list(c["towns"]),
            "age": c["ages"],
            "months": c["months"],
            "time": c["times"],
            "amount": c["amounts"],
        }[slot]

    def following(self, slots: dict[str, str]) -> dict[str, str]:
        """The slots and everything that the catalogue says about them: maker, price, teacher, fee, days ..."""
        c, facts = self.catalogue, dict(slots)
        if "instrument" in slots:
            item = c["instruments"][slots["instrument"]]
            facts |= item | {"teacher": c["teachers"][item["family"]], "rent": c["rents"][item["family"]], "fee": c["fees"][item["size"]]}
        if "day" in slots:
            facts |= c["hours"][slots["day"]] | {"ships": c["ships"][slots["day"]]}
        if "problem" in slots:
            facts |= c["problems"][slots["problem"]]
        if "town" in slots:
            facts |= {"days": c["towns"][slots["town"]]}
        return facts

    def variant(self, intent: str, facts: dict[str, str]) -> str:
        """Which answer of an intent is the true one."""
        if intent == "stock":
            return "sold out" if facts["arrives"] else "here"
        if intent == "hours":
            return "open" if facts["opens"] else "closed"
        if intent == "return":
            return "in time" if int(facts["age"]) <= int(self.catalogue["return_limit"]) else "late"
        return ""

    @property
    def lexicon(self) -> list[str]:
        """Every word of the world that states a fact, lower-cased."""
        c = self.catalogue
        makers = {item["maker"] for item in c["instruments"].values()}
        teachers = {teacher.split()[-1] for teacher in c["teachers"].values()}
        stated = {*c["names"], *c["instruments"], *makers, *teachers, *c["towns"], *c["problems"], *c["hours"]}
        return sorted(word.lower() for word in stated)


@cache
def open_shop() -> Shop:
    return Shop(table("catalogue"))


@cache
def _facts() -> re.Pattern:
    return re.compile(rf"\d+|\b(?:{'|'.join(map(re.escape, open_shop().lexicon))})\b")


def facts_in(text: str) -> set[str]:
    """The facts that a text names: words of the world, lower-cased, and every number."""
    return set(_facts().findall(text.lower()))
