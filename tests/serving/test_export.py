"""Copies in other formats: each proven against the model, and every planted difference refused with the place where it begins."""
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from luthier.errors import CheckpointError, GateFailed, RecipeError
from luthier.serving import formats
from luthier.serving.formats.format import Source
from luthier.serving.parity import BOUNDS
from luthier.verbs import export as exporting
from luthier.verbs.export import export
from luthier.verbs.opening import open_run
from luthier.verbs.verify import verify

NIGHTLY = [("chat", "merged", "bf16"), ("chat", "gguf", "q4_0"), ("chat", "merged", "f16"), ("chat", "gguf", "f32"), ("chat", "gguf", "bf16"), ("chat", "ollama", "f16"), ("full", "merged", "f32"), ("full", "gguf", "f32"), ("tickets", "merged", "f32"), ("tickets", "peft", "f32")]
COPIES = [
    ("chat", "merged", "f32"), ("chat", "peft", "f32"), ("chat", "gguf", "f16"), ("chat", "gguf", "q8_0"), ("tickets", "onnx", "f32"),
    *(pytest.param(*copy, marks=pytest.mark.nightly) for copy in NIGHTLY),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "to", "precision"), COPIES, ids=lambda value: value)
def test_a_copy_passes_the_gate_and_verifies(trained, tmp_path, kind, to, precision, capsys):
    found = export(trained(kind), to, precision=precision, out=tmp_path / "copy").to_dict()
    gate = found["gate"]
    with capsys.disabled():
        print(f"\n{kind} {to} {precision}: divergence {gate['divergence']:.2g}, largest {gate['largest']:.2g}, same text {gate['same_text']}, {gate['metrics'].get('name')} {gate['metrics'].get('source')} -> {gate['metrics'].get('copy')}")
    assert gate["prompts"] >= 70 and gate["probes"] == 16 and gate["metrics"]["rows"] >= 10 and gate["divergence"] <= BOUNDS[precision].divergence
    assert verify(tmp_path / "copy").to_dict()["ok"] and (tmp_path / "copy" / "README.md").exists()
    if precision == "f32" and kind != "tickets":
        assert gate["same_text"] == 1.0


def test_the_default_folder_lies_in_the_run(trained):
    found = export(trained("chat"), "merged", precision="f32").to_dict()
    assert Path(found["folder"]).parts[-3:] == ("chat", "export", "merged-f32") and "model.safetensors" in found["files"]


