"""The check against a public OpenAPI document, on a small document of our own: what is right passes, whatever deviates is found and told with its place."""
import copy
import importlib.util
import json
import sys
from pathlib import Path

import pytest

DOCUMENT = """
openapi: 3.1.0
info: {version: 0.1}
paths:
  /things:
    post: {responses: {'200': {content: {application/json: {schema: {$ref: '#/components/schemas/Thing'}}, text/event-stream: {schema: {$ref: '#/components/schemas/Piece'}}}}}}
  /things/{name}:
    get: {responses: {'200': {content: {application/json: {schema: {$ref: '#/components/schemas/Thing'}}}}}}
  /completions:
    post: {responses: {'200': {content: {application/json: {schema: {$ref: '#/components/schemas/Ended'}}}}}}
components:
  schemas:
    Thing: {type: object, required: [id, object, parts], properties: {id: {type: string}, object: {enum: [thing]}, parts: {type: array, items: {$ref: '#/components/schemas/Part'}}, fingerprint: {type: string}}}
    Part: {type: object, required: [size], properties: {size: {type: number, minimum: 0, exclusiveMinimum: true}, colour: {anyOf: [{type: string}, {type: 'null'}]}}}
    Piece: {type: object, required: [id, ended], properties: {id: {type: string}, ended: {type: string, enum: [stop], nullable: true}}}
    Ended: {type: object, required: [finish_reason], properties: {finish_reason: {type: string, enum: [stop]}}}
    ErrorResponse: {type: object, required: [error], properties: {error: {type: object, required: [message], properties: {message: {type: string}}}}}
"""
THING = {"id": "a", "object": "thing", "parts": [{"size": 1, "colour": None}, {"size": 0.5}]}


@pytest.fixture(scope="module")
def openapi():
    """The script as a module."""
    root = Path(__file__).resolve().parents[2]
    sys.path.insert(0, str(root))
    try:
        spec = importlib.util.spec_from_file_location("openapi_benchmark", root / "benchmarks" / "openapi.py")
        found = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(found)
    finally:
        sys.path.remove(str(root))
    return found


@pytest.fixture
def tally(openapi):
    return openapi.Tally(openapi.Document(DOCUMENT))


def test_what_is_right_passes(tally):
    tally.take("POST", "/things", 200, THING)
    tally.take("GET", "/things/a", 200, THING)
    tally.take("POST", "/things", 200, {"id": "a", "ended": None}, "text/event-stream")
    tally.take("POST", "/things", 404, {"error": {"message": "no"}})
    assert tally.invalid == [] and tally.answers == {"POST /things": 3, "GET /things/{name}": 1}
    count, missed = tally.planted()
    assert count == 2 * (3 + 3 + 2 + 1) and missed == []


@pytest.mark.parametrize(("change", "place"), [
    (lambda thing: thing.pop("id"), "the answer"), (lambda thing: thing.update(id=None), "id"), (lambda thing: thing.update(object="things"), "object"), (lambda thing: thing.update(fingerprint=None), "fingerprint"),
    (lambda thing: thing["parts"][1].update(size=0), "parts.1.size"), (lambda thing: thing["parts"][0].update(size="1"), "parts.0.size"), (lambda thing: thing["parts"][0].update(colour=3), "parts.0.colour"),
])  # fmt: skip
def test_what_deviates_is_told_with_its_place(tally, change, place):
    """References are followed, and bounds and nulls of older versions are read as they were meant."""
    thing = copy.deepcopy(THING)
    change(thing)
    tally.take("POST", "/things", 200, thing)
    assert len(tally.invalid) == 1 and f" {place}: " in tally.invalid[0]


def test_an_error_is_held_to_the_shape_of_errors_and_an_unknown_route_is_none(tally):
    tally.take("POST", "/things", 400, THING)
    assert "'error' is a required property" in tally.invalid[0]
    with pytest.raises(KeyError, match="no GET /nothing"):
        tally.take("GET", "/nothing", 200, {})


def test_only_what_the_document_itself_contradicts_is_excused(tally):
    tally.take("POST", "/completions", 200, {"finish_reason": None})
    assert tally.invalid == [] and sum(tally.contradicted.values()) == 1
    tally.take("POST", "/completions", 200, {"finish_reason": "ended"})
    assert len(tally.invalid) == 1


def test_a_plant_that_nobody_would_find_is_told(openapi):
    """A document without types finds no wrong value: the check of the check says so."""
    blind = json.loads(json.dumps(openapi.yaml.safe_load(DOCUMENT)).replace('"type": "string"', '"title": "any"'))
    tally = openapi.Tally(openapi.Document(json.dumps(blind)))
    tally.take("GET", "/things/a", 200, THING)
    assert tally.planted()[1] == ["GET /things/{name}: id"]
