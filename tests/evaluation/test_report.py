"""The report says what the folder says, in the same words twice, whatever is missing from the folder."""
import json
import re
import shutil
from html.parser import HTMLParser
from types import SimpleNamespace

import pytest
import yaml

from luthier.evaluation.report import card, page, render, write_card, write_report
from luthier.evaluation.report.choice import crossed, free_place, frontier
from luthier.evaluation.report.svg import tick_words, ticks
from luthier.files import staged_folder, verify, write_json

LARGEST = 2_000_000


class Words(HTMLParser):
    """The text of a page, and its elements."""

    def __init__(self, text):
        super().__init__()
        self.words, self.elements, self.hidden = [], [], 0
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self.hidden += tag in ("style", "svg")

    def handle_endtag(self, tag):
        self.hidden -= tag in ("style", "svg")

    def handle_data(self, data):
        if not self.hidden:
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def test_the_parts_come_in_order(label_run):
    page_text, markdown = render(label_run)
    anchors = re.findall(r'<section id="(\w+)"', page_text)
    assert anchors == ["verdict", "examples", "learning", "task", "data", "alerts", "cost", "loading", "again", "limits", "practices"]
    heads = re.findall(r"^## (.*)$", markdown, re.M)
    assert heads == re.findall(r'<section id="\w+"><h2>(.*?)</h2>', page_text)


def test_it_says_what_the_folder_says(label_run):
    words = Words(render(label_run)[0]).text
    verdict = json.loads((label_run / "verdict.json").read_text())
    for sentence in verdict["sentence"].split(". "):
        assert sentence.rstrip(".") in words
    for expected in (
        "lowest at step 468", "overfitting since step 468", "1.980 before training", "left out: exact duplicate 139", "T201", "212 near-duplicate rows",
        "4 min 09 s", "1,060,020", "not readable on this machine", "luthier train tickets.csv method.rank=16", "logits equal to 2e-7", "torch 2.13.0",
        "3.10 GB 2.96 GB", "learning_rate: 0.0002", "apache-2.0", "Most frequent mistakes", "The 5 worst answers of tuned", "8 rows spread over the test set",
    ):  # fmt: skip
        assert expected in words, expected
    assert words.count("✗ wrong") >= 5


def test_both_forms_have_the_same_words(label_run, chat_run):
    for run in (label_run, chat_run):
        page_text, markdown = render(run)
        words = re.sub(r"\W", "", Words(page_text).text)
        for line in markdown.splitlines():
            plain = re.sub(r"\\(.)", r"\1", line).replace("&lt;", "<").replace("&gt;", ">").replace("&#58;", ":").replace("&#64;", "@").replace("&amp;", "&")
            if not line.startswith(("|", "- ", "  -", ">", "`", "#")) and len(plain) > 40:
                assert re.sub(r"\W", "", plain) in words, line


def test_machine_paths_stay_at_home(label_run):
    for text in (*render(label_run), card(label_run)):
        assert "/home/somebody" not in text


def test_every_picture_has_a_sentence_numbers_and_two_sizes(label_run, chat_run):
    for run in (label_run, chat_run):
        figures = re.findall(r"<figure>.*?</figure>", render(run)[0], re.S)
        assert len(figures) >= 6
        for figure in figures:
            assert len(re.findall(r'<svg role="img" aria-label="[^"]{20,}"', figure)) == 2
            assert re.search(r'<p class="reading">[^<]{30,}</p>', figure)
            assert figure.count("\n") >= 1 and "The numbers (CSV)" in figure
            width = float(re.search(r'class="narrow"><svg[^>]*viewBox="0 0 ([\d.]+)', figure)[1])
            assert width <= 320


def test_pictures_stay_inside_their_frames(label_run, chat_run):
    for run in (label_run, chat_run):
        for width, height, body in re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"[^>]*>(.*?)</svg>', render(run)[0], re.S):
            for x, y in re.findall(r"(-?[\d.]+),(-?[\d.]+)", " ".join(re.findall(r'points="([^"]*)"', body))):
                assert -10 <= float(x) <= float(width) + 10 and -10 <= float(y) <= float(height) + 10


