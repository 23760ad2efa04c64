"""What docs/commands.md and docs/recipe.md promise is what the program does."""

import re
from pathlib import Path

import pytest

from luthier import settings
from luthier.commands.app import FIRST, MORE
from luthier.verbs import recipe
from luthier.verbs.config import Shown as Config
from luthier.verbs.doctor import Diagnosis
from luthier.verbs.runs import Differences, Listed, Shown

DOCS = Path(__file__).resolve().parents[2] / "docs"
ROWS = re.findall(r"^\| `([\w ]+)[^`]*` \| [^|]+ \| `?([^`|]+)`? \|$", (DOCS / "commands.md").read_text(encoding="utf-8").replace("\\|", "/"), re.M)
SHAPES = {verb.strip(): words.split() for verb, words in ROWS}


def test_every_verb_has_its_row():
    verbs = {verb.split()[0] for verb in SHAPES}
    assert verbs >= {*FIRST, *MORE, "runs", "config"}


@pytest.mark.parametrize(("verb", "shape"), [("doctor", Diagnosis), ("runs ls", Listed), ("runs show RUN", Shown), ("runs diff RUN RUN", Differences), ("config show", Config)])
def test_the_shapes_are_those_of_the_values(verb, shape):
    assert SHAPES[verb] == list(shape.__dataclass_fields__)


def test_the_recipe_of_the_docs_is_a_recipe():
    text = (DOCS / "recipe.md").read_text(encoding="utf-8")
    first = re.search(r"```yaml\n(.*?)```", text, re.S).group(1)
    made = settings.build(recipe.Recipe, settings.parse_yaml(first))
    assert made.training.epochs == 3 and made.data.map == {"text": "ticket_text", "label": "queue"}
    assert list(settings.parse_yaml(first)) == ["model", "task", "method", "objective", "data", "training"]
