"""Training asks the doctor first: what `check` calls an error stops it before a base is loaded, what is meant can be accepted, and both verbs agree."""
import json

import pytest

import luthier
from luthier.data import doctor
from luthier.data.findings import Finding
from luthier.data.settings import ACCEPTED
from luthier.errors import DataError, RecipeError
from luthier.files import read_json
from luthier.preparation import checks
from luthier.verbs import vetting, work

QUICK = {"training.threads": 1, "training.precision": "fp32", "evaluation.resamples": 200, "training.epochs": 1, "evaluation.contestants": ["majority", "tuned"]}


def echoing(count: int = 120) -> list[dict]:
    return [{"prompt": f"where is the {thing} number {at}", "completion": f"where is the {thing} number {at}"} for at, thing in zip(range(count), ["harp", "flute", "drum"] * count)]


@pytest.fixture
def echoes(tmp_path):
    path = tmp_path / "echoes.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in echoing()))
    return str(path)


def test_an_error_of_the_doctor_stops_training_before_a_base_is_loaded(base, echoes, here, monkeypatch):
    monkeypatch.setattr(work, "load_base", lambda *given, **more: pytest.fail("a base was loaded"))
    with pytest.raises(DataError) as told:
        luthier.train(echoes, {"model": str(base), **QUICK})
    assert told.value.code == "D142" and "data.accept=[D142]" in told.value.hint and told.value.exit_code == 1
    checked = luthier.check(echoes, {"model": str(base)}).to_dict()
    assert not checked["ok"] and "D142" in {one["code"] for one in checked["findings"] if one["level"] == "error"}


def test_what_is_meant_is_accepted_by_both(base, echoes, here):
    events = []
    accepted = {"model": str(base), "data.accept": ["D142"]}
    result = luthier.train(echoes, {**accepted, **QUICK}, name="meant", say=events.append)
    assert result.verdict["metric"] == "rouge_l" and luthier.check(echoes, accepted).to_dict()["ok"]
    assert {"code": "D142", "level": "warning"}.items() <= next(one for one in read_json(here / "runs" / "meant" / "doctor.json")["findings"] if one["code"] == "D142").items()
    assert any("the doctor warns of" in event.message and "repeats the question (120)" in event.message for event in events)
    with pytest.raises(RecipeError, match="accept"):
        luthier.train(echoes, {**accepted, "data.accept": ["D100"]})


def test_nothing_is_told_of_clean_rows_and_nothing_asked_twice(base, chats, here, monkeypatch):
    looked = []
    look = doctor.examine
    monkeypatch.setattr(doctor, "examine", lambda *given, **more: looked.append(1) or look(*given, **more))
    luthier.train(str(chats), {"model": str(base), **QUICK, "evaluation.seeds": 2}, name="clean")
    assert len(looked) == 1 and not any(one["level"] == "error" for one in read_json(here / "runs" / "clean" / "doctor.json")["findings"])


def test_answers_without_an_end_stop_training_as_they_stop_check(base, chats, here, monkeypatch):
    """An error about tokens, here as a template gives it that closes no answer."""
    monkeypatch.setitem(checks.CHECKS, "ends", lambda split, prepared, renderer, least: [Finding("D413", "error", "answers are not closed", hint="use an end token")])
    assert not luthier.check(str(chats), {"model": str(base)}).to_dict()["ok"]
    with pytest.raises(DataError, match="not closed"):
        luthier.train(str(chats), {"model": str(base), **QUICK})


def test_only_these_checks_know_errors():
    """The checks that are always made are those that can stop; those of many rows' worth of time can only warn."""
    from pathlib import Path

    folder = Path(doctor.__file__).parent / "checks"
    knowing = {path.stem for path in folder.glob("*.py") if "level_of(" in path.read_text() or 'Found("D143", "error"' in path.read_text()}
    assert knowing == set(vetting.STOPPING) and len(ACCEPTED) == 5


def test_beyond_many_rows_only_what_may_stop_is_looked_for(base, echoes, here, monkeypatch):
    monkeypatch.setattr(vetting, "MOST_ROWS", 10)
    asked = []
    look = doctor.examine
    monkeypatch.setattr(doctor, "examine", lambda data, *, only, say: asked.append(tuple(only)) or look(data, only=only, say=say))
    vetting._known.clear()
    with pytest.raises(DataError):
        luthier.train(echoes, {"model": str(base), **QUICK})
    assert asked == [vetting.STOPPING]
