"""The model card: README.md of the saved model, with the fields that model hubs read, and how to load it in a few lines.

Fields after the hub's model card specification (huggingface.co/docs/hub/model-cards). What a hub would reject is left out: names of
local files and folders are no ids.
"""
import re

import yaml

from luthier.evaluation.report.document import Document
from luthier.evaluation.report.escape import fenced, markdown, visible
from luthier.evaluation.report.folder import RunFiles, inner, items, number, word
from luthier.evaluation.report.markdown import block_text, table_text
from luthier.evaluation.report.opening import examples as example_section
from luthier.evaluation.report.opening import model_name, sure
from luthier.evaluation.wording import figure, metric_words

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
PIPELINES = {
    "chat": "text-generation", "causal_lm": "text-generation", "classification": "text-classification", "token_classification": "token-classification",
    "regression": "text-classification", "masked_lm": "fill-mask", "seq2seq": "text2text-generation",
}
"""What a hub offers to do with the result of a task."""
WITH_A_HEAD = {
    "text-classification": "SequenceClassification", "token-classification": "TokenClassification", "fill-mask": "MaskedLM", "text2text-generation": "Seq2SeqLM",
    "text-generation": "CausalLM",
}
"""What Transformers' and PEFT's Auto classes call the network."""
HUB_METRICS = {"macro_f1": "f1", "weighted_f1": "f1", "accuracy": "accuracy", "rouge_l": "rouge", "chrf": "chrf", "exact_match": "exact_match", "perplexity": "perplexity"}
ADAPTERS = {"lora"}


def card(run: RunFiles, document: Document) -> str:
    """The whole README.md."""
    front = yaml.safe_dump(fields(run), sort_keys=False, allow_unicode=True, width=100)
    body = [f"# {markdown(run.name)}", first_words(run)]
    verdict = word(run.verdict.get("sentence"))
    body += ["## Does it help?", markdown(verdict) if verdict else "It was not compared with anything on unseen rows."]
    if lines := figures(run):
        body.append(table_text(["contestant", metric_words(word(run.verdict.get("metric"))), f"{sure(run)} interval", "seconds per answer"], lines, frozenset({1, 2, 3})))
    body += ["## Use it", quick_start(run), "## Training", losses(run)]
    shown = example_section(run)
    if shown and len(shown.blocks) > 1:
        body += ["## Before, after, target", block_text(shown.blocks[1] if len(shown.blocks) > 2 else shown.blocks[0])]
    for section in document.sections:
        if section.key in ("data", "limits"):
            body += [f"## {markdown(section.title)}", *(block_text(block) for block in section.blocks[:2])]
    body += ["## Recipe", f"<details><summary>resolved recipe</summary>\n\n{fenced(run.recipe or 'not written', 'yaml')}\n\n</details>", made_with(run)]
    return f"---\n{front}---\n\n" + "\n\n".join(part for part in body if part) + "\n"


# ---- fields -------------------------------------------------------------------------------------
def fields(run: RunFiles) -> dict:
    """The YAML at the top; only what is known and what a hub accepts."""
    model, task, method = inner(run.facts, "model"), word(run.facts.get("task")), word(run.facts.get("method"))
    adapter = method in ADAPTERS
    found: dict = {"language": languages(model), "license": word(model.get("license")).lower() or "other"}
    found["library_name"] = "peft" if adapter else "transformers"
    found["pipeline_tag"] = pipeline(run)
    found["tags"] = [tag for tag in ("luthier", method, task, word(run.facts.get("objective"))) if tag]
    if HUB_ID.fullmatch(source := word(inner(run.facts, "data").get("file"))) and "." not in source.rsplit("/", 1)[-1]:
        found["datasets"] = [source]
    measured = {name: values for name, values in inner(run.results, "contestants", "tuned", "metrics").items() if name in HUB_METRICS}
    found["metrics"] = sorted({HUB_METRICS[name] for name in measured})
    if HUB_ID.fullmatch(word(model.get("name"))):
        found |= {"base_model": word(model["name"]), "base_model_relation": "adapter" if adapter else "finetune"}
    if measured:
        found["model-index"] = [{"name": run.name, "results": [index_entry(run, measured)]}]
    return {key: value for key, value in found.items() if value not in ("", [], None)}


