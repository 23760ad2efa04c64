"""Dataclasses <-> YAML <-> key=value: what is accepted, and what each mistake is told."""

import time
from dataclasses import dataclass, field
from typing import Annotated, Literal

import pytest
from annotated_types import Ge, Gt
from hypothesis import example, given
from hypothesis import settings as fuzz
from hypothesis import strategies as st

from luthier import settings
from luthier.errors import RecipeError


@dataclass
class LoRA:
    """Thin matrices."""

    rank: int = 16
    """Width of the thin matrices."""


@dataclass
class Full:
    """Every weight."""


@dataclass
class Chat:
    """Replies."""


@dataclass
class Steps:
    """How a run trains."""

    learning_rate: float | Literal["auto"] = "auto"
    """Peak rate."""
    epochs: Annotated[int, Gt(0)] = 3
    """Passes over
    the rows."""
    share: str | float = 0.1
    mode: Literal["stop", "skip"] = "stop"
    names: list[str] = field(default_factory=list)
    map: dict[str, str] = field(default_factory=dict)
    most: Annotated[int, Ge(1)] | None = None

    def __post_init__(self):
        if self.epochs == 13:
            raise ValueError("13 epochs bring bad luck")


METHODS = {"lora": LoRA, "full": Full}


@dataclass
class Recipe:
    """A run."""

    model: str = "spruce"
    """The base."""
    method: LoRA | Full = field(default_factory=LoRA, metadata={"choices": METHODS})
    """How weights change."""
    task: Chat | None = field(default=None, metadata={"choices": {"chat": Chat}})
    training: Steps = field(default_factory=Steps)


@dataclass
class Wanting:
    """Has a field without a default."""

    train: str
    """The data."""


def read(text: str, *words: str) -> Recipe:
    document = settings.parse_yaml(text, "luthier.yaml")
    for word in words:
        settings.apply(document, word, cls=Recipe)
    return settings.build(Recipe, document, source="luthier.yaml", origins=document.origins())


def mistake(text: str, *words: str) -> RecipeError:
    with pytest.raises(RecipeError) as caught:
        read(text, *words)
    return caught.value


# ---- what is accepted ------------------------------------------------------------------------------------------------
def test_nothing_gives_the_defaults():
    assert read("") == read("# only a comment\n") == Recipe()


@pytest.mark.parametrize("text", ["1e-4", "1.0e-4", ".0001", "0.0001", "1E-4", "'1e-4'"])
def test_1e_4_is_a_number(text):
    assert read(f"training: {{learning_rate: {text}}}").training.learning_rate == 1e-4
    assert read("", f"training.learning_rate={text}").training.learning_rate == 1e-4


@pytest.mark.parametrize(("text", "value"), [("10%", "10%"), ("0.2", 0.2), ("no", "no"), ("on", "on"), ("2024-01-01", "2024-01-01"), ("010", 10.0), ("0x10", 16.0), ("1:30", "1:30")])
def test_plain_words_are_read_as_yaml_1_2_does(text, value):
    assert read(f"training: {{share: {text}}}").training.share == value


def test_a_whole_number_may_stand_for_a_number():
    rate = read("training: {learning_rate: 1}").training.learning_rate
    assert rate == 1.0 and isinstance(rate, float)


@pytest.mark.parametrize("text", ["method: lora", "method: {name: lora}", "method: {rank: 16}", "method:\n  name: lora\n  rank: 16\n"])
def test_a_choice_takes_a_name_or_a_mapping(text):
    assert read(text).method == LoRA(16)


def test_a_key_inside_a_choice_on_the_line():
    assert read("method: lora", "method.rank=4").method == LoRA(4)
    assert read("", "method.rank=4").method == LoRA(4)
    assert read("method: {name: lora, rank: 4}", "method=full").method == Full()


def test_a_choice_that_may_be_none_takes_auto():
    assert read("task: auto").task is read("task:").task is read("").task is None
    assert read("task: chat").task == Chat()
    assert settings.to_mapping(Recipe())["task"] == "auto"


@pytest.mark.parametrize(("word", "value"), [("model=7", "7"), ("model=no", "no"), ("model=true", "true"), ("model=a=b", "a=b"), ("model=", ""), ("model=a: b", "a: b"), ("model=[x", "[x")])
def test_text_on_the_line_stays_text(word, value):
    assert read("", word).model == value


def test_a_column_named_7():
    assert read("training: {map: {text: a}}", "training.map.label=7").training.map == {"text": "a", "label": "7"}


def test_a_list_on_the_line():
    assert read("", "training.names=[a, b]").training.names == ["a", "b"]


def test_a_part_already_built_is_kept():
    assert settings.build(Recipe, {"training": Steps(epochs=5), "method": Full()}) == Recipe(training=Steps(epochs=5), method=Full())


