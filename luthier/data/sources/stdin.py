"""Standard input: kept in a temporary file first, so that it can be hashed, looked at and read like any other."""
import atexit
import functools
import shutil
import sys
import tempfile
from pathlib import Path
from typing import BinaryIO

BLOCK = 1 << 20


def spool(stream: BinaryIO | None = None) -> Path:
    """Copy the input to a temporary file and return its path; whoever asked for it removes it."""
    with tempfile.NamedTemporaryFile(prefix="luthier-stdin-", delete=False) as file:
        shutil.copyfileobj(stream or sys.stdin.buffer, file, BLOCK)
    return Path(file.name)


@functools.cache
def spooled() -> Path:
    """The temporary file of this process's standard input, which can be read only once; removed when the process ends."""
    path = spool()
    atexit.register(path.unlink, missing_ok=True)
    return path
