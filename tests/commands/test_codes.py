"""One table of codes and one of exit codes: what the source uses, what `explain` knows and what the docs print are equal."""

import ast
import re
from pathlib import Path

import pytest

from luthier import errors
from luthier.commands.explain import codes
from luthier.errors import EXIT_CODES, LuthierError

ROOT = Path(__file__).resolve().parents[2]
CODE = re.compile(r"[CDEFGMRSTX][1-9]\d\d")


def used() -> dict[str, str]:
    """Code -> one place in the source where it stands as a whole string."""
    found = {}
    for path in (ROOT / "luthier").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and CODE.fullmatch(node.value):
                found[node.value] = f"{path.relative_to(ROOT)}:{node.lineno}"
    return found


def test_the_table_has_every_code_of_the_source_and_no_other():
    source, table = used(), set(codes())
    assert not {code: place for code, place in source.items() if code not in table}, "give these a page in luthier/commands/codes.yaml"
    assert not table - set(source), "these pages are of codes that nothing uses"


@pytest.mark.parametrize("code", sorted(codes()))
def test_every_page_is_whole(code):
    page = codes()[code]
    assert list(page) == ["title", "why", "do"]
    assert all(isinstance(text, str) and len(text) > 8 for text in page.values())
    assert not page["title"].endswith(".") and page["why"].endswith(".") and page["do"].endswith((".", "`"))


def test_the_exit_codes_of_the_docs_are_those_of_the_program():
    rows = re.findall(r"^\| (\d+) \| (.+?) \|", (ROOT / "docs" / "errors.md").read_text(encoding="utf-8"), re.M)
    assert {int(code): words for code, words in rows} == EXIT_CODES


def test_every_kind_of_error_has_an_exit_code_of_the_table():
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, LuthierError) and kind is not errors.Stopped]
    assert {kind.exit_code for kind in kinds} == set(EXIT_CODES) - {0, 130, 143}
    assert {errors.Stopped("stopped", signal_number=number).exit_code for number in (2, 15)} == {130, 143}


def test_the_page_of_the_docs_names_every_kind():
    text = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    letters = {code[0] for code in codes()}
    assert all(f"`{letter}`" in text for letter in letters)
