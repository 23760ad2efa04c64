"""The only hands on the disk: resolve inside a root, durable write, staged folder with a manifest, lock, hash.

Every artefact goes one way: staging folder -> write -> fsync each -> `manifest.json` (SHA-256 and size of each file) -> fsync -> rename ->
fsync of the parent. A kill or a full disk at any point leaves the old artefact or the new one, never a torn one; `verify` detects any
changed, missing or extra file, which the tensor format alone does not.
"""
import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from luthier.errors import CheckpointError, DiskError, FolderInUse, Refused

MANIFEST = "manifest.json"
OWN = "manifest_sha256"
"""The entry of a manifest that holds the hash of all others."""
STAGING = ".staging-"
BLOCK = 1 << 20


class Disk:
    """The primitive operations of a durable write, gathered so that tests can make any one of them fail or die."""

    def write(self, descriptor: int, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view):]

    def fsync(self, descriptor: int) -> None:
        os.fsync(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        os.rename(source, target)

    def replace(self, source: Path, target: Path) -> None:
        os.replace(source, target)

    def make_folder(self, folder: Path) -> None:
        folder.mkdir(parents=True)

    def remove_folder(self, folder: Path) -> None:
        shutil.rmtree(folder)


disk = Disk()


# ---- paths --------------------------------------------------------------------------------------
def resolve(root: Path, name: str) -> Path:
    """The path of `name` inside `root`; a name that leads outside (absolute, `..`, link, drive, NUL) is Refused."""
    root = Path(root).resolve()
    wrong = "\0" in name or "\\" in name or Path(name).is_absolute() or (len(name) > 1 and name[1] == ":")
    if wrong or not (path := (root / name).resolve()).is_relative_to(root):
        raise Refused(f"the file name {name!r} leads outside its folder {root}", code="S104", hint="name a file inside that folder")
    return path


def free_bytes(path: Path) -> int:
    """Bytes free on the disk that holds `path` (or its nearest existing parent)."""
    path = Path(path).resolve()
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


# ---- hashes -------------------------------------------------------------------------------------
def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    value = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(BLOCK):
            value.update(block)
    return value.hexdigest()


def digest(*parts: str | bytes) -> str:
    """SHA-256 over parts, each led by its length so that ("ab", "c") and ("a", "bc") differ; hexadecimal."""
    value = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        value.update(len(data).to_bytes(8, "little") + data)
    return value.hexdigest()


# ---- JSON ---------------------------------------------------------------------------------------
def read_json(path: Path):
    """The value in a JSON file; a damaged or missing file is a DiskError that names it."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DiskError(f"there is no file {path}", code="F101", file=str(path)) from None
    except (ValueError, OSError) as error:
        raise DiskError(f"{path} cannot be read: {error}", code="F102", file=str(path)) from None


def read_json_lines(path: Path) -> list:
    """The values of a file with one JSON value a line. Lines end at a line feed alone: texts hold other signs that Python would split at (U+2028)."""
    with open(path, encoding="utf-8", newline="\n") as stream:
        return [json.loads(line) for line in stream if line.strip()]


def write_json(path: Path, value) -> None:
    """Durably replace a JSON file. Non-finite numbers are written as null: JSON has no word for them."""
    write_file(path, json.dumps(finite(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def finite(value):
    """The same value with NaN and infinities as None."""
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value


# ---- durable writes -----------------------------------------------------------------------------
def sync_folder(folder: Path) -> None:
    """Make the names inside a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        disk.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def disk_faults(path: Path, needed: int | None = None) -> Iterator[None]:
    """Turn the system's I/O errors into one sentence with the bytes needed and free."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
        amount = f"; needed {needed:,} bytes, free {free_bytes(path):,}" if full and needed else f"; free {free_bytes(path):,} bytes" if full else ""
        hint = "free some space, then run the same command again (training: with --resume)" if full else "check the folder's permissions and the disk"
        raise DiskError(f"cannot write {path}: {error.strerror or error}{amount}", code="F103", file=str(path), hint=hint) from error


def write_file(path: Path, data: bytes | str) -> None:
    """Durably replace a file: after a crash the old content or the new one stands there, whole."""
    path = Path(path)
    data = data.encode() if isinstance(data, str) else data
    staged = path.with_name(f"{STAGING}{path.name}-{os.getpid()}")
    with disk_faults(path, len(data)):
        try:
            descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            try:
                disk.write(descriptor, data)
                disk.fsync(descriptor)
            finally:
                os.close(descriptor)
            disk.replace(staged, path)
            sync_folder(path.parent)
        except OSError:
            staged.unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def replacing(path: Path, *, mode: int = 0o644) -> Iterator[BinaryIO]:
    """A stream of bytes that becomes the file `path` when the block ends well, durably and at once; on an error the old file stays."""
    path = Path(path)
    staged = path.with_name(f"{STAGING}{path.name}-{os.getpid()}")
    with disk_faults(path):
        descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        try:
            with open(descriptor, "wb", buffering=BLOCK) as stream:
                yield stream
                stream.flush()
                disk.fsync(stream.fileno())
            disk.replace(staged, path)
            sync_folder(path.parent)
        except BaseException:
            staged.unlink(missing_ok=True)
            raise


def listing(folder: Path) -> list[str]:
    """Names of all files below a folder, sorted, manifest left out."""
    folder = Path(folder)
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir() or path.is_symlink())
    return sorted(name for name in names if name != MANIFEST)


def fingerprint_files(folder: Path) -> dict[str, dict]:
    """Size and SHA-256 of every file below a folder."""
    return {name: {"size": (folder / name).stat().st_size, "sha256": sha256_file(folder / name)} for name in listing(folder)}


@contextlib.contextmanager
def staged_folder(final: Path, **facts) -> Iterator[Path]:
    """Yield an empty staging folder; on success it becomes `final` at once, with a manifest that holds `facts` and every file's hash.

    An existing `final` is replaced only after the new folder is whole. On any error the staging folder is removed and `final` is as before.
    A failed fsync is never tried again: its pages may be gone, so it counts as a failed write.
    """
    final = Path(final)
    staging = final.with_name(f"{STAGING}{final.name}-{os.getpid()}")
    try:
        with disk_faults(final):
            shutil.rmtree(staging, ignore_errors=True)
            disk.make_folder(staging)
        yield staging
        with disk_faults(final):
            seal(staging, facts)
            publish(staging, final)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise


def seal(folder: Path, facts: dict) -> None:
    """Fsync every file of a folder, then write and fsync its manifest and its folders."""
    for name in listing(folder):
        descriptor = os.open(folder / name, os.O_RDONLY)
        try:
            disk.fsync(descriptor)
        finally:
            os.close(descriptor)
    write_file(folder / MANIFEST, manifest_text({**facts, "files": fingerprint_files(folder)}))
    for inner in [folder, *(path for path in folder.rglob("*") if path.is_dir())]:
        sync_folder(inner)


def manifest_text(facts: dict) -> str:
    """The text of a manifest: its facts, and a hash of them, by which a change of the manifest itself is found."""
    facts = {name: value for name, value in finite(facts).items() if name != OWN}
    own = digest(json.dumps(facts, sort_keys=True))
    return json.dumps({**facts, OWN: own}, indent=1, sort_keys=True) + "\n"


def publish(staging: Path, final: Path) -> None:
    """Give a sealed folder its final name; an older one steps aside first and is removed after."""
    old = None
    if final.exists():
        old = final.with_name(f"{STAGING}old-{final.name}-{os.getpid()}")
        disk.rename(final, old)
    try:
        disk.rename(staging, final)
    except OSError:
        if old is not None:
            os.rename(old, final)
        raise
    sync_folder(final.parent)
    if old is not None:
        disk.remove_folder(old)


def verify(folder: Path) -> dict:
    """The manifest of a folder whose files are exactly those it lists, byte for byte; else a CheckpointError that names the file."""
    folder = Path(folder)

    def damaged(what: str, name: str) -> CheckpointError:
        return CheckpointError(f"{what}: {folder / name}", code="C101", file=str(folder / name), hint="this folder is passed over; use an older one or write it again")

    try:
        text = (folder / MANIFEST).read_text(encoding="utf-8")
        manifest = json.loads(text)
        if manifest_text(manifest).rstrip() != text.rstrip():
            raise ValueError("its own hash is of other facts")
        expected = {name: (entry["size"], entry["sha256"]) for name, entry in manifest["files"].items()}
    except FileNotFoundError:
        raise damaged("no manifest", MANIFEST) from None
    except (ValueError, KeyError, TypeError, AttributeError, OSError):
        raise damaged("the manifest is damaged", MANIFEST) from None
    present = listing(folder)
    for name in sorted(set(expected) - set(present)):
        raise damaged("a file is missing", name)
    for name in sorted(set(present) - set(expected)):
        raise damaged("a file is there that the manifest does not list", name)
    for name, (size, sha256) in expected.items():
        path = folder / name
        if path.is_symlink() or path.stat().st_size != size or sha256_file(path) != sha256:
            raise damaged("a file has changed since it was written", name)
    return {name: value for name, value in manifest.items() if name != OWN}


def sweep(root: Path) -> list[str]:
    """Put right what a killed process left in `root`: unfinished staging goes, a folder that had stepped aside returns if its successor never came."""
    removed = []
    for path in sorted(Path(root).glob(f"{STAGING}*")):
        if path.name.startswith(f"{STAGING}old-"):
            final = path.with_name(path.name.removeprefix(f"{STAGING}old-").rsplit("-", 1)[0])
            if not final.exists():
                os.rename(path, final)
                continue
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        removed.append(path.name)
    return removed


# ---- locks --------------------------------------------------------------------------------------
class FolderLock:
    """One process at a time in a folder. The kernel frees the lock when its holder dies, so a kill needs no clean-up."""

    def __init__(self, folder: Path):
        self.path = Path(folder) / ".lock"
        self.descriptor: int | None = None

    def __enter__(self) -> "FolderLock":
        with disk_faults(self.path):
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "another process"
            os.close(descriptor)
            raise FolderInUse(f"{self.path.parent} is in use by {holder}", file=str(self.path.parent), hint="wait for it, stop it, or use another run name") from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"pid {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        self.descriptor = descriptor
        return self

    def __exit__(self, *_) -> None:
        os.close(self.descriptor)
        self.descriptor = None
