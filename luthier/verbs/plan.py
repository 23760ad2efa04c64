"""`plan`: memory, time and disk for this machine before anything is loaded: fits, tight or no, and the one change that makes it fit."""
import dataclasses
import functools
import shlex
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from luthier import settings
from luthier.evaluation.statistics import detectable_before
from luthier.files import free_bytes, write_file
from luthier.methods.homes import homes
from luthier.models.families import family_of
from luthier.models.load import facts
from luthier.models.location import locate
from luthier.models.machine import machine
from luthier.models.memory import plan_memory
from luthier.models.speed import operations_per_second
from luthier.models.tokenizer import load_tokenizer
from luthier.preparation.renderer import Renderer
from luthier.runs.events import Say, silent
from luthier.runs.folder import runs_root
from luthier.training.quantised import state_bytes
from luthier.verbs.money import job_file, offers, read_providers
from luthier.verbs.pairs import refuse_illegal
from luthier.verbs.resolve import total_steps
from luthier.verbs.results import Answered
from luthier.verbs.stages import DEMONSTRATION, open_recipe, prepare_tokens, read_data, room_for_text, settle, task_with
from luthier.verbs.training import order_of


def plan(target: str | Path | None = None, overrides: Iterable[str] | Mapping = (), *, to: str | None = None, providers: Path | None = None, say: Say = silent) -> Answered:
    """What a training would need. Returns `{model, method, memory, time, disk, resolved, minimum_detectable, money, job, fits, sentence, change}`; bytes and seconds.

    `to` also writes a job file for skypilot, slurm or kubernetes; `providers` is a table of prices instead of the shipped one.
    """
    recipe, _ = open_recipe(target, overrides, say)
    here, base = machine(), facts(recipe.model)
    refuse_illegal(recipe.lesson, recipe.method, base)
    base = dataclasses.replace(base, context=room_for_text(recipe.method, base.context))
    with tempfile.TemporaryDirectory(prefix="luthier-plan-") as folder:
        data = read_data(recipe, Path(folder) / "data", say)
        place = locate(recipe.model)
        tokenizer, template, _ = load_tokenizer(place.folder, place.root)
        renderer = Renderer(tokenizer, template, base.context, head=recipe.lesson.head(base.kind), when_long=recipe.data.when_long)
        tokens = prepare_tokens(data, task_with(recipe.lesson, data.labels, data.summary, 0), renderer, Path(folder) / "tokens", say)
        recipe, reasons = settle(recipe, base, tokens, here, len(data.mixture) or 1)
        order = order_of(tokens.stores["train"], recipe.training, recipe.seed, base.context)
        longest, per_epoch = int(tokens.stores["train"].lengths.max()), tokens.stores["train"].tokens
    expected = forecast(recipe, base, data.labels, order, longest, per_epoch, here)
    memory, work = expected["memory"], expected["work"]
    available = here.accelerator_free if here.accelerator else here.memory_free
    fits = memory.judge(available)
    flat = settings.flatten(settings.to_mapping(recipe))
    table = read_providers(providers)
    money = offers(table, work=work, seconds_here=expected["time"]["seconds"], memory=memory.total, available_here=available)
    return Answered({
        "model": {"name": base.name, "parameters": base.parameters, "kind": base.kind, "context": base.context, "notice": DEMONSTRATION if recipe.model == "spruce" else None},
        "method": {"name": recipe.method.name, "trainable": memory.trainable, "loads_in": recipe.method.loads_in(), "homes": homes(recipe.method, recipe.lesson.head(base.kind), family_of(base.architecture))},
        "memory": {"needed": memory.total, "available": available, "parts": memory.parts},
        "time": {"steps": expected["steps"], **expected["time"]},
        "disk": {"needed": disk_needed(memory.trainable, base.stored_bytes, recipe), "free": free_bytes(runs_root())},
        "resolved": {key: {"value": flat[key], "reason": reason} for key, reason in reasons.items() if key in flat},
        "minimum_detectable": detectable_before(data.count("test")) if data.count("test") else None,
        "money": {"dated": str(table["dated"]), "currency": table["currency"], "offers": money},
        "job": None if to is None else written_job(to, target, recipe, money, table, memory.total),
        "fits": fits, **words(fits, memory.total, available, recipe),
    })


