"""`compare`: two runs side by side: the differences of their recipes only, and the paired difference of their results."""
from luthier import settings
from luthier.data.dataset import DataSet
from luthier.errors import RecipeError, WorkFailed
from luthier.evaluation.comparison import over_seeds, paired, recipes, rows_both
from luthier.evaluation.results import LONGEST_TEXT
from luthier.evaluation.statistics import clustered
from luthier.evaluation.wording import figure, metric_words, p_words, rows
from luthier.files import read_json_lines
from luthier.runs import folder as runs
from luthier.runs.folder import Run
from luthier.tasks.answers import Answer
from luthier.verbs.examples import rows_of
from luthier.verbs.opening import labels_of, resolved
from luthier.verbs.results import Answered


def compare(first: str, second: str, *, contestant: str = "tuned") -> Answered:
    """Whether the second run is better than the first on the test rows that both answered. Returns `{first, second, recipe, result, sentence}`.

    RecipeError where the runs learn different tasks, WorkFailed where they have no test row in common.
    """
    one, other = runs.find(first), runs.find(second)
    if one.path == other.path:
        raise RecipeError(f"{one.name} is compared with itself", code="R195", hint="name two runs: luthier compare RUN RUN")
    before, after = resolved(one), resolved(other)
    if before.task.name != after.task.name:
        raise RecipeError(f"{one.name} learned {before.task.name} and {other.name} {after.task.name}: their figures are of different kinds", code="R195", hint="compare runs of one task")
    if before.lesson.headline != after.lesson.headline:
        what = f"{one.name} is judged by {metric_words(before.lesson.headline)} and {other.name} by {metric_words(after.lesson.headline)}"
        raise RecipeError(f"{what}: their figures are of different kinds", code="R195", hint="compare runs whose objectives are judged alike")
    flat = [settings.flatten(settings.to_mapping(recipe)) for recipe in (before, after)]
    result = results_of(one, other, contestant)
    return Answered({"first": one.name, "second": other.name, "recipe": recipes(*flat), "result": result, "sentence": sentence(one.name, other.name, result)})


def results_of(one: Run, other: Run, contestant: str) -> dict:
    """The paired difference on common rows, from the answers that both runs kept."""
    lines = [rows_of(run, contestant) for run in (one, other)]
    if not all(lines):
        lacking = one.name if not lines[0] else other.name
        raise WorkFailed(f"{lacking} has no answers of {contestant}", code="E132", hint=f"luthier train --resume {lacking}")
    pairs = rows_both(*lines)
    if not pairs:
        raise WorkFailed(f"{one.name} and {other.name} have no test row in common", code="E151", hint="give both the same test file, data.test=FILE")
    recipe = resolved(one)
    labels = sorted({*labels_of(one), *labels_of(other)})
    task = recipe.lesson.prepared(labels=labels, max_new_tokens=recipe.evaluation.max_new_tokens)
    records = [records_of(run, task, kept) for run, kept in zip((one, other), lines, strict=True)]
    groups = [records[0][at].group for at, _ in pairs]
    scored = [scores_of(run, task, contestant, [pair[side] for pair in pairs], records[side], groups) for side, run in enumerate((one, other))]
    shown = ([lines[0][at] for at, _ in pairs], [lines[1][at] for _, at in pairs])
    options = {"resamples": recipe.evaluation.resamples, "confidence": recipe.evaluation.confidence, "seed": recipe.seed}
    found = paired(*([each[task.headline] for each in side] for side in scored), *shown, **options)
    return {**found, "figures": figures(*scored, **options), "calibration": [run.facts().get("calibration") or None for run in (one, other)] if contestant == "tuned" else [None, None]}


def scores_of(run: Run, task, contestant: str, chosen: list[int], records: list, groups: list) -> list[dict]:
    """Every figure on the chosen rows, once for each seed whose answers the run kept; answers are as sure as what was fitted on validation rows made them."""
    places = [run, *(Run(path) for path in sorted(run.path.glob("seeds/*"), key=lambda path: path.name))] if contestant == "tuned" else [run]
    found = []
    for place in places:
        if (place.evaluation_folder / f"{contestant}.answers.jsonl").exists():
            answers = answers_of(place, contestant)
            metrics = task.score([answers[at] for at in chosen], [records[at] for at in chosen])
            found.append({name: clustered(metric, groups) for name, metric in metrics.items()} if any(groups) else metrics)
    return found


def figures(first: list[dict], second: list[dict], **options) -> list[dict]:
    """`[{metric, first, second, difference: {value, low, high}}]` of every figure that both have; positive is better for the second run whatever the figure."""
    names = [name for name in first[0] if all(name in each for each in (*first, *second))]
    found = []
    for name in names:
        one, other, gap = over_seeds([each[name] for each in first], [each[name] for each in second], **options)
        found.append({"metric": name, "first": one.value, "second": other.value, "difference": {"value": gap.value, "low": gap.low, "high": gap.high}})
    return found


def records_of(run: Run, task, lines: list[dict]) -> list:
    """The test records behind the rows that a run's contestants answered, found by question and target in the order of the file."""
    every, found = iter(DataSet(run.data_folder).records("test")), []
    for line in lines:
        record = next((one for one in every if task.question(one)[:LONGEST_TEXT] == line["question"] and task.target(one) == line["target"]), None)
        if record is None:
            raise WorkFailed(f"the answers of {run.name} do not belong to its test rows", code="E151", hint=f"luthier eval {run.name} measures them again")
        found.append(record)
    return found


def answers_of(run: Run, contestant: str) -> list[Answer]:
    """What a contestant answered, whole."""
    _, *rows = read_json_lines(run.evaluation_folder / f"{contestant}.answers.jsonl")
    return [Answer(**row) for row in rows]


def sentence(first: str, second: str, result: dict) -> str:
    """Which of the two is better, by how much and how surely."""
    found, metric = result["difference"], result["metric"]
    ends = f"95 % interval {figure(found['low'], metric, signed=True)} to {figure(found['high'], metric, signed=True)}; {p_words(result['paired_test']['p_value'])}"
    sure = result["paired_test"]["p_value"] < 0.05
    if found["low"] > 0 and sure:
        outcome = f"{second} is better than {first}"
    elif found["high"] < 0 and sure:
        outcome = f"{first} is better than {second}"
    else:
        outcome = f"{first} and {second} cannot be told apart"
    return (
        f"{outcome}: {metric_words(metric)} {figure(result['second'], metric)} against {figure(result['first'], metric)}, difference "
        f"{figure(found['value'], metric, signed=True)} ({ends}) on {rows(result['n'], 'common test row')}; {second} does better on {result['won']:,}, worse on {result['lost']:,}."
    )