def test_the_chat_panel_compares_lengths(chat_run):
    page_text, _ = render(chat_run)
    assert "Length and score of each answer" in page_text and "words, " in page_text
    assert "<mark>" in page_text and "evaluated 3 times" in page_text


def test_underlined_words_are_those_of_the_target():
    assert page.agreement("The bow costs ninety euro.", "the bow costs forty euro") == "<mark>The</mark> <mark>bow</mark> <mark>costs</mark> ninety <mark>euro.</mark>"


def test_a_failed_run_leaves_a_report(failed_run):
    for text in render(failed_run):
        plain = re.sub(r"[\\*]", "", text)
        assert "This run failed during the phase" in plain and "3 steps in a row were not finite" in plain and "T101" in plain
        assert "checkpoint-120" in plain and "luthier train --resume brisk-elm" in plain and "1 step was not finite" in plain
        assert "Verdict" not in plain and "model/ loads" not in plain


def test_a_run_that_failed_before_its_first_checkpoint(failed_run):
    shutil.rmtree(failed_run / "checkpoint-120")
    page_text, _ = render(failed_run)
    assert "No checkpoint was written" in page_text and "--resume" not in page_text


PARTS = ["run.json", "verdict.json", "metrics.jsonl", "events.jsonl", "ledger.json", "config.resolved.yaml", "evaluation/results.json", "evaluation/tuned.jsonl", "evaluation/base.jsonl", "data/check.json"]


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("damage", ["gone", "torn", "[]", "null", '{"sentence": 3, "contestants": {"a": []}, "difference": "x", "findings": [1], "status": [], "metrics": 4}'])
def test_any_part_may_be_missing_or_damaged(label_run, tmp_path, part, damage):
    folder = tmp_path / "run"
    shutil.copytree(label_run, folder)
    path = folder / part
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2] + b'\xff{"' if damage == "torn" else damage.encode())
    page_text, markdown = render(folder)
    assert "<h2>Limits and licence</h2>" in page_text and markdown.startswith("# ")
    assert yaml.safe_load(card(folder).split("---")[1])
    if damage == "torn" and part.endswith("json"):
        assert "is damaged" in page_text


def test_an_empty_folder_and_wild_types(tmp_path):
    assert "no readable run.json" in render(tmp_path)[0]
    wild = [None, True, -1, 1e400, "word", [], {}, [[]], {"name": {}}]
    for value in wild:
        keys = ["name", "status", "phase", "created", "seconds", "error", "model", "data", "cost", "planned", "versions", "machine", "resolved", "loads_in", "reload", "command"]
        (tmp_path / "run.json").write_text(json.dumps(dict.fromkeys(keys, value)))
        (tmp_path / "verdict.json").write_text(json.dumps(dict.fromkeys(["metric", "n", "difference", "paired_test", "contestants", "sentence", "against", "minimum_detectable"], value)))
        (tmp_path / "ledger.json").write_text(json.dumps({"train": value, "test": {"rows_in": value, "left_out": value, "tokens": value}}))
        (tmp_path / "metrics.jsonl").write_text("\n".join(json.dumps({"kind": kind, "step": value, "loss": value, "metrics": value, "epoch": value}) for kind in ("train", "validation")))
        (tmp_path / "events.jsonl").write_text(json.dumps({"kind": "warning", "message": value, "data": value}))
        (tmp_path / "evaluation").mkdir(exist_ok=True)
        (tmp_path / "evaluation" / "tuned.jsonl").write_text(json.dumps(dict.fromkeys(["row", "question", "target", "answer", "score", "nll", "confidence", "file", "line"], value)) + "\n")
        render(tmp_path)
        card(tmp_path)