def forecast(recipe, base, labels, order, longest: int, per_epoch: int, here) -> dict:
    """What the stretch of learning will take here: {memory, steps, work, time}. `work` counts multiplications and additions."""
    memory = plan_memory(
        recipe.model, recipe.method, rows=max(1, recipe.training.tokens_per_micro_batch // longest), length=longest, precision=recipe.training.precision,
        labels=max(2, len(labels)), gradient_checkpointing=recipe.training.gradient_checkpointing, device=here.device,
        moments=functools.partial(state_bytes, recipe.training.optimizer),
    )
    per_pass = -(-order.steps_per_epoch // recipe.objective.examples_a_unit)
    steps = total_steps(recipe.training, per_pass)
    tokens = per_epoch * steps / per_pass
    rate = operations_per_second(base.width, bf16=recipe.training.precision == "bf16", device=here.device)
    return {"memory": memory, "steps": steps, "work": tokens * (4 * base.parameters + 2 * memory.trainable), "time": seconds_of(base.parameters, memory.trainable, tokens, rate)}


def written_job(to: str, target, recipe, money: list[dict], table: dict, memory: int) -> dict:
    """A job file for the cheapest machine of others that fits; {to, file, text}."""
    fitting = sorted((offer["price"], number) for number, offer in enumerate(money) if offer["fits"] and offer["provider"] != "owner")
    chosen = table["machines"][fitting[0][1]] if fitting else {}
    hours = money[fitting[0][1]]["seconds"] / 3600 if fitting else max(offer["seconds"] for offer in money) / 3600
    name = f"luthier-{recipe.task.name}".replace("_", "-")
    text = job_file(to, shlex.quote(str(target or "luthier.yaml")), name=name, hours=hours, memory_gib=-(-memory // 2**30) + 2, accelerator=chosen.get("accelerator", ""))
    file = f"{name}.{'sh' if to == 'slurm' else 'yaml'}"
    write_file(Path(file), text)
    return {"to": to, "file": file, "text": text}


def seconds_of(parameters: int, trainable: int, tokens: float, flops: float) -> dict:
    """Training time from 2 operations per weight forward, 2 backward through frozen weights and 2 more where a weight learns; a factor of 2 either way."""
    work = tokens * (4 * parameters + 2 * trainable)
    seconds = work / flops
    return {"seconds": seconds, "low": seconds / 2, "high": seconds * 2}


def disk_needed(trainable: int, stored_bytes: int, recipe) -> int:
    """Bytes of the checkpoints kept (weights and two moments in fp32), the best one and the saved model."""
    return (recipe.training.keep_checkpoints + 2) * 12 * trainable + (stored_bytes if not recipe.method.base_is_frozen else 4 * trainable)


def words(fits: str, needed: int, available: int, recipe) -> dict:
    """The sentence, and the one change that helps most where it does not fit."""
    share = needed / max(1, available)
    sentence = {
        "fits": f"this training needs {share:.0%} of the free memory",
        "tight": f"this training needs {share:.0%} of the free memory; close other programs first",
        "no": f"this training needs {needed / 1e9:.1f} GB and {available / 1e9:.1f} GB are free",
    }[fits]
    if fits == "fits":
        return {"sentence": sentence, "change": None}
    if not recipe.method.base_is_frozen:
        return {"sentence": sentence, "change": "method=lora learns a small part of the weights"}
    if recipe.training.tokens_per_micro_batch > 512:
        return {"sentence": sentence, "change": "training.tokens_per_micro_batch=512 computes in smaller pieces and changes nothing else"}
    return {"sentence": sentence, "change": "training.gradient_checkpointing=true, or a smaller model"}
