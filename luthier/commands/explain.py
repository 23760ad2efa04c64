"""`luthier explain`: a page on a code or on a recipe key."""

import functools
import re
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from luthier.commands.screen import Screen, in_one_line
from luthier.errors import RecipeError
from luthier.settings import nearest, parse_yaml

EXAMPLES = """\
$ luthier explain D110          a code, as errors and findings carry it
$ luthier explain training.learning_rate"""
CODE = re.compile(r"[A-Za-z]\d{3}")
TABLE = Path(__file__).with_name("codes.yaml")


@functools.cache
def codes() -> dict[str, dict]:
    """The table of codes: each {title, why, do}."""
    return parse_yaml(TABLE.read_text(encoding="utf-8"), str(TABLE))


def run(screen: Screen, topic: Annotated[str, typer.Argument(metavar="CODE|KEY", help="Such as D110, training.learning_rate or method.")]) -> None:
    """Explain a code, or a key of the recipe."""
    if CODE.fullmatch(topic):
        screen.finish(_code(topic.upper()), draw_code)
        return
    from luthier.verbs.config import explain_key, key_names

    pages = explain_key(topic)
    if not pages:
        last_words = {name.rpartition(".")[2]: name for name in key_names()}
        near = nearest(topic, key_names()) or last_words.get(nearest(topic, last_words), "")
        hint = f"did you mean `{near}`?" if near else "`luthier config show` lists the keys; codes look like D110"
        raise RecipeError(f"nothing is known about `{topic}`", code="R143", hint=hint)
    screen.finish({"keys": pages}, draw_keys)


def _code(code: str) -> dict:
    table = codes()
    if code not in table:
        same = ", ".join(sorted(known for known in table if known[0] == code[0]))
        raise RecipeError(f"there is no code {code}", code="R143", hint=f"those with {code[0]}: {same}" if same else "codes look like D110")
    return {"code": code, **table[code]}


def draw_code(screen: Screen, page: dict) -> None:
    screen.line((page["code"], "code"), "  ", (page["title"], "head"))
    for name in ("why", "do"):
        screen.line("")
        screen.draw(Text(page[name]))


def draw_keys(screen: Screen, result: dict) -> None:
    for number, page in enumerate(result["keys"]):
        if number:
            screen.line("")
        of = f"   ({page['of']})" if page["of"] else ""
        screen.line((page["key"], "head"), (of, "faint"))
        if page["doc"]:
            screen.draw(Text(page["doc"]))
        default = "null" if page["default"] is None else in_one_line(page["default"] if page["default"] != "" else '""')
        screen.line(("takes ", "faint"), page["allowed"], (" · default ", "faint"), default, (f" · {page['variable']}", "faint"))