def test_a_large_run_stays_small_and_quick(label_run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(label_run, folder)
    rows = [{"row": n + 1, "question": "where is my order? " * 60, "target": f"a label with a long name {n % 77}", "answer": f"a label with a long name {(n * 7) % 77 if n % 5 == 0 else n % 77}", "score": float(n % 5 != 0)} for n in range(10_000)]
    for name in ("tuned", "base"):
        (folder / "evaluation" / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    steps = [{"kind": "train", "step": n, "loss": 3.0, "learning_rate": 1e-4, "gradient_norm": 1.0, "epoch": n / 1000} for n in range(1, 60_001)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(step) + "\n" for step in steps))
    page_text, markdown = render(folder)
    assert len(page_text.encode()) < LARGEST and len(markdown.encode()) < LARGEST
    assert "over 60,000 steps" in page_text and "of 77 labels with most mistakes" in page_text


def test_the_page_needs_nothing_from_outside(label_run, chat_run, failed_run):
    for run in (label_run, chat_run, failed_run):
        page_text, _ = render(run)
        assert len(page_text.encode()) < LARGEST
        elements = Words(page_text).elements
        assert not [tag for tag, _ in elements if tag in ("script", "img", "link", "iframe", "object", "embed", "form", "base", "image", "use")]
        assert all(found.get("href", "#").startswith("#") and "src" not in found for _, found in elements)
        assert "url(" not in page_text and "@import" not in page_text
        assert ("meta", {"http-equiv": "Content-Security-Policy", "content": page.POLICY}) in elements


def test_writing_report_and_card(label_run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(label_run, folder)
    with staged_folder(folder / "model") as staging:
        (staging / "adapter_model.safetensors").write_bytes(b"weights")
    path = write_report(folder)
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>") and (folder / "report.md").exists()
    write_card(folder)
    assert "README.md" in verify(folder / "model")["files"]


# ---- card ---------------------------------------------------------------------------------------
def test_the_card_has_the_fields_that_hubs_read(label_run):
    text = card(label_run)
    front = yaml.safe_load(text.split("---")[1])
    assert front["language"] == ["en"] and front["license"] == "apache-2.0" and front["library_name"] == "peft"
    assert front["pipeline_tag"] == "text-generation" and "luthier" in front["tags"] and "f1" in front["metrics"]
    result = front["model-index"][0]["results"][0]
    measured = json.loads((label_run / "evaluation" / "results.json").read_text())["contestants"]["tuned"]["metrics"]["macro_f1"]["value"]
    assert {"type": "f1", "name": "macro-F1", "value": round(measured, 6)} in result["metrics"]
    assert result["dataset"] == {"name": "tickets.csv", "type": "local", "split": "test"}
    assert "base_model" not in front and "datasets" not in front
    assert "AutoPeftModelForCausalLM" in text and "| Training Loss | Epoch | Step | Validation Loss |" in text and "Tuning helped" in text


def test_hub_ids_are_fields_and_paths_are_not(label_run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(label_run, folder)
    known = json.loads((folder / "run.json").read_text())
    for model, file, expected in (("Qwen/Qwen3-0.6B", "PolyAI/banking77", True), ("./models/mine", "data/tickets.csv", False), ("../base", "/data/x.csv", False)):
        write_json(folder / "run.json", known | {"model": known["model"] | {"name": model}, "data": {"file": file}, "method": "full"})
        front = yaml.safe_load(card(folder).split("---")[1])
        assert (front.get("base_model") == model) == expected and (front.get("datasets") == [file]) == expected
        assert front.get("base_model_relation") == ("finetune" if expected else None) and front["library_name"] == "transformers"


# ---- axes ---------------------------------------------------------------------------------------
def test_ticks_are_round_and_inside():
    assert ticks(0, 1, 5) == [0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert ticks(0.03, 0.97, 4) == [0.25, 0.5, 0.75]
    assert ticks(0, 702, 6) == [0, 200, 400, 600] and ticks(3, 3) == [3]
    assert tick_words([0, 0.25, 0.5]) == ["0.00", "0.25", "0.50"] and tick_words([0, 0.0002]) == ["0", "2e−4"]


def test_no_name_stands_under_the_line_or_on_another_name():
    assert crossed([(50, "majority"), (50, "nearest"), (400, "tuned")]) == {"nearest"}, "straight up and the last one leave the place beside the point free"
    priced = [{"name": name, "value": value, "cost_per_thousand": cost} for name, value, cost in (("majority", 0.1, 0.0), ("nearest", 0.78, 0.0), ("tuned", 0.85, 5.0))]
    drawn = frontier(SimpleNamespace(verdict={"metric": "rouge_l"}), {"winner": "tuned", "margin": 0.01, "volume": 1e4, "currency": "USD"}, priced).wide
    dot = float(re.search(r'<circle[^>]*cy="([0-9.]+)"[^>]*><title>nearest', drawn)[1])
    assert float(re.search(r'y="([0-9.]+)" text-anchor="start">nearest<', drawn)[1]) - dot == pytest.approx(18, abs=0.2)
    taken = []
    assert [free_place(taken, 50, 100), free_place(taken, 50, 104), free_place(taken, 400, 104)] == [100, 116, 104]


def test_the_decision_and_what_was_lost_have_their_panels(label_run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(label_run, folder)
    found = {"name": "forgetting", "before": 2.0, "after": 2.3, "value": 0.15, "low": 0.12, "high": 0.18, "n": 30, "red_line": 0.02, "crossed": True, "sentence": "general text costs +15.0 % more"}
    write_json(folder / "evaluation" / "probes.json", {"forgetting": found, "swaps": {**found, "name": "swaps", "value": 0.0, "low": -0.01, "high": 0.01, "crossed": False}})
    points = [{"share": share, "score": 0.5 + 0.4 * share, "forgetting": 0.15 * share**2} for share in (0.0, 0.5, 1.0)]
    write_json(folder / "evaluation" / "sweep.json", {"points": points, "best": 0.5})
    facts = json.loads((folder / "run.json").read_text())
    pilots = [{"rows": rows, "value": value, "low": value - 0.03, "high": value + 0.03} for rows, value in ((400, 0.7), (1000, 0.8), (2000, 0.86))]
    write_json(folder / "run.json", {**facts, "forecasts": [{"run": "advice", "rows": 4000, "pilots": pilots, "expected": 0.9, "low": 0.88, "high": 0.93, "happened": 0.925, "inside": True}]})
    page_text, markdown = render(folder)
    assert 'section id="lost"' in page_text and "general text costs +15.0 % more" in Words(page_text).text
    for expected in ("Cost and quality", "Rows won, tied and lost by tuned", "Forecasts made before", "How much worse it got", "Between base and tuned", "At 50 % of the way", "Seven good habits", "Learning curve with its forecast", "it became 0.925, inside the band"):
        assert expected in page_text and expected in markdown, expected
    assert "of 7 are met" in markdown and "✗ not passed" in markdown
    write_json(folder / "evaluation" / "probes.json", {"forgetting": {**found, "crossed": False}})
    assert "No figure lies surely above its red line" in render(folder)[1]


def test_tables_for_spreadsheets_and_papers(label_run):
    from luthier.evaluation.results import as_csv, as_latex

    contestants = json.loads((label_run / "verdict.json").read_text())["contestants"]
    lines = as_csv(contestants).splitlines()
    assert lines[0].startswith("name,value,low,high") and len(lines) == 7 and lines[1].split(",")[0] == contestants[0]["name"]
    latex = as_latex(contestants, "macro_f1")
    assert latex.startswith("\\begin{tabular}{lrrrr}\n") and latex.count(" \\\\\n") == 7 and "few\\_shot" in latex and "95\\,\\%" in latex
