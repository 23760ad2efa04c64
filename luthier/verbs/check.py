"""`check`: every row read strictly, the ledger of rows and tokens, what was found, and rendered examples with their mask."""
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from luthier.data import doctor, sources
from luthier.data.findings import LEVELS
from luthier.data.settings import share
from luthier.errors import DataError, LuthierError
from luthier.evaluation.statistics import detectable_before
from luthier.models.load import ModelFacts, facts
from luthier.models.location import locate
from luthier.models.tokenizer import load_tokenizer
from luthier.preparation.checks import check_tokens
from luthier.preparation.examples import TOO_LONG
from luthier.preparation.renderer import Renderer
from luthier.preparation.show import spans
from luthier.runs.events import Event, Say, silent
from luthier.verbs import check_report
from luthier.verbs.naming import finder
from luthier.verbs.pairs import refuse_illegal
from luthier.verbs.results import Answered
from luthier.verbs.sources import accounts
from luthier.verbs.stages import open_recipe, prepare_tokens, read_data, room_for_text, task_with
from luthier.verbs.vetting import settled


def check(
    target: str | Path | None = None, overrides: Iterable[str] | Mapping = (), *, show: int = 0, quick: bool = False, against: str | None = None, traffic: str | None = None,
    embed: str | None = None, names: str | None = None, report: Path | None = None, say: Say = silent,
) -> Answered:
    """Read the data of a recipe (or a data file) as training would, and show every row to the doctor; nothing is trained and no weight is loaded.

    `quick` leaves the doctor out, `against` names a benchmark file that training rows should not stand in, `traffic` a file of what is asked in use,
    `embed` a base whose vectors stand in the place of word counts, `names` a model that finds names and places, `report` a folder for check.html,
    check.json and slices.json. Returns `{ok, findings, ledger, mapping, summary, lengths, labels, checks, figures, minimum_detectable, shown, report,
    seconds}`; `ok` is False where a finding is an error.
    """
    began = time.perf_counter()
    recipe, _ = open_recipe(target, overrides, say)
    if (base := base_at_hand(recipe.model)) is not None:
        refuse_illegal(recipe.lesson, recipe.method, base)
        recipe.method.ready()
    with tempfile.TemporaryDirectory(prefix="luthier-check-") as folder:
        data = read_data(recipe, Path(folder) / "data", say, strict=False)
        answer = {
            "ok": data.ok, "findings": list(data.findings), "ledger": {split: account.to_dict() for split, account in data.ledger.items()},
            "mapping": (data.mapping or {}).get("sentence"), "summary": data.summary, "labels": data.labels, "shown": [],
        }
        examined = render = None
        if not quick and any(data.count(split) for split in data.ledger):
            examined = doctor.examine(data, sources=beside(recipe.data), against=against, traffic=traffic, embed=embedder(embed), names=finder(names, say) if names else None, say=say)
            answer["findings"] = [one for one in answer["findings"] if one["code"] not in doctor.MEASURED_ANEW] + [one.to_dict() for one in settled(examined.findings(), recipe.data.accept)]
            answer |= {"checks": len(examined.passed), "figures": examined.figures}
        if data.count("train"):
            told, render = tokens_of(recipe, data, Path(folder) / "tokens", max(show, 2 if report is not None else 0), answer["findings"], say)
            answer |= told
            answer["minimum_detectable"] = detectable_before(data.count("test")) if data.count("test") else None
        answer["findings"].sort(key=lambda finding: LEVELS.index(finding["level"]))
        answer["ok"] = not any(finding["level"] == "error" for finding in answer["findings"])
        answer["seconds"] = round(time.perf_counter() - began, 2)
        if report is not None:
            answer["report"] = check_report.write(report, named(recipe.data), answer, examined, data, render)
        answer["shown"] = answer["shown"][:show]
    return Answered(answer)


def base_at_hand(name: str) -> ModelFacts | None:
    """Facts of the base; None for one that cannot be had, which the part about tokens tells as a finding."""
    try:
        return facts(name)
    except LuthierError:
        return None


def named(data) -> str:
    """What the data is called."""
    return data.train or " + ".join(data.sources.values())


def beside(settings) -> list[sources.Source]:
    """Where the rows of all splits come from, where that can be read twice at no cost."""
    given = [name for name in (settings.train, *settings.sources.values(), *(str(side) for side in (settings.validation, settings.test) if share(side) is None)) if name not in ("", "-")]
    return [source for name in given for source in sources.locate(name).values()]


def embedder(name: str | None):
    """Vectors of texts by a base; None where none is named."""
    if name is None:
        return None
    from luthier.verbs.materials import encoder_of

    return encoder_of(name)[0]


def tokens_of(recipe, data, folder: Path, show: int, findings: list[dict], say: Say) -> tuple[dict, check_report.Render | None]:
    """The part of the check that needs the base's tokenizer and template, and how a row of a split looks as tokens; a base that cannot be had is a finding, not the end."""
    try:
        base, place = facts(recipe.model), locate(recipe.model)
        tokenizer, template, _ = load_tokenizer(place.folder, place.root)
        renderer = Renderer(tokenizer, template, room_for_text(recipe.method, base.context), head=recipe.lesson.head(base.kind), when_long=recipe.data.when_long)
        task = task_with(recipe.lesson, data.labels, data.summary, 0, say)
        tokens = prepare_tokens(data, task, renderer, folder, say)
    except DataError:
        raise
    except LuthierError as error:
        findings.append({**error.to_dict(), "level": "warning", "message": f"tokens were not checked: {error.message}"})
        return {}, None
    findings.extend(finding.to_dict() for finding in check_tokens(tokens.stores, renderer, least=recipe.data.min_learned_share))
    for notice in renderer.notices:
        say(Event("note", notice))
    store = tokens.stores["train"]
    shown = [{"split": "train", "row": int(store.records[index]) + 1, "spans": [list(span) for span in spans(store[index], tokenizer)]} for index in range(min(show, len(store)))]
    over = sum(count for reason, count in tokens.ledger["train"]["left_out"].items() if reason == TOO_LONG) + int((store.cuts > 0).sum())
    return {"ledger": tokens.ledger | accounts(data, tokens), "shown": shown, "lengths": lengths_of(store, renderer.context, over)}, lambda split, index: rendered(tokens.stores, split, index, tokenizer)


def rendered(stores, split: str, index: int, tokenizer) -> list[list[str]]:
    """The first example that was made of a row of a split, as (text, kind) of each token; nothing where the row has none."""
    if split not in stores:
        return []
    store = stores[split]
    at = int(np.searchsorted(store.records, index))
    return [list(span) for span in spans(store[at], tokenizer)] if at < len(store) and store.records[at] == index else []


def lengths_of(store, context: int, over: int) -> dict:
    """Tokens per example: half, most, the longest, their histogram, the context and how many rows do not fit into it."""
    lengths = np.sort(np.asarray(store.lengths))
    if not len(lengths):
        return {}
    at = lambda share: int(lengths[min(len(lengths) - 1, int(share * len(lengths)))])
    counts, edges = np.histogram(lengths, bins=min(40, int(lengths[-1])) or 1, range=(0, int(lengths[-1])))
    return {"p50": at(0.5), "p95": at(0.95), "max": int(lengths[-1]), "context": context, "over": over, "histogram": {"edges": edges.round(1).tolist(), "counts": counts.tolist()}}
