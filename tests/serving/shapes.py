"""Hold a response to the hand-kept shapes of the public API."""
from functools import cache
from pathlib import Path

import yaml


@cache
def schemas() -> dict:
    return yaml.safe_load(Path(__file__).with_name("openai_shapes.yaml").read_text(encoding="utf-8"))


def assert_shape(name: str, value: dict) -> dict:
    """The value, if it is exactly of the named shape."""
    from jsonschema import Draft202012Validator

    Draft202012Validator({"$defs": schemas()["$defs"], **schemas()[name]}).validate(value)
    return value
