"""Any decoder and encoder loads as Transformers loads it; the quirks of real checkpoints are settled and told."""
import json
import math
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests_shared import CONFIGURATIONS, ENCODERS, changed, logits

from luthier.errors import CheckpointError, NonFinite, RecipeError
from luthier.models.language_model import LanguageModel
from luthier.models.load import facts, load
from luthier.models.location import locate
from luthier.models.saving import save_network


@pytest.mark.parametrize("name", [name for name in CONFIGURATIONS if name not in ENCODERS])
def test_decoders_equal_stock_transformers(name, tiny_model):
    from transformers import AutoModelForCausalLM

    language_model = load(str(tiny_model(name)))
    stock = AutoModelForCausalLM.from_pretrained(tiny_model(name), dtype=torch.float32)
    assert torch.equal(logits(language_model.network), logits(stock))
    assert language_model.context == 256 and language_model.stop_tokens == {2} and language_model.pad_token == 0


@pytest.mark.parametrize("name", ENCODERS)
def test_encoders_keep_their_body_and_get_a_seeded_head(name, tiny_model):
    one, two, other = (load(str(tiny_model(name)), head="sequence_class", labels=["a", "b", "c"], seed=seed) for seed in (1, 1, 2))
    assert torch.equal(logits(one.network), logits(two.network)) and not torch.equal(logits(one.network), logits(other.network))
    assert one.fresh and one.labels == ("a", "b", "c") and one.network.config.id2label == {0: "a", 1: "b", 2: "c"}
    stored = load_file(tiny_model(name) / "model.safetensors")
    body = {key: tensor for key, tensor in one.network.state_dict().items() if key not in one.fresh}
    assert len(body) >= 16 and all(torch.equal(tensor, stored[key]) for key, tensor in body.items() if key in stored)


def test_roberta_has_two_positions_less(tiny_model):
    assert facts(str(tiny_model("roberta"))).context == 255


def test_facts_load_nothing(tiny_llama, monkeypatch):
    monkeypatch.setattr("luthier.models.load.read_tensors", None)
    found = facts(str(tiny_llama))
    stored = sum(tensor.numel() for tensor in load_file(tiny_llama / "model.safetensors").values())
    assert (found.kind, found.architecture, found.context, found.width, found.layers) == ("decoder", "llama", 256, 32, 2)
    assert found.parameters == stored and found.stored_bytes == (tiny_llama / "model.safetensors").stat().st_size and found.template


def test_scratch_weights_depend_on_the_seed_only(tiny_llama, tmp_path):
    folder = changed(tiny_llama, tmp_path)
    (folder / "model.safetensors").unlink()
    torch.manual_seed(5)
    one = load(str(folder), scratch_seed=3)
    torch.manual_seed(6)
    before = torch.get_rng_state()
    two, other = load(str(folder), scratch_seed=3), load(str(folder), scratch_seed=4)
    assert torch.equal(before, torch.get_rng_state()), "loading draws nothing from the caller's noise"
    assert torch.equal(logits(one.network), logits(two.network)) and one.fingerprint == two.fingerprint != other.fingerprint


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_parameters_have_the_asked_type(dtype, tiny_llama):
    assert {parameter.dtype for parameter in load(str(tiny_llama), dtype=dtype).network.parameters()} == {dtype}


# ---- quirks ---------------------------------------------------------------------------------------
def test_only_the_output_layer_is_stored(tiny_llama, tmp_path):
    folder = changed(tiny_llama, tmp_path, tensors=lambda held: {("lm_head.weight" if name == "model.embed_tokens.weight" else name): held[name] for name in held})
    language_model = load(str(folder))
    assert torch.equal(logits(language_model.network), logits(load(str(tiny_llama)).network))
    assert "only the output layer is stored" in " ".join(language_model.notices)


def test_no_output_layer_although_the_configuration_says_untied(tiny_llama, tmp_path):
    folder = changed(tiny_llama, tmp_path, config={"tie_word_embeddings": False})
    language_model = load(str(folder))
    assert torch.equal(logits(language_model.network), logits(load(str(tiny_llama)).network))
    assert "serves as the output layer too" in " ".join(language_model.notices)
    saved = tmp_path / "saved"
    save_network(language_model.network, language_model, saved)
    assert json.loads((saved / "config.json").read_text())["tie_word_embeddings"] is True


