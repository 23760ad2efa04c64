"""Threads of a served product wait shortly: what the library reads when `serve` loads it, and what stays of it afterwards."""
import os
import subprocess
import sys

import pytest

ENDS_EARLY = [sys.executable, "-m", "luthier", "serve", "there-is-no-such-run"]


@pytest.mark.skipif(sys.platform != "linux", reason="torch brings libgomp on Linux")
@pytest.mark.parametrize(("given", "read"), [({}, "2000"), ({"GOMP_SPINCOUNT": "77"}, "77")])
def test_the_library_is_loaded_with_short_waits_unless_the_user_chose(given, read, tmp_path):
    clean = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    found = subprocess.run(ENDS_EARLY, env={**clean, **given, "OMP_DISPLAY_ENV": "VERBOSE", "LUTHIER_RUNS": str(tmp_path)}, capture_output=True, text=True, timeout=120)
    assert found.returncode == 2, found.stderr[-500:]
    assert f"GOMP_SPINCOUNT = '{read}'" in found.stderr


def test_what_is_started_later_finds_the_environment_as_it_was(monkeypatch):
    from luthier.commands.serve import short_waits

    for given in ({}, {"GOMP_SPINCOUNT": "77"}, {"OMP_WAIT_POLICY": "active"}):
        for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
            monkeypatch.delenv(name, raising=False)
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        before = dict(os.environ)
        with short_waits():
            assert os.environ.get("GOMP_SPINCOUNT") == ({} if given else {"GOMP_SPINCOUNT": "2000"}).get("GOMP_SPINCOUNT", given.get("GOMP_SPINCOUNT"))
        assert dict(os.environ) == before
