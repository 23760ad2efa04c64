"""What a training costs on machines of one's own and of others: time, energy and price from an editable, dated table; and the files that start it there."""
import re
from pathlib import Path

import yaml

from luthier.errors import DiskError, RecipeError
from luthier.models.speed import REACHED

SHIPPED = Path(__file__).with_name("providers.yaml")
FIELDS = {"provider", "name", "per_hour", "watts", "tflops", "speed", "memory_gib", "accelerator"}
NUMBERS = ("per_hour", "watts", "tflops", "speed", "memory_gib")


def read_providers(path: Path | None = None) -> dict:
    """The table: {dated, currency, electricity_per_kwh, machines}. RecipeError R185 where a field is unknown or no amount."""
    path = Path(path or SHIPPED)
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DiskError(f"the table of providers cannot be read: {error.strerror}", code="F101", file=str(path)) from error
    except yaml.YAMLError as error:
        raise RecipeError(f"{path} is not YAML: {str(error).splitlines()[0]}", code="R107", file=str(path)) from None
    machines = found.get("machines") if isinstance(found, dict) else None
    wrong = "it has no machines" if not isinstance(machines, list) or not machines else ""
    for machine in machines or []:
        unknown = sorted(set(machine) - FIELDS) if isinstance(machine, dict) else ["a machine that is no mapping"]
        bad = [name for name in NUMBERS if name in machine and (isinstance(machine[name], bool) or not isinstance(machine[name], int | float) or machine[name] < 0)] if not unknown else []
        wrong = wrong or (f"{unknown[0]} is not a field of a machine" if unknown else f"{bad[0]} of {machine.get('name')} is no amount" if bad else "")
    if not wrong and not re.fullmatch(r"\d{4}-\d\d-\d\d", str(found.get("dated", ""))):
        wrong = "it does not say when it was written (dated: 2026-11-25)"
    if wrong:
        raise RecipeError(f"{path} is no table of providers: {wrong}", code="R185", file=str(path), hint="copy luthier/verbs/providers.yaml and change its numbers")
    return found


def offers(table: dict, *, work: float, seconds_here: float, memory: int, available_here: int) -> list[dict]:
    """Time, energy and price of the training on each machine: {provider, machine, seconds, kwh, price, fits}. `work` counts multiplications and additions."""
    found = []
    for machine in table["machines"]:
        own = "tflops" not in machine
        seconds = seconds_here / machine.get("speed", 1.0) if own else work / (machine["tflops"] * 1e12 * REACHED)
        kwh = machine.get("watts", 0) * seconds / 3.6e6
        room = machine["memory_gib"] * 2**30 if machine.get("memory_gib") else available_here
        price = seconds / 3600 * machine["per_hour"] + (kwh * table.get("electricity_per_kwh", 0.0) if machine["provider"] == "owner" else 0.0)
        found.append({"provider": machine["provider"], "machine": machine["name"], "seconds": seconds, "kwh": kwh, "price": price, "fits": memory <= room})
    return found


def own_cost(table: dict, seconds: float, joules: float | None = None) -> dict:
    """Energy and price of so many seconds on the owner's machine, by its meter where one could be read, else by the table's watts: {energy_kwh, price_...}; empty where the table has no such machine."""
    machine = next((machine for machine in table["machines"] if machine["provider"] == "owner"), None)
    if machine is None:
        return {}
    kwh = (machine.get("watts", 0) * seconds if joules is None else joules) / 3.6e6
    return {"energy_kwh": kwh, f"price_{table.get('currency', 'USD').lower()}": seconds / 3600 * machine.get("per_hour", 0.0) + kwh * table.get("electricity_per_kwh", 0.0)}


# ---- job files ----------------------------------------------------------------------------------
def job_file(to: str, recipe: str, *, name: str, hours: float, memory_gib: int, accelerator: str) -> str:
    """A file that starts the training elsewhere. RecipeError for a scheduler that is not known."""
    if to not in WRITERS:
        raise RecipeError(f"there are no job files for {to!r}; there are: {', '.join(WRITERS)}", code="R142", hint="for example `luthier plan --to slurm`")
    return WRITERS[to](recipe, re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-")[:50] or "luthier", max(1, round(hours + 0.5)), max(4, memory_gib), accelerator)


def skypilot(recipe: str, name: str, hours: int, memory_gib: int, accelerator: str) -> str:
    resources: dict = {"memory": f"{memory_gib}+", "cpus": "4+", "disk_size": 100}
    if accelerator:
        resources["accelerators"] = accelerator
    task = {
        "name": name, "resources": resources, "workdir": ".", "setup": "pip install -c constraints.txt .",
        "run": f"luthier train --resume || luthier train {recipe}", "file_mounts": {"/runs": {"name": f"{name}-runs", "mode": "MOUNT"}}, "envs": {"LUTHIER_RUNS": "/runs"},
    }
    return f"# sky jobs launch {name}.yaml   (about {hours} h)\n" + yaml.safe_dump(task, sort_keys=False)


def slurm(recipe: str, name: str, hours: int, memory_gib: int, accelerator: str) -> str:
    lines = ["#!/bin/bash", f"#SBATCH --job-name={name}", f"#SBATCH --time={2 * hours}:00:00", f"#SBATCH --mem={memory_gib}G", "#SBATCH --cpus-per-task=4", "#SBATCH --signal=B:TERM@120", "#SBATCH --requeue"]
    if accelerator:
        kind, _, count = accelerator.partition(":")
        lines.append(f"#SBATCH --gres=gpu:{kind.lower()}:{count or 1}")
    lines += ["set -euo pipefail", 'child=0', 'trap \'kill -TERM "$child"; wait "$child"\' TERM', f"(luthier train --resume || luthier train {recipe}) &", "child=$!", 'wait "$child"']
    return "\n".join(lines) + "\n"


def kubernetes(recipe: str, name: str, hours: int, memory_gib: int, accelerator: str) -> str:
    limits: dict = {"memory": f"{memory_gib}Gi", "cpu": "4"}
    if accelerator:
        limits["nvidia.com/gpu"] = accelerator.partition(":")[2] or "1"
    container = {
        "name": "luthier", "image": "luthier:0.1.0", "command": ["sh", "-c", f"luthier train --resume || luthier train {recipe}"], "env": [{"name": "LUTHIER_RUNS", "value": "/runs"}],
        "resources": {"limits": limits, "requests": {"memory": f"{memory_gib}Gi", "cpu": "2"}}, "volumeMounts": [{"name": "runs", "mountPath": "/runs"}, {"name": "tmp", "mountPath": "/tmp"}],
        "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    volumes = [{"name": "runs", "persistentVolumeClaim": {"claimName": "luthier-runs"}}, {"name": "tmp", "emptyDir": {}}]
    pod = {"restartPolicy": "OnFailure", "terminationGracePeriodSeconds": 180, "containers": [container], "volumes": volumes}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {"backoffLimit": 20, "activeDeadlineSeconds": 2 * hours * 3600, "template": {"spec": pod}}}
    return f"# kubectl apply -f {name}.yaml   (about {hours} h)\n" + yaml.safe_dump(job, sort_keys=False)


WRITERS = {"skypilot": skypilot, "slurm": slurm, "kubernetes": kubernetes}
