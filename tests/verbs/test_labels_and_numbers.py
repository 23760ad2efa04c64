"""Several labels, pairs of texts, uneven labels, calibrated confidence and numbers, each from a file to an answer with a tiny encoder."""
import json

import pytest
import torch

import luthier
from luthier.errors import CheckpointError
from luthier.files import read_json, seal
from luthier.runs import folder as runs
from luthier.verbs.export import export
from luthier.verbs.serving import open_models
from luthier.verbs.verify import verify

QUICK = {"training.threads": 1, "training.precision": "fp32", "evaluation.resamples": 200, "training.validation_rows": 8, "method": "full", "training.learning_rate": 5e-3, "training.head_learning_rate": 5e-3}
COLOURS = ["red", "blue", "green"]


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    torch.set_num_threads(1)
    monkeypatch.setattr("luthier.verbs.work.fresh_check", lambda *_, **__: {"ok": True, "sentence": "not checked here"})


def written(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def values_of(result):
    return {row["name"]: row["value"] for row in result.verdict["contestants"]}


def test_several_labels(tiny_bert, here):
    rows = [{"text": f"{' '.join(colours)} things, number {number}", "labels": colours} for number in range(40) for colours in (["red"], ["blue", "red"], [], ["green"])]
    written(here / "many.jsonl", rows)
    made = luthier.init("many.jsonl").to_dict()
    assert made["task"] == "classification" and "many: true" in (here / "luthier.yaml").read_text()
    result = luthier.train(None, {"model": str(tiny_bert), "training.epochs": 10, **QUICK}, name="many")
    values = values_of(result)
    assert set(values) == {"majority", "nearest", "tfidf", "tuned"} and values["tuned"] > 0.8 > values["majority"]
    found = luthier.predict("many", "blue red things, number 99").to_dict()["answers"][0]
    assert found["answer"] == "blue | red" and [each["label"] for each in found["labels"]] == ["blue", "red"]
    row = json.loads((here / "runs" / "many" / "evaluation" / "tuned.jsonl").read_text().splitlines()[0])
    assert isinstance(row["wanted_labels"], list) and "Label by label" in (here / "runs" / "many" / "report.html").read_text()


def test_pairs_of_texts(tiny_bert, here):
    rows = [{"sentence1": "a thing", "sentence2": f"{two} things, {number} {one}", "label": two} for number in range(14) for one in COLOURS for two in COLOURS]
    written(here / "pairs.jsonl", rows)
    result = luthier.train("pairs.jsonl", {"model": str(tiny_bert), "training.epochs": 20, **QUICK, "training.learning_rate": 1e-3, "training.early_stopping": 0, "evaluation.contestants": ["majority", "tuned"]}, name="pairs")
    assert values_of(result)["tuned"] > 0.75
    said = [luthier.predict("pairs", f"a thing\t{colour} things, 99 red").to_dict()["answers"][0]["label"] for colour in ("red", "blue")]
    assert said == ["red", "blue"], "the second text is read"


def test_uneven_labels_are_weighed_and_said(tiny_bert, base, here):
    rows = [{"text": f"{'rare' if number % 12 == 0 else 'plain'} text {number}", "label": "rare" if number % 12 == 0 else "plain"} for number in range(240)]
    written(here / "uneven.jsonl", rows)
    notes = []
    say = lambda event: notes.append(event.message) if event.kind == "note" else None
    luthier.train("uneven.jsonl", {"model": str(tiny_bert), "training.max_steps": 2, **QUICK}, name="uneven", say=say)
    assert sum("weighed" in note and "`rare`" in note for note in notes) == 1, "announced, once"
    luthier.train("uneven.jsonl", {"model": str(tiny_bert), "training.max_steps": 2, "task.class_weights": "none", "task.name": "classification", **QUICK}, name="plain", say=notes.append)
    learned = [[json.loads(line)["learned"] for line in (here / "runs" / name / "metrics.jsonl").read_text().splitlines() if '"train"' in line] for name in ("uneven", "plain")]
    assert learned[1] == [8.0, 8.0] and learned[0] != learned[1], "the weights reach the loss"
    shown = luthier.check("uneven.jsonl", {"model": str(base)}).to_dict()
    assert shown["ok"]


def test_confidence_is_calibrated_on_validation(tiny_bert, here):
    rows = [{"text": f"{colour} thing {number}", "label": colour if number % 3 else COLOURS[(number // 3) % 3]} for number in range(100) for colour in COLOURS]
    written(here / "noisy.jsonl", rows)
    result = luthier.train("noisy.jsonl", {"model": str(tiny_bert), "training.epochs": 12, "training.early_stopping": 0, "data.validation": 0.2, **QUICK}, name="noisy")
    run = here / "runs" / "noisy"
    fitted = read_json(run / "run.json")["calibration"]
    assert fitted["temperature"] != 1 and fitted["ece_after"] <= fitted["ece_before"] + 0.02
    figures = read_json(run / "evaluation" / "results.json")["contestants"]["tuned"]["metrics"]
    assert "ece" in figures and result.verdict["metric"] == "macro_f1"
    page = (run / "report.html").read_text()
    assert "Sure and right" in page and "temperature" in page
    assert f"divide the logits by {fitted['temperature']:.4g}" in (run / "model" / "README.md").read_text()
    assert_measured_again_it_is_the_same("noisy", figures, "ece")
    assert_the_model_keeps_it(run, fitted)


def assert_measured_again_it_is_the_same(name, figures, metric):
    """`eval` asks the tuned model with what was fitted for it, as `train` did."""
    luthier.evaluate(name)
    again = read_json(runs.find(name).path / "evaluation" / "results.json")["contestants"]["tuned"]["metrics"]
    assert again[metric]["value"] == pytest.approx(figures[metric]["value"], abs=1e-6)


def assert_the_model_keeps_it(run, fitted):
    """What was fitted lies in the model's folder: it is verified with it, found by every loader, and goes with every copy."""
    sure = lambda: luthier.predict("noisy", "red thing 301").to_dict()["answers"][0]["confidence"]
    kept, before, facts = run / "model" / "calibration.json", sure(), read_json(run / "run.json")
    assert read_json(kept) == fitted
    del facts["calibration"]
    (run / "run.json").write_text(json.dumps(facts))
    assert sure() == before, "a run whose run.json says nothing of it"
    assert open_models(["noisy"], max_rows=2)[1][0].task.temperature == fitted["temperature"]
    copy = run / "export" / "merged-f32"
    export("noisy", "merged")
    assert read_json(copy / "calibration.json") == fitted and verify(copy).to_dict()["ok"]
    manifest = read_json(run / "model" / "manifest.json")
    kept.write_text(json.dumps({**fitted, "temperature": 20.0}))
    with pytest.raises(CheckpointError, match="calibration.json"):
        sure()
    seal(run / "model", {name: value for name, value in manifest.items() if name != "files"})
    assert sure() < before, "the temperature is used"
    kept.unlink()
    (run / "run.json").write_text(json.dumps({**facts, "calibration": fitted}))
    seal(run / "model", {name: value for name, value in manifest.items() if name != "files"})
    assert sure() == before, "a run from before the file"


@pytest.mark.parametrize("name", ["bert", "llama"])
def test_numbers(tiny_model, here, name):
    rows = [{"text": f"{'very ' * (number % 5)}good, {number}", "score": 100.0 + 10 * (number % 5)} for number in range(240)]
    written(here / "stars.jsonl", rows)
    words = {"model": str(tiny_model(name)), "task.name": "regression", "training.epochs": 8, "data.validation": 0.2, **QUICK}
    result = luthier.train("stars.jsonl", words, name="stars")
    values = values_of(result)
    assert set(values) == {"median", "nearest", "ridge", "tuned"} and result.verdict["metric"] == "mae" and not result.verdict["higher_is_better"]
    assert values["tuned"] < 0.6 * values["median"]
    figures = read_json(here / "runs" / "stars" / "evaluation" / "results.json")["contestants"]["tuned"]["metrics"]
    assert 0.7 <= figures["coverage"]["value"] <= 1 and figures["spearman"]["value"] > 0.7
    assert_measured_again_it_is_the_same("stars", figures, "coverage")
    found = luthier.predict("stars", "very very good, 999").to_dict()["answers"][0]
    assert found["low"] < found["value"] < found["high"] and 105 < found["value"] < 145
    network = __import__("transformers").AutoModelForSequenceClassification.from_pretrained(here / "runs" / "stars" / "model")
    assert network.config.num_labels == 1 and network.config.problem_type == "regression"
    assert "Number by number" in (here / "runs" / "stars" / "report.html").read_text()


def test_numbers_over_several_seeds_have_their_intervals_too(tiny_bert, here):
    """Each training fits its own interval, so that the figures of the seeds are of one kind."""
    rows = [{"text": f"{'very ' * (number % 5)}good, {number}", "score": 10 * (number % 5)} for number in range(200)]
    written(here / "stars.jsonl", rows)
    words = {"model": str(tiny_bert), "task.name": "regression", "training.max_steps": 12, "data.validation": 0.2, **QUICK, "evaluation.seeds": 2, "evaluation.contestants": ["median", "tuned"]}
    luthier.train("stars.jsonl", words, name="seeds")
    run = here / "runs" / "seeds"
    tuned = read_json(run / "evaluation" / "results.json")["contestants"]["tuned"]
    assert 0 < tuned["metrics"]["coverage"]["value"] <= 1
    assert len(tuned["seeds"]) == 2 and all("coverage" in each for each in tuned["seeds"])
    fitted = [read_json(place / "run.json")["calibration"]["half_width"] for place in (run, run / "seeds" / "18")]
    assert len(set(fitted)) == 2


def test_a_new_output_layer_has_a_rate_of_its_own(tiny_bert, here):
    """One step at a rate that hardly moves the adapters: the new layer moves by its own rate, which `auto` sets and a recipe may lower."""
    from safetensors.torch import load_file

    from luthier.models.load import load

    rows = [{"text": f"{colour} things, number {number}", "label": colour} for number in range(40) for colour in COLOURS]
    written(here / "one.jsonl", rows)
    start = load(str(tiny_bert), head="sequence_class", labels=COLOURS, seed=17).network.classifier.weight
    moved = {}
    for name, more in (("auto", {}), ("low", {"training.head_learning_rate": 1e-5})):
        words = {"model": str(tiny_bert), **QUICK, "method": "lora", "training.learning_rate": 1e-5, "training.head_learning_rate": "auto", "training.head_start": "random", "training.max_steps": 1, "training.warmup": 0, "training.schedule": "constant", "evaluation.contestants": ["tuned"]}
        luthier.train("one.jsonl", {**words, **more}, name=name)
        saved = {key: tensor for path in (here / "runs" / name / "model").glob("*.safetensors") for key, tensor in load_file(path).items()}
        moved[name] = next((tensor - start).abs().max().item() for key, tensor in saved.items() if key.endswith("classifier.weight"))
    assert moved == pytest.approx({"auto": 1e-2, "low": 1e-5}, rel=0.05)
    assert read_json(here / "runs" / "auto" / "run.json")["resolved"]["training.head_learning_rate"]["value"] == 1e-2


def test_a_new_output_layer_starts_at_the_probe_of_its_base(tiny_bert, here):
    """Before the first step it already knows what the frozen base knows; stopped and resumed, a run ends with the same bits."""
    from luthier.errors import Stopped

    rows = [{"text": f"{colour} things, number {number}", "label": colour} for number in range(40) for colour in COLOURS]
    written(here / "one.jsonl", rows)
    words = {"model": str(tiny_bert), **QUICK, "method": "lora", "training.max_steps": 4, "training.evaluate_every": 2, "evaluation.contestants": ["tuned"], "training.l2_to_start": 0.01}
    losses = {}
    for start in ("probe", "random"):
        luthier.train("one.jsonl", {**words, "training.head_start": start}, name=start)
        losses[start] = next(json.loads(line)["loss"] for line in (here / "runs" / start / "metrics.jsonl").read_text().splitlines())
    assert losses["probe"] < 0.5 < 1.0 < losses["random"]

    def stop(event):
        if event.kind == "step" and event.data.get("step") == 2:
            raise Stopped("here", signal_number=15)

    with pytest.raises(Stopped):
        luthier.train("one.jsonl", words, name="cut", say=stop)
    luthier.train(resume="cut")
    whole, cut = ((here / "runs" / name / "model" / "adapter_model.safetensors").read_bytes() for name in ("probe", "cut"))
    assert whole == cut


@pytest.mark.parametrize("width, new, expected", [(32, True, 1e-2), (384, True, 1e-2), (4000, True, 1e-3), (100_000, True, 0.0), (32, False, 0.0)])
def test_the_wider_the_base_the_smaller_the_steps_of_its_new_layer(width, new, expected):
    """0 is one rate for all: what nothing asks for is no copy of the learning rate, which would have to follow it."""
    from luthier.verbs.resolve import Circumstances, head_rate

    facts = Circumstances(rows=100, mean_tokens=10.0, target_tokens=0, parameters=10**6, context=512, bf16=False, threads=1, accelerator=False, width=width, new_head=new)
    assert head_rate(5e-4, facts)[0] == pytest.approx(expected)