# ---- what each mistake is told ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "code", "says", "hint", "line"),
    [
        ("model: a\ntrainig: {}", "R101", "unknown key `trainig`", "did you mean `training`?", 2),
        ("training:\n  epoch: 2", "R101", "unknown key `training.epoch`", "did you mean `training.epochs`?", 2),
        ("training: {lr: 1}", "R101", "unknown key `training.lr`", "did you mean `training.learning_rate`?", 1),
        ("epochs: 2", "R101", "unknown key `epochs`", "did you mean `training.epochs`?", 1),
        ("zzz: 2", "R101", "unknown key `zzz`", "allowed here: model, method, task, training", 1),
        ("method: {name: full, rank: 8}", "R101", "unknown key `method.rank`", "`rank` is a setting of: lora", 1),
        ("training: fast", "R103", "`training` is a section, and got the text `fast`", "learning_rate, epochs", 1),
        ("training: [1]", "R103", "`training` is a section, and got a list of 1", "epochs", 1),
        ("- model", "R103", "a recipe is a mapping", "model: spruce", 1),
        ("training: {epochs: three}", "R104", "`training.epochs` got the text `three`; it takes a whole number above 0", "", 1),
        ("training: {epochs: 0}", "R104", "got the number `0`; it takes a whole number above 0", "", 1),
        ("training: {epochs: 1.5}", "R104", "got the number `1.5`; it takes a whole number", "", 1),
        ("training: {epochs: true}", "R104", "got `true`; it takes a whole number", "", 1),
        ("training: {epochs:}", "R104", "got nothing; it takes a whole number", "", 1),
        ("training: {epochs: 13}", "R104", "`training`: 13 epochs bring bad luck", "", 1),
        ("training: {learning_rate: .inf}", "R104", "got the text `.inf`; it takes a number or `auto`", "", 1),
        ("training: {learning_rate: 1e999}", "R104", "got the number `inf`; it takes a number or `auto`", "", 1),
        ("training: {learning_rate: atuo}", "R104", "it takes a number or `auto`", "did you mean `auto`?", 1),
        ("training: {mode: skipp}", "R104", "it takes `stop` or `skip`", "did you mean `skip`?", 1),
        ("training: {most: 0}", "R104", "it takes a whole number at least 1 or `null`", "", 1),
        ("training: {names: a}", "R104", "it takes a list of text", "", 1),
        ("training: {map: {a: {b: c}}}", "R104", "`training.map` got a mapping (a); it takes a mapping of text to text", "", 1),
        ("model: [a]", "R104", "`model` got a list of 1; it takes text", "", 1),
        ("model: 7", "R104", "`model` got the number `7`; it takes text", "", 1),
        ("method: lorra", "R105", "`method` got the text `lorra`, which is none of: lora, full", "did you mean `lora`?", 1),
        ("method: 3", "R105", "which is none of: lora, full", "allowed: lora, full", 1),
        ("method: {name: }", "R102", "`method.name` is missing", "allowed: lora, full", 1),
        ("model: a\nmethod: lora\nmodel: b", "R106", "`model` stands twice, on lines 1 and 3", "keep one", 3),
        ("training:\n  epochs: 1\n  'epochs': 2", "R106", "`training.epochs` stands twice, on lines 2 and 3", "keep one", 3),
        ("model: [a", "R107", "not YAML", "key: value", 1),
        ("model: a: b", "R107", "not YAML", "quote text", 1),
        ("a: &x 1\nmodel: *x", "R107", "anchors and aliases", "write the value out", 1),
        ("model: !!python/object:os.system ls", "R107", "the tag", "plain values", 1),
        ("? [a]\n: b", "R107", "a key must be a word", "", 1),
        ("model: " + "9" * 5000, "R107", "is not a number", "", 1),
    ],
)
def test_mistakes_in_a_file(text, code, says, hint, line):
    error = mistake(text)
    assert (error.code, error.exit_code, error.file, error.line) == (code, 2, "luthier.yaml", line)
    assert says in error.message
    assert hint in error.hint


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 100_000, "".join(" " * depth + "a:\n" for depth in range(300)), "- " * 500])
def test_a_depth_bomb_is_one_quick_sentence(text):
    began = time.process_time()
    assert "nested more than 64 deep" in mistake(text).message
    assert time.process_time() - began < 1


def test_a_huge_file_is_refused_before_it_is_parsed():
    assert "at most" in mistake("model: " + "a" * settings.reading.LARGEST_FILE).message


def test_a_missing_value_says_what_it_is_for():
    with pytest.raises(RecipeError, match="`train` is missing") as caught:
        settings.build(Wanting, {})
    assert (caught.value.code, caught.value.hint) == ("R102", "The data.")


@pytest.mark.parametrize("word", ["training.epochs", "=3", "training..epochs=3", ".a=3", "a.=3"])
def test_a_word_that_sets_nothing(word):
    assert mistake("", word).code == "R108"


