"""Files and folders in odd places: odd names work, places that cannot be written or read are a sentence with the path, and leave nothing behind."""
import json
import os
import subprocess
import sys

import pytest

NAMES = ["with space", "ümläut-日本", "new\nline", "quote'\"s", "-dash", "percent%20", "a" * 200]


def luthier(*words, cwd, **more):
    environment = {**os.environ, **more.pop("env", {})}
    return subprocess.run([sys.executable, "-m", "luthier", *words], capture_output=True, text=True, cwd=cwd, env=environment, timeout=120, **more)


def tickets_in(folder):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "tickets.csv"
    path.write_text("text,label\n" + "".join(f"the {colour} thing number {number},{colour}\n" for number in range(30) for colour in ("red", "blue")))
    return path


def test_odd_names_are_names(tmp_path):
    """One process a name would cost a minute: the same work by call, in each folder."""
    from luthier.verbs.check import check

    for name in NAMES:
        assert check(str(tickets_in(tmp_path / name))).to_dict()["ledger"]["train"]["used"] > 0, name


def as_error(done) -> dict:
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout)["error"]


@pytest.mark.parametrize("place", ["too long", "loop", "missing", "a folder that is a file"])
def test_places_that_cannot_be_read_are_a_sentence(tmp_path, place):
    from luthier.errors import LuthierError
    from luthier.verbs.check import check

    (tmp_path / "loop.csv").symlink_to(tmp_path / "loop.csv")
    path = {"too long": str(tmp_path / ("b" * 4096)) + ".csv", "loop": str(tmp_path / "loop.csv"), "missing": str(tmp_path / "none.csv"), "a folder that is a file": str(tickets_in(tmp_path) / "x.csv")}[place]
    before = sorted(tmp_path.iterdir())
    with pytest.raises(LuthierError) as error:
        check(path)
    assert error.value.exit_code in (2, 6) and path[:60] in f"{error.value.message} {error.value.file}"
    assert sorted(tmp_path.iterdir()) == before, "nothing half-made is left"


@pytest.mark.parametrize("runs", ["/proc/runs", "/dev/null/runs"])
def test_a_place_for_runs_that_cannot_be_written_is_a_sentence(tmp_path, runs):
    """/proc takes no folder even from root, whom permissions do not stop."""
    done = luthier("train", str(tickets_in(tmp_path)), "--json", cwd=tmp_path, env={"LUTHIER_RUNS": runs})
    error = as_error(done)
    assert done.returncode == 6 and runs in error["message"], error