def test_gpt2_without_its_prefix_as_on_the_hub(tiny_model, tmp_path):
    folder = changed(tiny_model("gpt2"), tmp_path, tensors=lambda held: {name.removeprefix("transformer."): held[name] for name in held})
    assert torch.equal(logits(load(str(folder)).network), logits(load(str(tiny_model("gpt2"))).network))


def test_missing_padding_token_is_told_and_filled(tiny_llama, tmp_path):
    folder = changed(tiny_llama, tmp_path, tokenizer={"pad_token": None})
    language_model = load(str(folder))
    assert language_model.pad_token == language_model.tokenizer.eos_token_id and "no padding token" in " ".join(language_model.notices)


def test_added_tokens_grow_the_embedding(tiny_llama, tmp_path, byte_tokenizer):
    folder = changed(tiny_llama, tmp_path)
    tokenizer = load(str(tiny_llama)).tokenizer
    tokenizer.add_tokens(["<extra0>", "<extra1>"])
    tokenizer.save_pretrained(folder)
    language_model = load(str(folder))
    assert language_model.resized == 2 and language_model.network.get_input_embeddings().weight.shape[0] == len(tokenizer)
    assert torch.equal(logits(language_model.network)[..., :263], logits(load(str(tiny_llama)).network))


def test_missing_weights_are_named(tiny_llama, tmp_path):
    folder = changed(tiny_llama, tmp_path, tensors=lambda held: {name: held[name] for name in held if "1.mlp.up_proj" not in name})
    with pytest.raises(CheckpointError, match=r"layers\.1\.mlp\.up_proj"):
        load(str(folder))


def test_surplus_weights_are_told(tiny_llama, tmp_path):
    folder = changed(tiny_llama, tmp_path, tensors=lambda held: held | {"model.old.inv_freq": torch.ones(3)})
    assert "model.old.inv_freq" in " ".join(load(str(folder)).notices)


def test_wrong_shapes_are_refused(tiny_llama, tmp_path):
    folder = changed(tiny_llama, tmp_path, tensors=lambda held: held | {"model.norm.weight": torch.ones(31)})
    with pytest.raises(CheckpointError):
        load(str(folder))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_not_finite_are_refused(value, tiny_llama, tmp_path):
    def poison(held):
        held["model.norm.weight"][3] = value
        return held

    with pytest.raises(NonFinite, match="model.norm.weight"):
        load(str(changed(tiny_llama, tmp_path, tensors=poison)))


def test_shards_load(tiny_llama, tmp_path):
    folder = changed(tiny_llama, tmp_path)
    held = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(held)
    parts = {"model-00001-of-00002.safetensors": names[:5], "model-00002-of-00002.safetensors": names[5:]}
    for file, inside in parts.items():
        save_file({name: held[name] for name in inside}, folder / file, metadata={"format": "pt"})
    weight_map = {name: file for file, inside in parts.items() for name in inside}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    assert torch.equal(logits(load(str(folder)).network), logits(load(str(tiny_llama)).network))


def test_fingerprint_follows_the_weights(tiny_llama, tmp_path):
    def nudge(held):
        held["model.norm.weight"][0] += 1
        return held

    assert load(str(tiny_llama)).fingerprint == load(str(changed(tiny_llama, tmp_path / "a"))).fingerprint
    assert load(str(tiny_llama)).fingerprint != load(str(changed(tiny_llama, tmp_path / "b", tensors=nudge))).fingerprint


