"""`check --fix`, `--review`, `--apply`: repair into a new file, ask a person, take the answers back."""
import json
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from luthier.data import doctor, mending, review, sources
from luthier.data.columns import scatter
from luthier.data.fixes import balance, private
from luthier.data.mending import Options
from luthier.data.split import SPLITS
from luthier.errors import RecipeError
from luthier.runs.events import Say, silent
from luthier.verbs.naming import finder
from luthier.verbs.results import Answered
from luthier.verbs.stages import open_recipe, read_data


def split_fixes(words: Iterable[str]) -> tuple[str, list[str]]:
    """The word that names fixes (no file, no setting, the last one), and the other words."""
    words = list(words)
    named = [word for word in words if "=" not in word and not Path(word).exists() and not Path(word).suffix and "/" not in word and word != "-"]
    if not named:
        return "", words
    mending.chosen(named[-1])
    at = len(words) - 1 - words[::-1].index(named[-1])
    return named[-1], words[:at] + words[at + 1 :]


def fix(
    target: str | Path | None = None, overrides: Iterable[str] | Mapping = (), *, fixes: str = "plain", pii: str = "mask", key: str | None = None, balance_by: str = "resample",
    against: str | None = None, names: str | None = None, output: str | None = None, say: Say = silent,
) -> Answered:
    """Repair the training data of a recipe (or a data file) into a new file; the source is never written.

    `fixes` are names with commas between them, `plain` or `all`; `pii` is mask or pseudonym, whose key lies in `key`, and `names` a model that finds names and
    places. Returns `{file, patch, rows_in, rows_out, done, rounds, source_sha256, [key, gap, weight]}`; `file` is None where nothing was to be done.
    """
    for name, given, allowed in (("pii", pii, ("mask", "pseudonym")), ("balance", balance_by, ("resample", "reweight", "counterfactual"))):
        if given not in allowed:
            raise RecipeError(f"`--{name} {given}` is not known", code="R145", hint=f"one of: {', '.join(allowed)}")
    chosen = mending.chosen(fixes)
    recipe, _ = open_recipe(target, overrides, say)
    source = one_source(recipe.data)
    if names and "pii" not in chosen:
        raise RecipeError("--names finds what --fix pii replaces, and pii is not among the fixes", code="R145", hint="--fix pii --names MODEL")
    options = Options(pii=pii, balance=balance_by, against=against, names=finder(names, say) if names else None)
    key_file = Path(key) if key else mending.names_of(source)[0].with_name(f"{Path(source.name).name.split('.')[0] or 'data'}.key.json")
    if pii == "pseudonym" and "pii" in chosen:
        options.pseudonyms = private.Pseudonyms(key_file)
    gap: dict = {}
    extra = (lambda plan, data, examined: balanced(plan, data, examined, balance_by, gap)) if "balance" in chosen else None
    made = mending.mend(recipe.data, chosen, task=recipe.task.name, record=recipe.lesson.record, options=options, output=Path(output) if output else None, extra=extra, identity=recipe.lesson.identity, say=say)
    if options.pseudonyms is not None and made.file:
        options.pseudonyms.save()
        made.more["key"] = str(key_file)
    if gap:
        made.more["gap"] = gap
    if made.file and balance_by == "reweight" and "balance" in chosen:
        made.more["weight"] = balance.WEIGHT
    return Answered(made.to_dict())


