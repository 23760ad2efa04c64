"""Plan with money, job files, container files, and what other services leave behind."""
import json
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from luthier import settings
from luthier.errors import DataError, RecipeError
from luthier.verbs.importing import from_openai
from luthier.verbs.money import WRITERS, job_file, offers, own_cost, read_providers
from luthier.verbs.plan import plan
from luthier.verbs.recipe import Recipe

ROOT = Path(__file__).resolve().parents[2]


def test_prices_are_dated_and_worked_out_by_hand():
    table = read_providers()
    assert {machine["provider"] for machine in table["machines"]} == {"owner", "aws", "gcp", "azure"} and table["dated"]
    small = {"electricity_per_kwh": 0.5, "machines": [{"provider": "owner", "name": "mine", "per_hour": 0, "watts": 100, "speed": 2.0}, {"provider": "x", "name": "big", "per_hour": 3.6, "watts": 1000, "tflops": 1, "memory_gib": 1}]}
    mine, big = offers(small, work=1e15, seconds_here=7200, memory=2 << 30, available_here=4 << 30)
    assert mine["seconds"] == 3600 and mine["kwh"] == pytest.approx(0.1) and mine["price"] == pytest.approx(0.05) and mine["fits"]
    assert big["seconds"] == pytest.approx(1e15 / (1e12 * 0.5)) and big["price"] == pytest.approx(2000 / 3600 * 3.6) and not big["fits"]


def test_what_a_training_cost_here_is_worked_out_by_hand():
    small = {"currency": "EUR", "electricity_per_kwh": 0.5, "machines": [{"provider": "owner", "name": "mine", "per_hour": 1.0, "watts": 100}]}
    assert own_cost(small, 3600) == {"energy_kwh": pytest.approx(0.1), "price_eur": pytest.approx(1.05)}
    assert own_cost(small, 3600, 7.2e5) == {"energy_kwh": pytest.approx(0.2), "price_eur": pytest.approx(1.1)}, "a meter that could be read is believed"
    assert own_cost({"machines": [{"provider": "aws"}]}, 1) == {}


def test_every_report_holds_the_forecast_against_what_happened(trained):
    run = Path(trained("chat"))
    known = json.loads((run / "run.json").read_text())
    assert set(known["planned"]) == {"memory_bytes", "training_seconds", "energy_kwh", "price_usd"} <= set(known["measured"])
    assert all(known["planned"][name] > 0 and known["measured"][name] > 0 for name in known["planned"])
    page = (run / "report.html").read_text()
    assert "Planned and real" in page and "price usd" in page and "kWh" in page


@pytest.mark.parametrize("text", ["[]", "machines: []", "machines: [{provider: a, name: b, cost: 1}]\ndated: 2026-01-01", "machines: [{provider: a, name: b, per_hour: -1}]\ndated: 2026-01-01",
                                  "machines: [{provider: a, name: b, per_hour: free}]\ndated: 2026-01-01", "machines: [{provider: a, name: b, per_hour: 1}]", "a: b: c"])
def test_a_broken_table_is_told(tmp_path, text):
    path = tmp_path / "prices.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError):
        read_providers(path)


