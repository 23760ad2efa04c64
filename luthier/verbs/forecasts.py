"""Whether the forecasts that earlier advice made came true: the error is written down and shown, whichever way it went."""
from luthier.files import read_json
from luthier.runs import folder as runs


def checked(value: float, *, data: str, model: str, method: str) -> list[dict]:
    """Forecasts made for this data, base and method beside what happened: [{run, worth, pilots, rows, expected, low, high, happened, inside}]."""
    found = []
    for run in runs.everything():
        path = run.path / "advice.json"
        known = read_json(path) if path.exists() else {}
        if (known.get("data"), known.get("model"), known.get("method")) != (data, model, method) or not known.get("forecast"):
            continue
        expected = known["forecast"]
        found.append({"worth": known.get("worth"), "pilots": known.get("pilots", []), "rows": expected["rows"], "run": run.name, "expected": expected["value"], "low": expected["low"], "high": expected["high"], "happened": value, "inside": expected["low"] <= value <= expected["high"]})
    return found


def sentence(one: dict) -> str:
    """One forecast and what came of it."""
    held = "inside" if one["inside"] else "outside"
    return f"{one['run']} expected {one['expected']:.3f} (80 % band {one['low']:.3f} to {one['high']:.3f}); it became {one['happened']:.3f}, {held} the band"


def more_rows(one: dict) -> str:
    """What more rows would bring, by the pilots of that advice."""
    worth = one["worth"]
    return f"by the pilots of {one['run']}, {worth['rows']:,} training rows more are worth {worth['gain']:+.3f} ± {worth['half']:.3f}"