def balanced(plan, data, examined, how: str, gap: dict) -> None:
    """Plan the balance, and say the slice gap before and after."""
    seen = examined.seen
    label_N = seen.label_N
    if not seen.label_names:
        raise RecipeError("`--fix balance` needs labels, and these rows have none", code="R145", hint="leave balance out")
    slices = {name: examined.groups[name] for name in examined.people}
    gap |= dict(zip(("before", "group"), balance.gap(label_N, slices, len(seen.label_names))))
    train = seen.split_N >= 0
    if how == "resample":
        gone = balance.surplus(np.where(train, label_N, -1), scatter(seen.input_N))
        for row in gone.tolist():
            plan.leave.setdefault(seen.number[row], ("balance", f"`{seen.label_names[label_N[row]]}` has far more rows than the other labels"))
        kept = np.setdiff1d(np.arange(len(seen)), gone)
        gap["after"] = balance.gap(label_N[kept], {name: np.flatnonzero(np.isin(kept, rows)) for name, rows in slices.items()}, len(seen.label_names))[0]
        return
    if how == "reweight":
        weight_N = balance.weights(label_N, slices, len(seen.label_names))
        gap["after"] = balance.gap(label_N, slices, len(seen.label_names), weight_N)[0]
        if gap["after"] < gap["before"]:
            plan.weights = {seen.number[row]: float(weight) for row, weight in enumerate(weight_N.tolist()) if weight != 1.0}
            plan.weight_column = balance.WEIGHT
        return
    plan.swapped = balance.swapped
    mirrored = mirror(slices)
    touched = np.unique(np.concatenate([slices.get(name, np.zeros(0, dtype=np.int64)) for name in ("women", "men")]))
    labels = np.concatenate([label_N, label_N[touched]])
    both = {name: np.concatenate([rows, len(label_N) + np.flatnonzero(np.isin(touched, mirrored.get(name, rows)))]) for name, rows in slices.items()}
    gap["after"] = balance.gap(labels, both, len(seen.label_names))[0]


def mirror(slices: dict) -> dict:
    """The groups as they are spoken of in swapped rows."""
    empty = np.zeros(0, dtype=np.int64)
    return {"women": slices.get("men", empty), "men": slices.get("women", empty)}


def one_source(data) -> sources.Source:
    """The one data set of a recipe; RecipeError for a mixture."""
    if data.sources:
        raise RecipeError("data.sources names several data sets; one is repaired at a time", code="R201", field="data.sources", hint="luthier check FILE --fix, for each of them")
    return sources.locate(data.train)["train"]


def ask(target: str | Path | None = None, overrides: Iterable[str] | Mapping = (), *, output: str | None = None, say: Say = silent) -> Answered:
    """Write the doubtful rows to a small CSV; returns `{file, rows, by_code}`."""
    recipe, _ = open_recipe(target, overrides, say)
    source = one_source(recipe.data)
    path = Path(output) if output else mending.names_of(source)[0].with_name(f"{Path(source.name).name.split('.')[0] or 'data'}.review.csv")
    with tempfile.TemporaryDirectory(prefix="luthier-review-") as folder:
        data = read_data(recipe, Path(folder) / "data", say, strict=False)
        examined = doctor.examine(data, say=say)
        asked = review.doubtful(examined)
        texts = rows_at(data, {place for place, *_ in asked})
        count = review.write(path, examined, source, data.record, texts) if asked else 0
    by_code: dict[str, int] = {}
    for _, code, *_ in asked:
        by_code[code] = by_code.get(code, 0) + 1
    return Answered({"file": str(path) if count else None, "rows": count, "by_code": by_code})


def rows_at(data, wanted: set[int]) -> dict[int, dict]:
    """The canonical rows at some places among all rows seen."""
    found, at = {}, 0
    for split in SPLITS:
        with open(data.folder / f"{split}.jsonl", "rb") as stream:
            for line in stream:
                if at in wanted:
                    found[at] = json.loads(line)
                at += 1
    return found


def apply(target: str | Path | None = None, overrides: Iterable[str] | Mapping = (), *, decisions: str, output: str | None = None, say: Say = silent) -> Answered:
    """Take an edited review back: rows leave, labels are rewritten, in a new file with its patch."""
    recipe, _ = open_recipe(target, overrides, say)
    decided = review.read(Path(decisions))

    def planned(plan, data, examined) -> None:
        for number, (decision, label) in decided.items():
            if decision == "leave out":
                plan.leave[number] = ("review", "left out in the review")
            elif decision == "label":
                plan.labels[number] = ("review", label, "relabelled in the review")

    made = mending.mend(recipe.data, [], task=recipe.task.name, record=recipe.lesson.record, output=Path(output) if output else None, extra=planned, identity=recipe.lesson.identity, rounds=1, say=say)
    kept = sum(decision == "keep" for decision, _ in decided.values())
    return Answered({**made.to_dict(), "decisions": len(decided), "kept": kept})
