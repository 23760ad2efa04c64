"""`verify`: whether a folder holds exactly what its manifest says, byte for byte."""
from pathlib import Path

from luthier.files import MANIFEST
from luthier.files import verify as check
from luthier.verbs.results import Answered


def verify(folder: str | Path) -> Answered:
    """`{ok, folder, files, facts}`; a changed, missing or added file is a CheckpointError (exit 7) that names it."""
    manifest = check(Path(folder))
    return Answered({"ok": True, "folder": str(folder), "files": len(manifest["files"]), "manifest": MANIFEST, "facts": {name: value for name, value in manifest.items() if name != "files"}})
