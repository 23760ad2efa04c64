"""House rules as a test: small functions and files, speaking names, and nothing that runs code out of data."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "luthier"
MOST_FUNCTION_LINES, MOST_FILE_LINES = 80, 600
FORBIDDEN_FILES = {"utils", "helpers", "common", "misc", "core", "base", "manager"}
FORBIDDEN_IMPORTS = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "torch.load", "torch.save", "yaml.load", "yaml.unsafe_load", "yaml.full_load", "os.system", "os.popen"}
PLAIN_ENVIRONMENTS = {"jinja2.Environment", "jinja2.Template", "Environment", "Template"}


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def name_of(node: ast.AST) -> str:
    return ast.unparse(node) if isinstance(node, (ast.Name, ast.Attribute)) else ""


def functions(path: Path) -> list[tuple[int, str]]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [(node.end_lineno - node.lineno + 1, f"{path.relative_to(ROOT)}:{node.lineno} {node.name}") for node in ast.walk(tree) if isinstance(node, kinds)]


def imported(tree: ast.AST) -> set[str]:
    """Every module and every name out of a module that a file imports."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def forbidden(source: str) -> list[str]:
    """What in a source runs code out of data, as `line: what`."""
    tree = ast.parse(source)
    names = imported(tree)
    found = [f"imports {name}" for name in names if name.split(".")[0] in FORBIDDEN_IMPORTS or name in FORBIDDEN_CALLS | {"jinja2.Environment", "jinja2.Template"}]
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = name_of(node.func)
        if called in FORBIDDEN_CALLS or (called in PLAIN_ENVIRONMENTS and "jinja2" in {name.split(".")[0] for name in names}):
            found.append(f"{node.lineno}: {called}")
        if any(word.arg == "shell" and not (isinstance(word.value, ast.Constant) and word.value.value is False) for word in node.keywords):
            found.append(f"{node.lineno}: shell=")
    return found


def test_functions_are_small(capsys):
    longest = sorted((size for path in sources() for size in functions(path)), reverse=True)
    with capsys.disabled():
        print("\nten longest functions:", *(f"{lines:4} {where}" for lines, where in longest[:10]), sep="\n  ")
    assert not [where for lines, where in longest if lines > MOST_FUNCTION_LINES]


def test_files_are_small(capsys):
    longest = sorted(((len(path.read_text(encoding="utf-8").splitlines()), str(path.relative_to(ROOT))) for path in sources()), reverse=True)
    with capsys.disabled():
        print("\nten longest files:", *(f"{lines:4} {where}" for lines, where in longest[:10]), sep="\n  ")
    assert not [where for lines, where in longest if lines > MOST_FILE_LINES]


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_runs_code_out_of_data(path):
    assert not forbidden(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "source",
    [
        "import pickle", "from joblib import load", "eval('1')", "exec(text)", "import torch\ntorch.load('x')", "from torch import load",
        "import yaml\nyaml.load(text)", "import subprocess\nsubprocess.run('ls', shell=True)", "subprocess.run('ls', shell=yes)",
        "from jinja2 import Environment", "import jinja2\njinja2.Environment()", "import os\nos.system('ls')",
    ],
)  # fmt: skip
def test_the_guard_sees(source):
    assert forbidden(source)


def test_files_have_speaking_names():
    mute = {str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*") if path.stem in FORBIDDEN_FILES and (path.is_dir() or path.suffix == ".py")}
    assert mute <= {"evaluation/contestants/base.py"}, "the contestant is called base; nothing else is"


def test_every_file_says_its_idea():
    silent = [path for path in sources() if path.name != "__init__.py" and not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))]
    assert not silent


def test_every_test_file_has_its_own_name():
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert len(names) == len(set(names)), sorted(name for name in names if names.count(name) > 1)
