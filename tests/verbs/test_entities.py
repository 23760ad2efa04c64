"""Spans from a file to marked texts: data, training, verdict, report and prediction with a tiny encoder."""
import json

import pytest
import torch

import luthier
from luthier.files import read_json

QUICK = {"training.threads": 1, "training.precision": "fp32", "evaluation.resamples": 200, "training.validation_rows": 20}


@pytest.fixture
def letters(tmp_path):
    """Names follow "for", places follow "to"; the words themselves are new in every row, so a dictionary is of no use."""
    path = tmp_path / "letters.jsonl"
    rows = []
    for number in range(160):
        name, place = f"q{number:03d}", f"z{number:03d}"
        text = f"for {name} please, to {place}" if number % 2 else f"to {place} now for {name}"
        spans = [{"start": text.index(word), "end": text.index(word) + 4, "label": label} for word, label in ((name, "person"), (place, "place"))]
        rows.append({"text": text, "spans": spans})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("method", ["full", "lora"])
def test_from_spans_to_marked_texts(tiny_bert, letters, here, method):
    torch.set_num_threads(1)
    made = luthier.init(str(letters)).to_dict()
    assert made["task"] == "token_classification"
    words = {"model": str(tiny_bert), "method": method, "training.epochs": 12, "training.learning_rate": 1e-2, **QUICK}
    result = luthier.train(None, words, name="marks")
    values = {row["name"]: row["value"] for row in result.verdict["contestants"]}
    assert set(values) == {"dictionary", "word_features", "tuned"} and result.verdict["metric"] == "span_f1"
    assert values["tuned"] > 0.9 and values["dictionary"] < 0.2
    run = here / "runs" / "marks"
    assert read_json(run / "run.json")["reload"]["ok"], "stock libraries compute the same"
    row = json.loads((run / "evaluation" / "tuned.jsonl").read_text().splitlines()[0])
    assert {span[2] for span in row["wanted_spans"]} == {"person", "place"} and all(row["question"][start:end][0] in "qz" for start, end, *_ in row["wanted_spans"])
    answer = luthier.predict("marks", "for q777 please, to z888").to_dict()["answers"][0]
    assert [(span["text"], span["label"]) for span in answer["spans"]] == [("q777", "person"), ("z888", "place")]
    assert answer["answer"] == "q777 (person); z888 (place)" and 0 < answer["spans"][0]["confidence"] <= 1
    page = (run / "report.html").read_text()
    assert "Span by span" in page and "Kinds of error" in page
    card = (run / "model" / "README.md").read_text()
    assert "pipeline_tag: token-classification" in card and "TokenClassification" in card
    again = luthier.evaluate("marks")
    assert {row["name"]: row["value"] for row in again.verdict["contestants"]}["tuned"] == pytest.approx(values["tuned"])

