"""What is installed is what lies in the tree: the same wheel twice, nothing in it that git does not know, nothing that runs or connects by itself."""
import hashlib
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
IMPORTING = """
import importlib, pkgutil, sys
heard = []
sys.addaudithook(lambda event, arguments: heard.append((event, str(arguments)[:200])) if event in ("socket.connect", "socket.getaddrinfo", "socket.bind", "subprocess.Popen", "os.system") else None)
import luthier
names = [found.name for found in pkgutil.walk_packages(luthier.__path__, "luthier.") if found.name not in ("luthier.__main__", "luthier.models.freshcheck_script")]
for name in names[int(sys.argv[1]) :: int(sys.argv[2])]:
    importlib.import_module(name)
print(len(names), heard)
"""


def tracked() -> set[str]:
    """What git knows of the package; where there is no git, what lies in the tree."""
    done = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z", "luthier", "recipes"], capture_output=True, text=True)
    if done.returncode:
        pytest.skip("this tree is no git checkout: what belongs to it is not known")
    return {name for name in done.stdout.split("\0") if name}


def build(folder: Path) -> Path:
    folder.mkdir()
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], cwd=ROOT, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    return build(tmp_path_factory.mktemp("wheel") / "one")


def odd_names(wheel: Path, known: set[str]) -> list[str]:
    """Names in a wheel that are neither of the tree nor its own description, and those that Python would run by itself."""
    inside = zipfile.ZipFile(wheel).namelist()
    expected = {name for name in known if name.startswith("luthier/")} | {name.replace("recipes/", "luthier/recipes/", 1) for name in known if re.fullmatch(r"recipes/[^/]+\.yaml", name)}
    own = {name for name in inside if ".dist-info/" in name}
    return sorted({*(set(inside) - expected - own), *(expected - set(inside))} | {name for name in inside if name.endswith((".pth", ".so", ".pyc")) or "sitecustomize" in name})


def test_the_wheel_is_the_tree_and_nothing_else(wheel):
    assert odd_names(wheel, tracked()) == []


def test_a_stowaway_is_caught(wheel, tmp_path):
    """Negative control."""
    copy = tmp_path / wheel.name
    copy.write_bytes(wheel.read_bytes())
    with zipfile.ZipFile(copy, "a") as archive:
        archive.writestr("luthier-start.pth", "import os")
    assert odd_names(copy, tracked()) == ["luthier-start.pth"]


def test_the_same_wheel_twice(wheel, tmp_path, record_property):
    first, second = (hashlib.sha256(path.read_bytes()).hexdigest() for path in (wheel, build(tmp_path / "two")))
    assert first == second
    record_property("figure", ("M-8", "the wheel built twice", f"SHA-256 {first[:16]} both times"))


def test_everything_that_is_needed_has_a_pinned_version():
    """What pyproject.toml names has its exact version in constraints.txt, which the README's commands install by."""
    names = re.findall(r'^\s*"?([A-Za-z0-9_.-]+)(?:\[[^\]]*\])?[><=~!]', (ROOT / "pyproject.toml").read_text().replace(', "', ',\n"').replace('["', '[\n"'), re.M)
    plain = lambda name: re.sub(r"[-_.]+", "-", name).lower()
    pinned = {plain(line.split("==")[0]) for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line and not line.startswith("#")}
    wanted = {plain(name) for name in names} - {"requires-python", "luthier"}
    assert len(wanted) > 25 and sorted(wanted - pinned) == []


@pytest.mark.parametrize("part, parts", [(0, 80), *(pytest.param(number, 8, marks=pytest.mark.nightly) for number in range(8))])
def test_nothing_connects_or_starts_a_program_by_being_imported(part, parts):
    done = subprocess.run([sys.executable, "-c", IMPORTING, str(part), str(parts)], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd="/")
    assert done.returncode == 0, done.stderr[-1500:]
    count, heard = done.stdout.split(" ", 1)
    assert int(count) > 150 and heard.strip() == "[]", heard
