"""One bit flipped anywhere in an adapter, a tuned model or an exported copy: found each time, and the file named."""
import random

import pytest

from luthier.errors import CheckpointError
from luthier.files import MANIFEST, listing, verify
from luthier.runs import folder as runs
from luthier.verbs.export import export


def flipped(folder, trials: int, seed: int = 7) -> int:
    """How many of so many flips were found; each is undone."""
    names, draw, found = [*listing(folder), MANIFEST], random.Random(seed), 0
    verify(folder)
    for _ in range(trials):
        name = draw.choice(names)
        with open(folder / name, "r+b") as stream:
            place = draw.randrange(stream.seek(0, 2))
            stream.seek(place)
            byte = stream.read(1)[0]
            for value in (byte ^ 1 << draw.randrange(8), byte):
                stream.seek(place)
                stream.write(bytes([value]))
                stream.flush()
                if value != byte:
                    try:
                        verify(folder)
                    except CheckpointError as error:
                        found += name in error.message
    verify(folder)
    return found


@pytest.mark.parametrize("trials", [20, pytest.param(1000, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("kind", ["adapter", "export"])
def test_a_flipped_bit_is_found(trained, tmp_path, kind, trials, record_property):
    folder = runs.find(trained("chat")).model_folder
    if kind == "export":
        export(trained("chat"), "merged", precision="f32", out=tmp_path / "copy")
        folder = tmp_path / "copy"
    found = flipped(folder, trials)
    record_property("figure", ("B-6", f"a flipped bit anywhere in an {kind} is found and its file named", f"{found} of {trials}"))
    assert found == trials


def test_without_the_manifests_own_hash_a_flip_in_it_would_pass(trained, monkeypatch):
    """Negative control: the hashes of the files say nothing of the facts beside them."""
    from luthier import files

    folder = runs.find(trained("chat")).model_folder
    before = (folder / MANIFEST).read_text()
    changed = before.replace('"step": ', '"step": 1')
    assert changed != before
    (folder / MANIFEST).write_text(changed)
    try:
        with pytest.raises(CheckpointError, match="manifest"):
            verify(folder)
        monkeypatch.setattr(files, "manifest_text", lambda facts: changed)
        verify(folder)
    finally:
        (folder / MANIFEST).write_text(before)
