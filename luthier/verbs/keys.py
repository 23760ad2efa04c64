"""`keys`: make, list and revoke the keys of a server."""
from pathlib import Path

from luthier.serving.door import SCOPES, keys_listed, new_key, revoke_key
from luthier.verbs.results import Answered


def new(file: Path, name: str, scopes: list[str] | None = None, **limits) -> dict:
    """`{name, key, file}`; the key is told this once."""
    return Answered({"name": name, "key": new_key(file, name, tuple(scopes or SCOPES), **limits), "file": str(file)}).to_dict()


def ls(file: Path) -> dict:
    """`{keys: [{name, scopes, limits ...}]}`."""
    return {"keys": keys_listed(file)}


def revoke(file: Path, name: str) -> dict:
    """`{revoked, file}`."""
    revoke_key(file, name)
    return {"revoked": name, "file": str(file)}
