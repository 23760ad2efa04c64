"""Where a recipe is found, who wins, and that it comes back from its own resolved file unchanged."""

import dataclasses
import os

import pytest

from luthier import settings
from luthier.errors import DiskError, RecipeError
from luthier.methods import METHODS
from luthier.objectives import OBJECTIVES
from luthier.tasks import TASKS
from luthier.verbs import recipe
from luthier.verbs.recipe import Recipe


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    """An empty working folder, and no settings of the person who runs the tests."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in [variable for variable in os.environ if variable.startswith("LUTHIER_")]:
        monkeypatch.delenv(name)
    return tmp_path


def rejected(*arguments, **named) -> RecipeError:
    with pytest.raises(RecipeError) as caught:
        recipe.load(*arguments, **named)
    return caught.value


def test_the_keys_are_the_words_of_the_tree():
    assert [field.name for field in dataclasses.fields(Recipe)] == ["model", "task", "method", "objective", "data", "training", "evaluation", "retrieval", "tracking", "seed"]


def test_every_name_of_every_axis_is_taken(empty_folder):
    for axis, members in (("task", TASKS), ("method", METHODS), ("objective", OBJECTIVES)):
        for name, member in members.items():
            (empty_folder / "r.yaml").write_text(f"{axis}: {name}\n")
            assert type(vars(recipe.load("r.yaml")[0])[axis]) is member


def test_who_wins(empty_folder, monkeypatch):
    (empty_folder / "config" / "luthier").mkdir(parents=True)

    def rank_and_origin(*overrides):
        made, origins = recipe.load(None, overrides)
        return made.method.rank, str(origins.get("method.rank", "default"))

    (empty_folder / "luthier.yaml").write_text("model: spruce\n")
    assert rank_and_origin() == (16, "default")
    (empty_folder / "config" / "luthier" / "config.yaml").write_text("method: {name: lora, rank: 2}\n")
    assert rank_and_origin()[0] == 2
    (empty_folder / "pyproject.toml").write_text("[tool.luthier]\nmethod.rank = 3\n[tool.other]\nx = 1\n")
    assert rank_and_origin() == (3, "pyproject.toml")
    (empty_folder / "luthier.yaml").write_text("model: spruce\nmethod: {rank: 4}\n")
    assert rank_and_origin() == (4, "luthier.yaml:2")
    monkeypatch.setenv("LUTHIER_METHOD_RANK", "5")
    assert rank_and_origin() == (5, "LUTHIER_METHOD_RANK")
    assert rank_and_origin("method.rank=6") == (6, "command line")
    assert recipe.load(None, {"method.rank": 7})[0].method.rank == 7
    assert recipe.load(None, {"method": {"rank": 8}})[0].method.rank == 8


def test_another_choice_takes_the_settings_of_the_old_away(empty_folder):
    (empty_folder / "luthier.yaml").write_text("method: {name: lora, rank: 4}\n")
    mapping, origins = recipe.find(None, ["method=full"])
    assert mapping["method"] == "full" and "method.rank" not in origins


def test_a_name_and_a_setting_on_the_line(empty_folder):
    (empty_folder / "luthier.yaml").write_text("method: full\n")
    assert recipe.load(None, ["method=lora", "method.rank=3"])[0].method == METHODS["lora"](rank=3)


def test_a_variable_that_fits_no_key_is_an_error(empty_folder, monkeypatch):
    (empty_folder / "luthier.yaml").touch()
    monkeypatch.setenv("LUTHIER_TEST_DATA", "/data")
    monkeypatch.setenv("LUTHIER_RUNS", "/runs")
    recipe.load()
    monkeypatch.setenv("LUTHIER_TRAINING_EPOCH", "2")
    error = rejected()
    assert (error.code, error.hint) == ("R140", "did you mean LUTHIER_TRAINING_EPOCHS?")


def test_a_wrong_value_of_a_variable_names_the_variable(empty_folder, monkeypatch):
    (empty_folder / "luthier.yaml").touch()
    monkeypatch.setenv("LUTHIER_SEED", "many")
    error = rejected()
    assert "set by LUTHIER_SEED" in error.message and error.file is None


def test_variables_are_unambiguous():
    names = [recipe.variable(path) for path in {key.path for key in settings.keys(Recipe)}]
    assert len(names) == len(set(names))


# ---- targets ---------------------------------------------------------------------------------------------------------
def test_no_recipe_says_how_to_make_one():
    error = rejected()
    assert error.code == "R109" and "luthier init" in error.hint


def test_a_missing_file_offers_the_nearest(empty_folder):
    (empty_folder / "tickets.csv").touch()
    assert rejected("ticket.csv").hint == "did you mean `tickets.csv`?"
    assert rejected("other/ticket.csv").code == "R109"
    (empty_folder / "luthier.yaml").touch()
    assert rejected("luther.yaml").hint == "did you mean `luthier.yaml`?"


@pytest.mark.parametrize("target", ["tickets.csv", "-", "owner/name", "owner/name:config@main", "folder"])
def test_data_instead_of_a_recipe_is_guessed_or_refused(empty_folder, target):
    (empty_folder / "tickets.csv").touch()
    (empty_folder / "folder").mkdir()
    assert f"luthier init {target}" in rejected(target).hint
    made, origins = recipe.load(target, ["seed=3"], guess=lambda name: {"task": "chat", "data": {"train": name}})
    assert (made.data.train, made.seed, type(made.task)) == (target, 3, TASKS["chat"])
    assert str(origins["data.train"]) == f"auto: guessed from {target}"


def test_a_missing_path_is_not_taken_for_a_hub_name(empty_folder):
    (empty_folder / "data").mkdir()
    for target in ("data/tickets", "data/tickets.csv", "/nowhere/x"):
        assert rejected(target, guess=lambda name: {}).code == "R109"


def test_the_folder_of_a_run_is_its_resolved_recipe(empty_folder):
    run = empty_folder / "runs" / "amber"
    run.mkdir(parents=True)
    (run / "config.resolved.yaml").write_text("seed: 5\n")
    assert recipe.load(run)[0].seed == 5 and recipe.load(str(run))[0].seed == 5


def test_files_that_cannot_be_read(empty_folder):
    (empty_folder / "latin.yaml").write_bytes("model: Stra\xdfe\n".encode("latin-1"))
    error = rejected("latin.yaml")
    assert (error.code, error.byte_offset) == ("R107", 11)
    (empty_folder / "bom.yaml").write_bytes(b"\xef\xbb\xbfseed: 4\r\nmodel: spruce\r\n")
    assert recipe.load("bom.yaml")[0].seed == 4
    (empty_folder / "pyproject.toml").write_text("[tool")
    assert "not TOML" in rejected("bom.yaml").message


def test_a_recipe_that_may_not_be_read(empty_folder, monkeypatch):
    (empty_folder / "luthier.yaml").touch()

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(recipe.Path, "read_text", refuse)
    with pytest.raises(DiskError, match="Permission denied") as caught:
        recipe.load()
    assert caught.value.exit_code == 6


# ---- and back ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("text", ["", "task: chat\nmethod: full\n", "data: {train: 'a #1.csv', map: {text: 'no'}, labels: ['1', 'yes']}\ntraining: {learning_rate: 1e-4, batch_size: 8}\n"])
def test_a_written_recipe_comes_back_equal(empty_folder, text):
    (empty_folder / "luthier.yaml").write_text(text)
    made, _ = recipe.load()
    (empty_folder / "again.yaml").write_text(settings.to_yaml(made, comments={"training.epochs": "because"}))
    assert recipe.load("again.yaml")[0] == made