def languages(model: dict) -> list[str]:
    """Language codes that the base declares."""
    declared = model.get("language")
    listed = declared if isinstance(declared, list) else [declared]
    return [code for code in map(word, listed) if re.fullmatch(r"[a-z]{2,3}(-[A-Za-z0-9]+)*", code)]


def pipeline(run: RunFiles) -> str:
    """What a hub offers to do with it; a decoder without a head of classes generates text, whatever it writes."""
    if inner(run.facts, "model").get("kind") == "decoder" and word(run.facts.get("head")) in ("", "causal"):
        return "text-generation"
    return PIPELINES.get(word(run.facts.get("task")), "text-generation")


def index_entry(run: RunFiles, measured: dict) -> dict:
    """One result of the model index: task, data set, figures."""
    file = word(inner(run.facts, "data").get("file")).rstrip("/").rsplit("/", 1)[-1] or "test rows"
    metrics = [
        {"type": HUB_METRICS[name], "name": metric_words(name), "value": round(value, 6)}
        for name, values in measured.items()
        if (value := number(inner(measured, name).get("value"))) is not None and values
    ]
    task = {"type": PIPELINES.get(word(run.facts.get("task")), "text-generation"), "name": word(run.facts.get("task")).replace("_", " ")}
    return {"task": task, "dataset": {"name": visible(file), "type": "local", "split": "test"}, "metrics": metrics}


# ---- words --------------------------------------------------------------------------------------
def first_words(run: RunFiles) -> str:
    method, task, base = (markdown(text) for text in (word(run.facts.get("method")), word(run.facts.get("task")).replace("_", " "), model_name(run)))
    rows = number(inner(run.facts, "data", "rows").get("train"))
    many = f" on {rows:,.0f} rows" if rows else ""
    return f"{base or 'A base'} tuned for {task or 'a task'} with {method or 'Luthier'}{many}, made with Luthier. Intended for inputs like its training rows, and measured on such."


def figures(run: RunFiles) -> list[list[str]]:
    metric = word(run.verdict.get("metric"))
    lines = [line for line in items(run.verdict, "contestants") if isinstance(line, dict)]
    return [
        [
            word(line.get("name")),
            figure(number(line.get("value")), metric),
            f"{figure(number(line.get('low')), metric)} to {figure(number(line.get('high')), metric)}",
            f"{number(line.get('seconds_per_answer')) or 0:.4g}",
        ]
        for line in lines
    ]


def quick_start(run: RunFiles) -> str:
    """The shortest code that loads it, with stock libraries."""
    kind = WITH_A_HEAD[pipeline(run)]
    if word(run.facts.get("method")) in ADAPTERS:
        code = f'from peft import AutoPeftModelFor{kind}\nfrom transformers import AutoTokenizer\n\nmodel = AutoPeftModelFor{kind}.from_pretrained("model")'
    else:
        code = f'from transformers import AutoModelFor{kind}, AutoTokenizer\n\nmodel = AutoModelFor{kind}.from_pretrained("model")'
    code += '\ntokenizer = AutoTokenizer.from_pretrained("model")'
    command = f'luthier predict {run.name} "your text"'
    return "\n\n".join(part for part in (fenced(code, "python"), confidence(run), "Or with Luthier, in the folder that holds `runs/`:", fenced(command, "sh")) if part)


def confidence(run: RunFiles) -> str:
    """What stock libraries must do for probabilities that mean what they say; Luthier does it by itself."""
    temperature = number(inner(run.facts, "calibration").get("temperature"))
    return f"For calibrated probabilities divide the logits by {temperature:.4g} first (`calibration.json`); Luthier does." if temperature else ""


def losses(run: RunFiles) -> str:
    """The table that readers of model cards expect."""
    by_step = {number(row.get("step")): row for row in run.train}
    lines = []
    for row in run.validation[:40]:
        train = by_step.get(number(row.get("step")), {})
        lines.append([figure(number(train.get("loss"))), word(row.get("epoch")), word(row.get("step")), figure(number(row.get("loss")))])
    return table_text(["Training Loss", "Epoch", "Step", "Validation Loss"], lines, frozenset({0, 1, 2, 3})) if lines else "No validation loss was recorded."


def made_with(run: RunFiles) -> str:
    return "Made with " + ", ".join(f"{markdown(name)} {markdown(version)}" for name, version in inner(run.facts, "versions").items()) + "." if inner(run.facts, "versions") else ""
