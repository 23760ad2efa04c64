"""`recipes`: whole runs to copy and change, shipped with the program."""
import difflib
from pathlib import Path

import luthier
from luthier.errors import RecipeError
from luthier.files import write_file
from luthier.verbs.results import Answered

PLACES = (Path(luthier.__file__).parent / "recipes", Path(luthier.__file__).parents[1] / "recipes")
"""In an installed package, and in a checkout."""


def shipped() -> dict[str, Path]:
    """Recipes by name."""
    folder = next((place for place in PLACES if place.is_dir()), None)
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))} if folder else {}


def sentence_of(path: Path) -> str:
    """What a recipe is for: its first comment."""
    return path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")


def ls() -> Answered:
    """`{recipes: [{name, sentence}]}`."""
    return Answered({"recipes": [{"name": name, "sentence": sentence_of(path)} for name, path in shipped().items()]})


def cp(name: str, output: str = "luthier.yaml", *, replace: bool = False) -> Answered:
    """Copy a recipe by name; `{name, file, sentence}`. RecipeError where there is none of that name, or the file exists."""
    known = shipped()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        raise RecipeError(f"there is no recipe {name!r}; there are: {', '.join(known) or 'none'}", code="R175", hint=f"did you mean {near[0]}?" if near else "`luthier recipes ls` says what each is for")
    if Path(output).exists() and not replace:
        raise RecipeError(f"{output} exists", code="R141", hint="`--yes` replaces it, or name another file")
    write_file(Path(output), known[name].read_text(encoding="utf-8"))
    return Answered({"name": name, "file": output, "sentence": sentence_of(known[name])})
