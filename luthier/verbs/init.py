"""`init`: look at a data file, guess task and columns, say so, and write a recipe of at most ten lines."""
from pathlib import Path

from luthier import settings
from luthier.files import write_file
from luthier.models.catalogue import choose
from luthier.models.location import SHIPPED
from luthier.models.machine import machine
from luthier.runs.events import Say, silent
from luthier.verbs.guessing import first_rows, guessed, recipe_of_data
from luthier.verbs.results import Answered
from luthier.verbs.stages import DEMONSTRATION

HEAD = "# made by `luthier init`; every key: luthier config schema, explained: luthier explain KEY\n"


def init(path: str, *, task: str | None = None, map: dict[str, str] | None = None, output: str = "luthier.yaml", say: Say = silent) -> Answered:
    """Write a recipe for a data file; returns `{file, data, rows, columns, task, map, labels, model, sentence, notes}` (rows: those looked at).

    The base is chosen from the catalogue by task, memory and network, and the notes say why.
    """
    rows = first_rows(path)
    found = guessed(path, task=task, columns=map)
    here = machine()
    model, why = choose(found.task, accelerator=here.accelerator, memory_free=here.accelerator_free if here.accelerator else here.memory_free)
    mapping, sentence = recipe_of_data(path, task=task, columns=map, model=model)
    write_file(Path(output), HEAD + settings.to_yaml(mapping))
    label = found.columns.get("label")
    labels = len({str(row.values.get(label)) for row in rows}) if label else None
    notes = [why, *([DEMONSTRATION] if mapping["model"] in SHIPPED else [])]
    return Answered({
        "file": str(output), "data": path, "rows": len(rows), "columns": list(rows[0].values), "task": found.task,
        "map": dict(found.columns), "labels": labels, "model": model, "sentence": sentence, "notes": notes,
    })
