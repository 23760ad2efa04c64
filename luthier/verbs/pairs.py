"""Which task, method and base go together: asked before anything is read, and printed as the table of the documentation.

A task says which head it needs on which kind of base, a method what it cannot do with a head or a family, Transformers which architecture has
which head. Nobody else knows of pairs.
"""
from luthier.errors import RecipeError
from luthier.methods import METHODS
from luthier.models.families import MEMBERS, Family, family_of
from luthier.models.head_kinds import lacks
from luthier.models.load import ModelFacts
from luthier.tasks import TASKS


def task_refusal(task, family: Family, architecture: str) -> str | None:
    """Why a task cannot be learned on an architecture; None where it can."""
    try:
        head = task.head(family.kind)
    except RecipeError as error:
        return error.message
    return lacks(architecture, family.kind, head)


def method_refusal(method, task, family: Family) -> str | None:
    """Why a method cannot be used for a task that can be learned; None where it can."""
    return method.refusal(task.head(family.kind), family)


def legal_tasks(family: Family, architecture: str) -> list[str]:
    """Names of the tasks that an architecture can learn."""
    return [name for name, task in TASKS.items() if task_refusal(task(), family, architecture) is None]


def legal_methods(task, family: Family) -> list[str]:
    """Names of the methods that go with a task on a family."""
    return [name for name, method in METHODS.items() if method_refusal(method(), task, family) is None]


def refuse_illegal(task, method, base: ModelFacts) -> None:
    """RecipeError where task, method and base do not go together, with those that do."""
    family = family_of(base.architecture)
    if reason := task_refusal(task, family, base.architecture):
        raise RecipeError(
            f"task {task.name} and {base.name} do not go together: {reason}", code="R154", field="task",
            hint=f"tasks that do: {', '.join(legal_tasks(family, base.architecture)) or 'none'}",
        )
    if reason := method_refusal(method, task, family):
        raise RecipeError(
            f"method {method.name} and {base.name} ({family.name}) do not go together: {reason}", code="R174", field="method",
            hint=f"methods that do: {', '.join(legal_methods(task, family))}",
        )


def triples() -> list[tuple[str, str, str]]:
    """Every legal (task, method, architecture): what the contract tests walk."""
    found = []
    for family in MEMBERS:
        for architecture in family.model_types:
            for task in legal_tasks(family, architecture):
                found += [(task, method, architecture) for method in legal_methods(TASKS[task](), family)]
    return found


def page() -> str:
    """The documentation's page of pairs, in Markdown."""
    lines = ["# What goes with what", "", "Made from the code by `python scripts/pairs.py`; a test holds the two equal. `luthier check` refuses every other pair and lists those that go.", ""]
    lines += [f"{len(triples()):,} triples of task, method and architecture are legal.", "", "## Tasks", ""]
    lines += [f"| family | architectures | {' | '.join(f'`{name}`' for name in TASKS)} |", "| --- " * (len(TASKS) + 2) + "|"]
    for family in MEMBERS:
        cells = []
        for task in TASKS.values():
            able = [name for name in family.model_types if task_refusal(task(), family, name) is None]
            cells.append("yes" if len(able) == len(family.model_types) else ", ".join(able))
        lines.append(f"| {family.name} | {', '.join(family.model_types)} | {' | '.join(cells)} |")
    lines += ["", "## Methods", "", f"| family | {' | '.join(f'`{name}`' for name in METHODS)} |", "| --- " * (len(METHODS) + 1) + "|"]
    notes: dict[str, int] = {}
    for family in MEMBERS:
        cells = []
        for name, method in METHODS.items():
            tasks = [TASKS[task]() for task in legal_tasks(family, family.model_types[0])]
            reason = next((reason for task in tasks if (reason := method_refusal(method(), task, family))), None)
            cells.append("yes" if reason is None else f"no ({notes.setdefault(f'{name}: {reason}', len(notes) + 1)})")
        lines.append(f"| {family.name} | {' | '.join(cells)} |")
    lines += ["", *(f"{number}. {note}." for note, number in notes.items()), ""]
    lines += ["An architecture that stands in no file is read as a decoder; which layers a method needs is looked up by the names that the families here use."]
    return "\n".join(lines) + "\n"

