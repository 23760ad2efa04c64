"""What an answer costs: the machine's time, tokens at a hosted price, and the hours of whoever builds and keeps it; all from a table the user may edit."""
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from luthier import settings
from luthier.errors import DiskError, RecipeError
from luthier.evaluation.results import Result, costs

SHIPPED = Path(__file__).with_name("prices.yaml")
KEYS = {"currency", "machine_per_hour", "person_per_hour", "hours", "hosted"}
HOSTED = {"name", "input_per_million", "output_per_million"}


@dataclass(frozen=True)
class Prices:
    """A price table."""

    currency: str = "USD"
    """In which all amounts are."""
    machine_per_hour: float = 0.0
    """Of the machine that trains and answers."""
    person_per_hour: float = 0.0
    """Of whoever builds and keeps a contestant."""
    hours: Mapping[str, float] = field(default_factory=dict)
    """A person's hours per contestant."""
    hosted: Mapping[str, object] = field(default_factory=dict)
    """name, input_per_million, output_per_million of the hosted model compared with."""

    def hosted_answer(self, tokens: Mapping[str, float]) -> float:
        """What the hosted model takes for one answer with these mean tokens."""
        return (tokens["input"] * self.hosted["input_per_million"] + tokens["output"] * self.hosted["output_per_million"]) / 1e6


def read(path: str | Path | None = None) -> Prices:
    """The shipped table, or the user's; what the user's file does not say stays as shipped. RecipeError for unknown keys and for what is no amount."""
    shipped = table(SHIPPED)
    return Prices(**merged(shipped, table(Path(path)) if path else {}, str(path)))


def table(path: Path) -> dict:
    try:
        return dict(settings.parse_yaml(path.read_text(encoding="utf-8"), str(path)))
    except OSError as error:
        raise DiskError(f"the price table cannot be read: {error.strerror}", code="F101", file=str(path)) from error


def merged(shipped: dict, own: dict, name: str) -> dict:
    """The shipped table with the user's values in it, checked."""
    found = {key: {**value, **(own.get(key) or {})} if isinstance(value, dict) else own.get(key, value) for key, value in shipped.items()}
    unknown = sorted(set(own) - KEYS) + sorted(f"hosted.{key}" for key in set(found["hosted"]) - HOSTED)
    amounts = {"machine_per_hour": found["machine_per_hour"], "person_per_hour": found["person_per_hour"]}
    amounts |= {f"hours.{key}": value for key, value in found["hours"].items()} | {f"hosted.{key}": value for key, value in found["hosted"].items() if key != "name"}
    wrong = [key for key, value in amounts.items() if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9]
    if unknown or wrong:
        what = f"{unknown[0]} is not a key of a price table" if unknown else f"{wrong[0]} is not an amount"
        raise RecipeError(what, code="R164", file=name, field="evaluation.prices", hint="copy luthier/evaluation/prices.yaml and change its numbers")
    return found


@dataclass(frozen=True)
class Cost:
    """What one contestant costs."""

    setup: float
    """Once: a person's hours and the machine's training time."""
    per_answer: float
    """Each answer."""

    def per_thousand(self, volume: int) -> float:
        """For 1,000 answers, with the setup spread over `volume` answers."""
        return 1000 * (self.per_answer + self.setup / volume)


def cost_of(result: Result, prices: Prices) -> Cost:
    """A contestant's cost from what was measured: seconds on this machine, or tokens where an endpoint answered."""
    spent = costs(result.answers)
    setup = prices.hours.get(result.name, 0.0) * prices.person_per_hour + result.setup_seconds / 3600 * prices.machine_per_hour
    if result.hosted:
        return Cost(setup, prices.hosted_answer(spent["tokens"]))
    return Cost(setup, spent["seconds_per_answer"] / 3600 * prices.machine_per_hour)


def break_even(one: Cost, other: Cost) -> float | None:
    """Answers from which `one` is the cheaper although it costs more to set up; None where that never happens, 0 where it always is."""
    if one.setup <= other.setup and one.per_answer <= other.per_answer:
        return 0.0
    if one.per_answer >= other.per_answer:
        return None
    return max(0.0, (one.setup - other.setup) / (other.per_answer - one.per_answer))