def test_a_merged_copy_is_what_stock_libraries_load(trained, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    export(trained("chat"), "merged", precision="f32", out=tmp_path / "copy")
    opened = open_run(trained("chat"), lambda event: None)
    tokens = torch.tensor([AutoTokenizer.from_pretrained(tmp_path / "copy")("the red violin")["input_ids"]])
    stock = AutoModelForCausalLM.from_pretrained(tmp_path / "copy").eval()
    with torch.inference_mode():
        assert (stock(tokens).logits - opened.language_model.network(tokens).logits).abs().max() < 1e-3


# ---- planted differences ------------------------------------------------------------------------
def spoil_template(folder: Path) -> None:
    path = folder / "chat_template.jinja"
    path.write_text(path.read_text().replace("content", "content | upper"))


def spoil_space(folder: Path) -> None:
    path = folder / "chat_template.jinja"
    path.write_text(path.read_text() + " ")


def spoil_tokenizer(folder: Path) -> None:
    """Two tokens of the vocabulary have changed places."""
    path = folder / "tokenizer.json"
    known = json.loads(path.read_text())
    vocabulary = known["model"]["vocab"]
    vocabulary["e"], vocabulary["t"] = vocabulary["t"], vocabulary["e"]
    path.write_text(json.dumps(known))


def spoil_merges(folder: Path) -> None:
    path = folder / "tokenizer.json"
    known = json.loads(path.read_text())
    known["model"]["merges"] = known["model"]["merges"][40:] + known["model"]["merges"][:40]
    path.write_text(json.dumps(known))


def spoil_words(folder: Path) -> None:
    """Upper case is lost."""
    path = folder / "tokenizer.json"
    known = json.loads(path.read_text())
    known["normalizer"] = {"type": "Lowercase"}
    path.write_text(json.dumps(known))


def spoil_weight(name: str, change):
    def spoil(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        found = next(key for key in tensors if key.endswith(name))
        tensors[found] = change(tensors[found].clone())
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    return spoil


def spoil_config(**changes):
    def spoil(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return spoil


PLANTED = {
    "template": (spoil_template, "X120", "character"), "space": (spoil_space, "X120", "template"), "tokenizer": (spoil_tokenizer, "X120", "token"), "merges": (spoil_merges, "X120", "token"),
    "words": (spoil_words, "X120", "token"), "layer 4": (spoil_weight("layers.3.mlp.down_proj.weight", lambda tensor: tensor * 1.02), "X121", "layer 4 of 8"),
    "embedding": (spoil_weight("embed_tokens.weight", lambda tensor: tensor + 0.01 * torch.randn(tensor.shape)), "X121", "embedding"),
    "adapter left out": (spoil_weight("layers.0.self_attn.q_proj.weight", lambda tensor: tensor * 0.97), "X121", "layer 1 of 8"), "norm": (spoil_weight("model.norm.weight", lambda tensor: tensor * 1.05), "X121", "layer 8"),
    "positions": (spoil_config(rope_parameters={"rope_type": "default", "rope_theta": 9000.0}, rope_theta=9000.0), "X121", "layer 1"), "epsilon": (spoil_config(rms_norm_eps=1e-2), "X121", "layer 1"),
}  # fmt: skip


@pytest.fixture(scope="module")
def merged(trained, tmp_path_factory):
    """The tuned model, opened once, and a merged copy to spoil."""
    opened = open_run(trained("chat"), lambda event: None)
    source = Source(opened.language_model, opened.recipe.method, opened.run.model_folder, "chat")
    folder = tmp_path_factory.mktemp("merged") / "copy"
    folder.mkdir()
    formats.Merged().write(source, folder, "f32")
    return opened, source, folder


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_difference_is_refused_with_its_place(merged, tmp_path, name):
    opened, source, folder = merged
    spoil, code, place = PLANTED[name]
    shutil.copytree(folder, tmp_path / "copy")
    spoil(tmp_path / "copy")
    with pytest.raises(GateFailed) as refused:
        exporting.compare(opened, source, formats.Merged().open(source, tmp_path / "copy", "f32"), "f32")
    assert refused.value.code == code and place in refused.value.message and refused.value.exit_code == 4


def test_after_a_refusal_nothing_is_left(trained, tmp_path, monkeypatch):
    real = formats.Merged.write
    monkeypatch.setattr(formats.Merged, "write", lambda self, source, folder, precision: (real(self, source, folder, precision), spoil_template(folder)))
    with pytest.raises(GateFailed):
        export(trained("chat"), "merged", precision="f32", out=tmp_path / "copy")
    assert not list(tmp_path.iterdir())


def test_the_base_instead_of_the_tuned_model_is_refused(trained, tmp_path, monkeypatch):
    """The commonest fault of all: an adapter that was never merged."""
    monkeypatch.setattr(Source, "plain", lambda self: __import__("luthier.models.load", fromlist=["load"]).load("spruce").network)
    for to in ("merged",):
        with pytest.raises(GateFailed) as refused:
            export(trained("chat"), to, precision="f32", out=tmp_path / "copy")
        assert refused.value.code == "X121"


@pytest.mark.parametrize("key", ["merges", "template", "interleave"])
def test_a_planted_difference_in_gguf_is_refused(trained, tmp_path, monkeypatch, key):
    from luthier.models import gguf as module

    if key == "merges":
        import gguf

        real_merges = gguf.GGUFWriter.add_token_merges
        monkeypatch.setattr(gguf.GGUFWriter, "add_token_merges", lambda self, merges: real_merges(self, merges[40:] + merges[:40]))
    elif key == "interleave":
        monkeypatch.setattr(module, "interleaved", lambda data, heads: data)
    else:
        real = module.write_tokenizer

        def write(writer, language_model, rows):
            import copy

            other = copy.copy(language_model)
            other.template = other.template.replace("content", "content | upper")
            real(writer, other, rows)

        monkeypatch.setattr(module, "write_tokenizer", write)
    with pytest.raises(GateFailed):
        export(trained("chat"), "gguf", precision="f16", out=tmp_path / "copy")


@pytest.mark.parametrize("precision", ["f16", pytest.param("q8_0", marks=pytest.mark.nightly)])
def test_a_vocabulary_of_pieces_goes_into_gguf_and_is_proven(trained, test_data, tmp_path, precision, capsys):
    """A real Llama with SentencePiece's kind of vocabulary, tuned, written and held to the same gate."""
    gate = export(trained("stories"), "gguf", precision=precision, out=tmp_path / "copy").to_dict()["gate"]
    with capsys.disabled():
        print(f"\nstories260K gguf {precision}: divergence {gate['divergence']:.2g}, same text {gate['same_text']}, {gate['prompts']} prompts")
    assert gate["prompts"] >= 70 and gate["divergence"] <= BOUNDS[precision].divergence


def test_pieces_with_other_scores_are_refused(trained, test_data, tmp_path, monkeypatch):
    from luthier.models import gguf_pieces

    real = gguf_pieces.scores_of
    monkeypatch.setattr(gguf_pieces, "scores_of", lambda described, pieces: [score if score == gguf_pieces.NEVER else -1000.0 - score for score in real(described, pieces)])
    with pytest.raises(GateFailed) as refused:
        export(trained("stories"), "gguf", precision="f16", out=tmp_path / "copy")
    assert refused.value.code == "X120"


def test_what_cannot_be_proven_is_refused_by_its_name(trained, tmp_path):
    for kind, to, word in (("tickets", "gguf", "bert"), ("chat", "onnx", "cache")):
        with pytest.raises(RecipeError) as refused:
            export(trained(kind), to, out=tmp_path / "copy")
        assert word in refused.value.message
    with pytest.raises(RecipeError):
        export(trained("chat"), "tflite")
    with pytest.raises(RecipeError):
        export(trained("chat"), "onnx", precision="q4_0")


def test_verify_names_what_changed(trained, tmp_path):
    export(trained("chat"), "peft", out=tmp_path / "copy")
    for change in ("flip", "gone", "new"):
        shutil.rmtree(tmp_path / "other", ignore_errors=True)
        shutil.copytree(tmp_path / "copy", tmp_path / "other")
        file = tmp_path / "other" / "adapter_model.safetensors"
        if change == "flip":
            data = bytearray(file.read_bytes())
            data[-1] ^= 1
            file.write_bytes(data)
        elif change == "gone":
            file.unlink()
        else:
            (tmp_path / "other" / "more.txt").touch()
        with pytest.raises(CheckpointError) as refused:
            verify(tmp_path / "other")
        assert refused.value.exit_code == 7 and ("more.txt" if change == "new" else "adapter_model") in refused.value.message


def test_the_modelfile_asks_as_the_template_does(trained, tmp_path):
    export(trained("chat"), "ollama", precision="q8_0", out=tmp_path / "copy")
    text = (tmp_path / "copy" / "Modelfile").read_text()
    assert text.startswith("FROM ./model-q8_0.gguf\n") and 'PARAMETER stop "<|end|>"' in text and "{{ range .Messages }}" in text
    assert render_go(text, [("system", "be kind"), ("user", "hello"), ("assistant", "yes"), ("user", "bye")]) == expected(trained)


def render_go(modelfile: str, messages: list[tuple[str, str]]) -> str:
    """The few words of Ollama's language that we write, carried out."""
    import re

    template = modelfile.split('TEMPLATE """', 1)[1].split('"""', 1)[0]
    before, _, rest = template.partition("{{ range .Messages }}")
    body, _, after = rest.rpartition("{{ end }}{{ end }}")
    branches = dict(re.findall(r'\{\{ (?:else )?if eq \.Role "(\w+)" \}\}(.*?)(?=\{\{ else if|$)', body, re.S))
    return before + "".join(branches[role].replace("{{ .Content }}", content) for role, content in messages) + after


def expected(trained) -> str:
    opened = open_run(trained("chat"), lambda event: None)
    messages = [{"role": role, "content": content} for role, content in (("system", "be kind"), ("user", "hello"), ("assistant", "yes"), ("user", "bye"))]
    return opened.language_model.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)


def test_hard_texts_are_among_what_is_compared():
    assert len(exporting.HARD) >= 15 and exporting.CONVERSATIONS == 1000 and exporting.TEST_ROWS == 200