def test_saved_models_load_again_here_and_in_stock(tiny_model, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    for name in ("llama", "gpt2", "gemma2"):
        language_model = load(str(tiny_model(name)))
        with torch.no_grad():
            language_model.network.get_input_embeddings().weight.mul_(1.5)
        folder = tmp_path / name
        save_network(language_model.network, language_model, folder)
        again, stock = load(str(folder)), AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        assert torch.equal(logits(again.network), logits(language_model.network)) and torch.equal(logits(stock), logits(language_model.network))
        assert again.template == language_model.template and AutoTokenizer.from_pretrained(folder).chat_template == language_model.template


def test_non_finite_weights_are_never_saved(tiny_llama, tmp_path):
    language_model = load(str(tiny_llama))
    language_model.network.model.norm.weight.data[0] = float("nan")
    with pytest.raises(NonFinite):
        save_network(language_model.network, language_model, tmp_path / "bad")
    assert not (tmp_path / "bad").exists()


# ---- names --------------------------------------------------------------------------------------
def test_a_task_needs_the_right_kind(tiny_bert, tiny_llama):
    with pytest.raises(RecipeError, match="encoder"):
        load(str(tiny_bert))
    with pytest.raises(RecipeError, match="labels"):
        load(str(tiny_bert), head="sequence_class")


def test_readings_of_a_name(tiny_llama, tmp_path, monkeypatch):
    assert locate(str(tiny_llama)).kind == "path" and locate("spruce").kind == "shipped"
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_llama, tmp_path / "mine")
    assert locate("./mine").kind == "path"
    with pytest.raises(RecipeError, match="neither a shipped model") as caught:
        locate("mine")
    assert "./mine" in caught.value.hint


@pytest.mark.parametrize("name", ["", "./nowhere", "/no/such/folder", "a/b/c", "bad\\name", "x\0y", "../up", "no such id!", "owner/not-in-the-cache"])
def test_names_that_lead_nowhere_are_a_sentence(name):
    with pytest.raises(RecipeError) as caught:
        locate(name)
    assert caught.value.hint and "Traceback" not in caught.value.message


def test_the_shared_cache_is_used_without_a_copy(tiny_llama, tmp_path, monkeypatch):
    """A cache entry as the hub client leaves it: snapshots of links to blobs."""
    entry = tmp_path / "hub" / "models--owner--tiny"
    snapshot = entry / "snapshots" / ("a" * 40)
    for folder in (entry / "blobs", entry / "refs", snapshot):
        folder.mkdir(parents=True)
    (entry / "refs" / "main").write_text("a" * 40)
    for number, path in enumerate(sorted(tiny_llama.iterdir())):
        shutil.copy(path, entry / "blobs" / f"blob{number}")
        (snapshot / path.name).symlink_to(f"../../blobs/blob{number}")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    language_model = load("owner/tiny")
    assert isinstance(language_model, LanguageModel) and language_model.revision == "a" * 40 and language_model.name == "owner/tiny"
    assert torch.equal(logits(language_model.network), logits(load(str(tiny_llama)).network))
    assert torch.equal(logits(load(str(snapshot)).network), logits(language_model.network))


def test_hub_errors_are_sentences(monkeypatch):
    import httpx2
    from huggingface_hub import errors

    request = httpx2.Request("GET", "https://huggingface.co/owner/x")
    for kind, words in ((errors.GatedRepoError, "gated"), (errors.RepositoryNotFoundError, "no public hub model"), (errors.RevisionNotFoundError, "revision")):
        def fail(*args, kind=kind, **more):
            raise kind("no", response=httpx2.Response(403, request=request))

        monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
        with pytest.raises(RecipeError, match=words) as caught:
            locate("owner/x")
        assert caught.value.hint


# ---- real ones ------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["TinyStories-656K", "stories260K", "babyllama-tok105"])
def test_real_models_equal_stock(name, test_data):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = test_data / "models" / name
    if not folder.is_dir():
        pytest.skip(f"no model at {folder}")
    language_model, stock = load(str(folder)), AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    text = "Once upon a time, there was a little girl."
    tokens = language_model.tokenizer(text).input_ids
    assert tokens == AutoTokenizer.from_pretrained(folder)(text).input_ids
    ours, theirs = (network.eval()(input_ids=torch.tensor([tokens])).logits for network in (language_model.network, stock))
    assert torch.equal(ours, theirs) and language_model.network.dtype == torch.float32
    loss = -language_model.head.token_logprobs(language_model.network, torch.tensor([tokens])).sum().item() / (len(tokens) - 1)
    assert loss < 0.7 * math.log(language_model.network.config.vocab_size), "a model that has learned stories finds this one likely"


def test_a_tokenizer_loads_without_its_network(tiny_llama):
    from luthier.models.tokenizer import load_tokenizer

    tokenizer, template, _ = load_tokenizer(tiny_llama, tiny_llama)
    assert tokenizer.decode(tokenizer("é!", add_special_tokens=False).input_ids) == "é!" and "assistant" in template
