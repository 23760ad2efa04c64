"""A folder: its data files, told apart into train, validation and test by their names where they say so."""
import re
from pathlib import Path

from luthier.errors import DataError

WORDS = {"train": "train", "training": "train", "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation", "test": "test", "testing": "test"}
MOST_FILES = 100_000
NOT_DATA = {"readme", "license", "licence", "dataset_info", "dataset_infos", "state", "metadata", "config", "manifest", "notice", "changelog"}


def files_of(folder: Path, suffixes: set[str]) -> dict[str, list[Path]]:
    """Split -> its files, sorted by name. Files that name no split are train where no file does, and else left out.

    Hidden files, links that lead outside, and files that describe rather than hold data are passed over. Raises DataError D130 where nothing is left,
    or where files of several formats stand for one split.
    """
    found: dict[str, list[Path]] = {}
    root = folder.resolve()
    for count, path in enumerate(sorted(folder.rglob("*"))):
        if count > MOST_FILES:
            raise DataError(f"{folder} holds more than {MOST_FILES:,} files", code="D130", file=str(folder), hint="give a folder with the data only")
        name = path.name.lower()
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if hidden or not path.is_file() or not path.resolve().is_relative_to(root) or format_suffix(path) not in suffixes:
            continue
        if name.split(".")[0] in NOT_DATA:
            continue
        found.setdefault(split_of(path.relative_to(folder)), []).append(path)
    named = {split: files for split, files in found.items() if split}
    result = named if "train" in named else {"train": found[""], **named} if "" in found else named
    if "train" not in result:
        kinds = ", ".join(sorted(suffixes))
        raise DataError(f"{folder} holds no training data", code="D130", file=str(folder), hint=f"put files in it that end in {kinds}, or name one train.*")
    return result


def matching(pattern: str, suffixes: set[str]) -> list[Path]:
    """The files that a pattern names (`*`, `?`, `**` for any folders), sorted; hidden ones and formats that are not read are passed over."""
    from glob import glob

    paths = [Path(name) for name in sorted(glob(pattern, recursive=True))]
    return [path for path in paths if path.is_file() and not path.name.startswith(".") and format_suffix(path) in suffixes]


def split_of(path: Path) -> str:
    """The split that a path names (train.csv, data/test-00000-of-00001.parquet, validation/a.jsonl); empty where it names none."""
    for part in (path.name.lower(), *(parent.name.lower() for parent in path.parents)):
        for word in re.split(r"[^a-z]+", part):
            if word in WORDS:
                return WORDS[word]
    return ""


def format_suffix(path: Path) -> str:
    """The suffix that tells the format: `.csv` of `a.csv` and of `a.csv.gz`."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    return suffixes[-1] if suffixes else ""
