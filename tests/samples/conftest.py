"""Where the recipes are found and where the real data lies."""

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of third-party data; a test that needs it skips where it is absent."""
    folder = Path(os.environ.get("LUTHIER_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "text" / "pretraining").is_dir():
        pytest.skip(f"no data in {folder}: set LUTHIER_TEST_DATA to the folder of development data")
    return folder