def test_plan_tells_money_and_writes_a_job(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [{"messages": [{"role": "user", "content": f"where is {number}?"}, {"role": "assistant", "content": "here"}]} for number in range(60)]
    Path("chat.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = plan("chat.jsonl", {"data.min_test_rows": 1}, to="slurm").to_dict()
    money = found["money"]
    assert [offer["provider"] for offer in money["offers"]][:2] == ["owner", "aws"] and all(offer["price"] >= 0 and offer["seconds"] > 0 for offer in money["offers"])
    assert money["offers"][0]["seconds"] == pytest.approx(found["time"]["seconds"])
    assert Path(found["job"]["file"]).read_text() == found["job"]["text"] and "chat.jsonl" in found["job"]["text"]


@pytest.mark.parametrize("to", WRITERS)
def test_job_files_are_what_their_schedulers_read(to, tmp_path):
    text = job_file(to, "luthier.yaml", name="Shop & Co", hours=3.2, memory_gib=20, accelerator="L4:1")
    assert "luthier train luthier.yaml" in text and "--resume" in text
    if to == "slurm":
        path = tmp_path / "job.sh"
        path.write_text(text)
        assert subprocess.run(["bash", "-n", str(path)], check=False).returncode == 0
        assert "#SBATCH --gres=gpu:l4:1" in text and "#SBATCH --mem=20G" in text and "#SBATCH --job-name=shop-co" in text
    else:
        found = yaml.safe_load(text)
        if to == "skypilot":
            assert found["resources"] == {"memory": "20+", "cpus": "4+", "disk_size": 100, "accelerators": "L4:1"} and found["name"] == "shop-co"
        else:
            container = found["spec"]["template"]["spec"]["containers"][0]
            assert found["kind"] == "Job" and container["resources"]["limits"]["nvidia.com/gpu"] == "1" and container["securityContext"]["readOnlyRootFilesystem"]


def test_an_unknown_scheduler_is_told():
    with pytest.raises(RecipeError, match="skypilot, slurm, kubernetes"):
        job_file("cron", "x", name="x", hours=1, memory_gib=1, accelerator="")


def test_the_container_runs_as_nobody_on_a_root_it_cannot_write():
    text = (ROOT / "Containerfile").read_text()
    assert text.count("FROM ") == 2 and "USER 10001:10001" in text and "HEALTHCHECK" in text and "STOPSIGNAL SIGTERM" in text
    last = text.rsplit("FROM ", 1)[1]
    assert "pip install" not in last and "COPY --from=build" in last
    copied = [line.split()[1:-1] for line in text.splitlines() if line.startswith("COPY") and "--from" not in line]
    assert all((ROOT / name).exists() for names in copied for name in names)
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]["include"]
    assert {name.split("/")[0] for name in wheel} <= {Path(name).name for names in copied for name in names}, "what the package is made of is in the image"
    ignored = (ROOT / ".containerignore").read_text().split()
    assert ignored[0] == "*" and all(f"!{Path(name).name}" in ignored for names in copied for name in names)
    service = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["luthier"]
    assert service["read_only"] and service["cap_drop"] == ["ALL"] and service["user"] == "10001:10001" and service["ports"] == ["127.0.0.1:8000:8000"]
    drain = float(service["command"][service["command"].index("--drain") + 1])
    assert int(service["stop_grace_period"].rstrip("s")) > drain and "healthcheck" in service


def engine() -> str | None:
    """A container engine that works here."""
    for name in ("podman", "docker"):
        if shutil.which(name) and subprocess.run([name, "info"], capture_output=True, check=False, timeout=30).returncode == 0:
            return name
    return None


@pytest.mark.nightly
def test_the_container_builds():
    """Needs an engine and a network; never run where this was written."""
    if (found := engine()) is None:
        pytest.skip("no container engine works here")
    assert subprocess.run([found, "build", "-f", str(ROOT / "Containerfile"), str(ROOT)], check=False).returncode == 0


# ---- import openai ------------------------------------------------------------------------------
CHAT = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
JOB = {"object": "fine_tuning.job", "id": "ftjob-1", "model": "gpt-4o-mini", "seed": 7, "status": "succeeded", "training_file": "file-1",
       "method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 3, "batch_size": "auto", "learning_rate_multiplier": 2.0}}}}


def test_a_job_becomes_a_recipe(tmp_path):
    (tmp_path / "train.jsonl").write_text(json.dumps(CHAT) + "\n")
    (tmp_path / "job.json").write_text(json.dumps(JOB))
    found = from_openai(tmp_path / "train.jsonl", job=tmp_path / "job.json", out=tmp_path / "out.yaml").to_dict()
    recipe = settings.build(Recipe, settings.parse_yaml((tmp_path / "out.yaml").read_text()))
    assert recipe.training.epochs == 3 and recipe.training.batch_size == "auto" and recipe.seed == 7 and recipe.task.name == "chat" and recipe.data.train.endswith("train.jsonl")
    assert set(found["left"]) == {"learning_rate_multiplier", "model"}
    with pytest.raises(RecipeError, match="exists"):
        from_openai(tmp_path / "train.jsonl", out=tmp_path / "out.yaml")


@pytest.mark.parametrize("change", [{"method": {"type": "reinforcement"}}, {"priority": 1}, {"object": "batch"}])
def test_a_job_that_cannot_be_is_refused(tmp_path, change):
    (tmp_path / "train.jsonl").write_text(json.dumps(CHAT) + "\n")
    (tmp_path / "job.json").write_text(json.dumps({**JOB, **change}))
    with pytest.raises(RecipeError):
        from_openai(tmp_path / "train.jsonl", job=tmp_path / "job.json", out=tmp_path / "out.yaml")


def test_rows_of_another_kind_are_told(tmp_path):
    (tmp_path / "train.jsonl").write_text('{"prompt": "a", "completion": "b"}\n')
    with pytest.raises(DataError):
        from_openai(tmp_path / "train.jsonl", out=tmp_path / "out.yaml")