def test_a_mistake_on_the_line_names_no_file():
    document = settings.parse_yaml("model: a", "luthier.yaml")
    settings.apply(document, "training.epoch=2")
    origins = {**document.origins(), "training.epoch": settings.Origin("command")}
    with pytest.raises(RecipeError) as caught:
        settings.build(Recipe, document, source="luthier.yaml", origins=origins)
    assert caught.value.file is None


# ---- layers ----------------------------------------------------------------------------------------------------------
def test_merge_goes_by_key_and_a_new_choice_replaces_the_old():
    below = {"method": {"name": "lora", "rank": 4}, "training": {"epochs": 2, "mode": "skip"}}
    assert settings.merge(below, {"training": {"epochs": 5}})["training"] == {"epochs": 5, "mode": "skip"}
    assert settings.merge(below, {"method": "full"})["method"] == "full"
    assert settings.merge({"method": {"name": "lora", "rank": 8}}, {"method": "lora"})["method"] == {"name": "lora", "rank": 8}, "the choice that is there already changes nothing"
    assert settings.merge(below, {"method": {"name": "full"}})["method"] == {"name": "full"}
    assert settings.merge({"method": "lora"}, {"method": {"rank": 8}})["method"] == {"name": "lora", "rank": 8}
    assert below == {"method": {"name": "lora", "rank": 4}, "training": {"epochs": 2, "mode": "skip"}}


def test_flatten_names_every_leaf():
    assert settings.flatten({"a": 1, "b": {"c": [1], "d": {}}}) == {"a": 1, "b.c": [1], "b.d": {}}


def test_every_line_is_known():
    document = settings.parse_yaml("# hello\nmodel: a\n\ntraining:\n  epochs: 2\n  map:\n    text: x\n", "l.yaml")
    assert document.lines == {"model": 2, "training": 4, "training.epochs": 5, "training.map": 6, "training.map.text": 7}
    assert str(document.origins()["training.epochs"]) == "l.yaml:5"


# ---- out again -------------------------------------------------------------------------------------------------------
def test_an_instance_survives_its_yaml():
    recipe = Recipe("no", Full(), Chat(), Steps(1e-5, 4, "1e-4", "skip", ["a: b", "# c", "ü"], {"7": "x"}, 9))
    text = settings.to_yaml(recipe, comments={"training.epochs": "auto: few\nrows"})
    assert settings.build(Recipe, settings.parse_yaml(text)) == recipe
    assert "  epochs: 4  # auto: few rows\n" in text


KEYS = st.text(min_size=1, max_size=12)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=40)
VALUES = SCALARS | st.lists(SCALARS | st.lists(SCALARS, max_size=2) | st.dictionaries(KEYS, SCALARS, max_size=2), max_size=3)
MAPPINGS = st.recursive(st.dictionaries(KEYS, VALUES, max_size=4), lambda inner: st.dictionaries(KEYS, inner | VALUES, max_size=3), max_leaves=8)


@given(MAPPINGS)
@fuzz(max_examples=300, deadline=None)
@example({"0": ["\x85"], "\U00018cd6": "\u2028", "a": [[], {}, {"b, c": "d]"}, "e: f"], "": "- x", "no": "1e-4"})
def test_yaml_reads_back_equal(mapping):
    assert settings.parse_yaml(settings.to_yaml(mapping)) == mapping


@given(st.text(max_size=200))
@fuzz(max_examples=300, deadline=None)
def test_any_text_is_read_or_refused_with_a_sentence(text):
    try:
        settings.parse_yaml(text)
    except RecipeError as error:
        assert error.message and error.code.startswith("R10")


def test_the_schema_describes_and_forbids():
    schema = settings.json_schema(Recipe)
    assert schema["additionalProperties"] is False
    assert schema["properties"]["model"] == {"description": "The base.", "type": "string", "default": "spruce"}
    choice = schema["properties"]["method"]["anyOf"]
    assert choice[0] == {"enum": ["lora", "full"]} and choice[1]["properties"]["rank"]["default"] == 16
    assert schema["properties"]["task"]["anyOf"][0] == {"enum": ["chat", "auto"]}
    assert schema["properties"]["training"]["properties"]["epochs"]["exclusiveMinimum"] == 0
    assert settings.json_schema(Wanting)["required"] == ["train"]


def test_keys_know_type_default_and_line():
    found = {key.path: key for key in settings.keys(Recipe)}
    assert found["training.epochs"].doc == "Passes over\nthe rows."
    assert found["training.learning_rate"].allowed() == "a number or `auto`"
    assert found["method"].allowed() == "`lora` or `full`" and found["task"].allowed() == "`chat` or `auto`"
    assert (found["method.rank"].of, found["method.rank"].default) == ("lora", 16)


@pytest.mark.parametrize(("word", "name"), [("epoch", "epochs"), ("lr", "learning_rate"), ("wd", "weight_decay"), ("EPOCHS", "epochs"), ("xyzzy", "")])
def test_the_name_that_was_meant(word, name):
    assert settings.nearest(word, ["epochs", "learning_rate", "weight_decay"]) == name
