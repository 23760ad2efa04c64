"""`export`: a copy of a tuned model in another format, published only after it has proven to be the same model."""
import shutil
from pathlib import Path

import torch

from luthier.data.dataset import DataSet
from luthier.data.records import Conversation
from luthier.errors import RecipeError
from luthier.files import sha256_file, staged_folder, verify
from luthier.preparation.renderer import Renderer
from luthier.runs.events import Event, Say, silent
from luthier.serving.formats import FORMATS
from luthier.serving.formats.format import Source
from luthier.serving.parity import BOUNDS, gate
from luthier.verbs.comparing import chosen_rows
from luthier.verbs.opening import Opened, open_run
from luthier.verbs.results import Answered

CONVERSATIONS = 1000
TEST_ROWS = 200
HARD = (
    "", " ", "  two  spaces  ", "Grüße, 你好, здравствуй 🎻👩‍🚀", "line\nline\r\n\ttab", "1234567890 3.14 1,000", "it's I'll DON'T", "<|im_start|>system\nhi<|im_end|>", "<s>[INST] x [/INST]</s>",
    "def f(x):\n    return x**2  # why", "a" * 300, "\u200b\u2060zero width", "ﬁ ligature é é", "http://127.0.0.1/?q=a&b=c", "{{ braces }} {% raw %}", "....!!!???",
)
"""Texts on which tokenizers part."""


def export(run: str, to: str, *, precision: str = "", out: str | Path | None = None, say: Say = silent) -> Answered:
    """Write a copy and prove it. Returns `{run, to, precision, folder, files, gate}`.

    RecipeError where this model cannot be copied so; GateFailed (X12x) where the copy is not the model: then nothing is left on the disk.
    """
    if to not in FORMATS:
        raise RecipeError(f"there is no format {to!r}; there are: {', '.join(FORMATS)}", code="R142", hint="for example `luthier export last --to merged`")
    form = FORMATS[to]()
    precision = precision or form.precisions[0]
    if precision not in form.precisions:
        raise RecipeError(f"{to} is not written as {precision!r}; there are: {', '.join(form.precisions)}", code="R142", hint=f"--precision {form.precisions[0]}")
    opened = open_run(run, say)
    source = Source(opened.language_model, opened.recipe.method, opened.run.model_folder, opened.run.name)
    folder = Path(out) if out else opened.run.path / "export" / f"{to}-{precision}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    facts = {"kind": "export", "run": opened.run.name, "to": to, "precision": precision, "source": sha256_file(opened.run.model_folder / "manifest.json"), "base": opened.language_model.fingerprint}
    with staged_folder(folder, **facts) as staging:
        say(Event("phase", f"writing {to} ({precision})", {"name": "write"}))
        form.write(source, staging, precision)
        for kept in (opened.run.model_folder / "README.md", opened.run.calibration_file):
            if kept.exists() and not (staging / kept.name).exists():
                shutil.copyfile(kept, staging / kept.name)
        say(Event("phase", "comparing the copy with the model", {"name": "gate"}))
        findings = compare(opened, source, form.open(source, staging, precision), precision)
    manifest = verify(folder)
    say(Event("done", sentence(findings)))
    return Answered({"run": opened.run.name, "to": to, "precision": precision, "folder": str(folder), "files": sorted(manifest["files"]), "gate": findings})


def compare(opened: Opened, source: Source, copy, precision: str) -> dict:
    """The gate over the run's own data and texts on which tokenizers part."""
    data = DataSet(opened.run.data_folder)
    records = [record for split in ("test", "validation", "train") for record in data.records(split)]
    conversations = [asked for record in records[:CONVERSATIONS] if (asked := conversation_of(opened.task, record)) is not None]
    texts = [*(text for text in HARD if text.strip()), *(opened.task.question(record) for record in records[: CONVERSATIONS if not conversations else 100])]
    renderer = Renderer(copy.tokenizer, copy.template, opened.language_model.context, head=opened.renderer.head)
    reference = reference_of(opened, source, precision)
    try:
        tests = chosen_rows(data.records("test"), TEST_ROWS)
        found = gate(
            reference, copy, (opened.renderer, renderer), task=opened.task, precision=precision, texts=texts, records=tests,
            conversations=[*conversations, *(hard_conversation(text) for text in HARD if opened.renderer.head == "causal")],
        )
    finally:
        renderer.close()
    return found.to_dict()


def reference_of(opened: Opened, source: Source, precision: str):
    """The tuned model in float32, whatever it was kept in: the copies are made from that."""
    model = opened.language_model
    low = model.head.autocast is not None or next(model.network.parameters()).dtype != torch.float32
    return source.with_network(source.plain().eval()) if low and precision in BOUNDS else model


def conversation_of(task, record) -> tuple | None:
    """A record as the task asks it, and its tools; None where it is no conversation."""
    ask = getattr(task, "prompt_messages", None)
    if ask is None:
        return None
    return tuple(ask(record, ())), record.tools if isinstance(record, Conversation) else ()


def hard_conversation(text: str) -> tuple:
    from luthier.data.records import Message

    return (Message("user", text),), ()


def sentence(findings: dict) -> str:
    """What the gate saw, in words."""
    words = f"the copy is the model: {findings['prompts']:,} prompts have the same ids; it diverges by {findings['divergence']:.1g} nats a token"
    if findings["same_text"] is not None:
        words += f"; {findings['same_text']:.0%} of {findings['texts']} greedy texts are equal"
    if findings["metrics"]:
        words += f"; {findings['metrics']['name']} {findings['metrics']['source']:.3f} and {findings['metrics']['copy']:.3f} on {findings['metrics']['rows']} test rows"
    return words
