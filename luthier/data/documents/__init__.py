"""Documents to blocks of text, each with the heading it stands under, its page and its paragraph: one file per kind of document."""
from collections.abc import Callable, Iterator
from pathlib import Path

from luthier.data.documents import code, docx, html, markdown, pdf, plain
from luthier.data.documents.block import Block
from luthier.errors import DataError

READERS: dict[str, Callable[[Path], Iterator[Block]]] = {
    ".html": html.read, ".htm": html.read, ".md": markdown.read, ".markdown": markdown.read, ".pdf": pdf.read, ".docx": docx.read, ".txt": plain.read, ".rst": plain.read,
}
READERS |= dict.fromkeys(code.SUFFIXES, code.read)
SKIPPED = {".git", ".hg", ".svn", "node_modules", "__pycache__", ".venv", "venv", "dist", "build", ".tox", ".mypy_cache", "target"}
LARGEST = 64 << 20


def blocks(path: Path) -> Iterator[Block]:
    """The blocks of one document. Raises DataError D131 for a kind that is not read, D109 for a damaged one."""
    if path.suffix.lower() not in READERS:
        raise DataError(f"{path} is a {path.suffix or 'nameless'} file, which is no document that is read", code="D131", file=str(path), hint=f"read are: {', '.join(sorted(READERS))}")
    if (size := path.stat().st_size) > LARGEST:
        raise DataError(f"{path} has {size:,} bytes, more than {LARGEST:,}", code="D102", file=str(path), hint="split it")
    yield from READERS[path.suffix.lower()](path)


def matching(name: str) -> list[Path]:
    """The path of a name, or those that a pattern (`manuals/**/*.pdf`) names, sorted."""
    if not any(sign in name for sign in "*?[") or Path(name).exists():
        return [Path(name)]
    from glob import glob

    found = [Path(path) for path in sorted(glob(name, recursive=True)) if Path(path).suffix.lower() in READERS]
    return found or [Path(name)]


def files(paths: list[Path]) -> Iterator[Path]:
    """Documents among files and folders, sorted; hidden files, links that lead outside and folders of tools are passed over."""
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        root = path.resolve()
        for inner in sorted(path.rglob("*")):
            parts = inner.relative_to(path).parts
            if inner.is_file() and inner.suffix.lower() in READERS and inner.resolve().is_relative_to(root) and not any(part.startswith(".") or part in SKIPPED for part in parts):
                yield inner
