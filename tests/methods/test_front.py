"""Prompt and prefix: equal to PEFT's own forward, and right wherever texts are read: padded, packed, scored as labels in a tree, written with a cache."""
import dataclasses

import pytest
import torch
import torch.nn.functional as F
from methods_shared import trained
from tests_shared import CONFIGURATIONS, ENCODERS, logits

from luthier.errors import RecipeError
from luthier.generation.labels import score_labels, score_one_by_one
from luthier.generation.local import generate
from luthier.methods import METHODS
from luthier.methods.prompt import Prompt
from luthier.models.load import load

K = 5
QUICK = ("llama", "gpt2", "gemma2", "gpt_oss", "opt", "bloom", "bert", "roberta")
"""Families of the quick run, which cover every way of reading; the nightly one takes all."""
LABELED = {"head": "sequence_class", "labels": ["a", "b", "c"]}
DECODERS = [name for name in CONFIGURATIONS if name not in ENCODERS]
NO_EARLIER_KEYS = ("deepseek_v3", "distilbert", "deberta", "modernbert")


def pairs(families) -> list:
    """Every legal pair; those outside the quick set run nightly."""
    legal = [(name, family) for name in ("prompt", "prefix") for family in families if name == "prompt" or family not in NO_EARLIER_KEYS]
    return [pytest.param(*pair, marks=() if pair[1] in QUICK else pytest.mark.nightly) for pair in legal]


def how(family):
    return LABELED if family in ENCODERS else {}


def fronted(name, folder, **more):
    """A network with K virtual positions that do something."""
    method = METHODS[name](tokens=K)
    language_model, network, before = trained(method, folder, **more)
    assert (logits(network) - before).abs().max() > 1e-3
    return method, language_model, network


def stock_of(folder, saved, family):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    torch.manual_seed(1)
    if family in ENCODERS:
        base = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=3, dtype=torch.float32)
    else:
        base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return PeftModel.from_pretrained(base, saved).eval()


@pytest.mark.parametrize("name, family", pairs(CONFIGURATIONS))
@torch.no_grad()
def test_outputs_are_pefts_own(name, family, tiny_model, tmp_path):
    method, language_model, network = fronted(name, tiny_model(family), **how(family))
    method.save(network, language_model, tmp_path)
    stock = stock_of(tiny_model(family), tmp_path, family)
    generator = torch.Generator().manual_seed(3)
    tokens, attend = torch.randint(7, 263, (3, 12), generator=generator), torch.ones(3, 12, dtype=torch.long)
    attend[1, 8:] = 0
    ours, theirs = (whole(input_ids=tokens, attention_mask=attend).logits for whole in (network.eval(), stock))
    if family not in ENCODERS:
        theirs = theirs[:, -12:]
        ours, theirs = ours[attend == 1], theirs[attend == 1]
    assert torch.allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("name, family", pairs(DECODERS))
def test_losses_are_those_of_the_whole_logits(name, family, tiny_model):
    """The loss goes through the body alone; without hooks there it would be the base's. Its gradient reaches every virtual position."""
    method, language_model, network = fronted(name, tiny_model(family))
    tokens = torch.randint(7, 263, (2, 12))
    total, count = language_model.head.loss(network, tokens, torch.ones(2, 12))
    expected = F.cross_entropy(network(input_ids=tokens).logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten(), reduction="sum")
    assert total.item() == pytest.approx(expected.item(), rel=1e-5) and count == 22
    total.backward()
    (weight,) = method.trainable(network).values()
    assert weight.grad.abs().sum(1).min() > 0
    with method.disabled(network):
        assert abs(language_model.head.loss(network, tokens, torch.ones(2, 12))[0].item() - total.item()) > 1e-4


@pytest.mark.parametrize("name, family", pairs(DECODERS))
@torch.no_grad()
def test_a_batch_is_each_row_alone_on_either_side_of_the_padding(name, family, tiny_model):
    _, _, network = fronted(name, tiny_model(family))
    generator = torch.Generator().manual_seed(4)
    rows = [torch.randint(7, 263, (size,), generator=generator) for size in (9, 4, 6)]
    alone = [network(input_ids=row[None]).logits[0, -1] for row in rows]
    for side in ("left", "right"):
        tokens, attend = torch.zeros(3, 9, dtype=torch.long), torch.zeros(3, 9, dtype=torch.long)
        for at, row in enumerate(rows):
            place = slice(9 - len(row), 9) if side == "left" else slice(0, len(row))
            tokens[at, place], attend[at, place] = row, 1
        inputs = {"input_ids": tokens, "attention_mask": attend}
        if side == "left":
            inputs["position_ids"] = (attend.cumsum(-1) - 1).clamp(min=0)
        found = network(**inputs).logits
        for at, row in enumerate(rows):
            last = found[at, -1] if side == "left" else found[at, len(row) - 1]
            assert torch.allclose(last, alone[at], atol=2e-5 * max(1.0, alone[at].abs().max().item())), (side, at)


@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen3", "gemma2", "gpt_oss", "opt"])
@pytest.mark.parametrize("name", ["prompt", "prefix"])
def test_generation_with_a_cache_is_generation_without(name, family, tiny_model):
    """Greedy text from a cache, batched and padded on the left, equals the likeliest next token of whole forward passes."""
    _, language_model, network = fronted(name, tiny_model(family))
    prompts = [[10, 20, 30, 40, 50], [11, 12], [60, 61, 62]]
    for prompt, found in zip(prompts, generate(language_model, prompts, max_new_tokens=6), strict=True):
        tokens = list(prompt)
        with torch.no_grad():
            for token in found.tokens:
                assert token == network(input_ids=torch.tensor([tokens])).logits[0, -1].argmax().item()
                tokens.append(token)


@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen3", "gpt_neox", "phi"])
@pytest.mark.parametrize("name", ["prompt", "prefix"])
def test_labels_in_a_tree_are_labels_one_by_one(name, family, tiny_model):
    _, language_model, network = fronted(name, tiny_model(family))
    prompts, labels = [[10, 20, 30, 40], [11, 12]], [[50, 51, 2], [50, 52, 2], [60, 2]]
    together = score_labels(language_model, prompts, labels)
    for at, prompt in enumerate(prompts):
        assert together[at] == pytest.approx(score_one_by_one(language_model, prompt, labels), abs=1e-4)
        with torch.no_grad():
            row = network(input_ids=torch.tensor([[*prompt, 60, 2]])).logits[0].log_softmax(-1)
        assert together[at, 2] == pytest.approx((row[len(prompt) - 1, 60] + row[len(prompt), 2]).item(), abs=1e-4)


@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_oss", "mistral"])
@pytest.mark.parametrize("name", ["prompt", "prefix"])
@torch.no_grad()
def test_packed_texts_do_not_see_each_other_and_all_see_the_front(name, family, tiny_model):
    _, language_model, network = fronted(name, tiny_model(family))
    generator = torch.Generator().manual_seed(5)
    first, second = torch.randint(7, 263, (1, 7), generator=generator), torch.randint(7, 263, (1, 9), generator=generator)
    positions = torch.cat([torch.arange(7), torch.arange(9)])[None]
    packed = language_model.head.token_logprobs(network, torch.cat([first, second], 1), position_BT=positions)
    alone = language_model.head.token_logprobs(network, second)
    assert torch.allclose(packed[0, 8:], alone[0, 1:], atol=1e-4)


def test_a_prefix_is_not_lost_where_activations_are_recomputed(tiny_llama):
    network = METHODS["prefix"](tokens=K).apply(load(str(tiny_llama)))
    with pytest.raises(RecipeError, match="recomputed"):
        network.gradient_checkpointing_enable()
    language_model = load(str(tiny_llama))
    network = METHODS["prompt"](tokens=K).apply(language_model)
    tokens = torch.randint(7, 263, (2, 12))
    expected = language_model.head.loss(network, tokens, torch.ones(2, 12))[0].item()
    network.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    network.enable_input_require_grads()
    total, _ = language_model.head.loss(network.train(), tokens, torch.ones(2, 12))
    total.backward()
    assert total.item() == pytest.approx(expected, rel=1e-6) and network.prompt_encoder["default"].embedding.weight.grad is not None


@pytest.mark.parametrize("name", ["prompt", "prefix"])
def test_the_front_takes_its_positions_from_the_context_and_cannot_be_merged(name, tiny_llama):
    method, language_model, network = fronted(name, tiny_llama)
    assert method.positions == K and METHODS["lora"]().positions == 0
    with pytest.raises(RecipeError, match="merged"):
        method.merge(network, language_model)
    for wrong in (0, 5000):
        with pytest.raises(RecipeError, match="tokens"):
            METHODS[name](tokens=wrong).apply(load(str(tiny_llama)))


def test_a_prompt_starts_as_the_words_it_is_given(tiny_llama):
    language_model = load(str(tiny_llama))
    weight = Prompt(tokens=6, text="abcd").apply(language_model).prompt_encoder["default"].embedding.weight
    embedding = language_model.network.get_input_embeddings().weight
    ids = language_model.tokenizer("abcdab", add_special_tokens=False)["input_ids"]
    assert torch.equal(weight, embedding[ids])
    with pytest.raises(RecipeError, match="empty"):
        Prompt(text="").apply(load(str(tiny_llama)))


@torch.no_grad()
def test_a_prefix_starts_as_the_keys_and_values_of_words(tiny_llama):
    """A text behind the fresh prefix has the logits it has behind the words themselves."""
    language_model = load(str(tiny_llama))
    torch.manual_seed(8)
    network = METHODS["prefix"](tokens=K).apply(language_model)
    torch.manual_seed(8)
    torch.nn.Embedding(K, 2 * 2 * 16)  # the noise that PEFT draws before
    words = torch.randint(0, 263, (1, K))
    text = torch.randint(7, 263, (1, 6))
    behind = load(str(tiny_llama)).network(input_ids=torch.cat([words, text], 1)).logits[:, K:]
    assert torch.allclose(network.eval()(input_ids=text).logits, behind, atol=1e-4)


def test_a_front_that_not_every_way_leads_through_is_refused(tiny_model):
    """OPT's head asks the decoder and not the body: hooks at the body would work for losses and be silent everywhere else."""
    language_model = load(str(tiny_model("opt")))
    language_model.family = dataclasses.replace(language_model.family, reader="")
    with pytest.raises(RecipeError, match="opt") as caught:
        METHODS["prompt"](tokens=K).apply(language_model)
    assert caught.value.code == "R172"


def test_a_front_that_is_not_put_in_is_seen(tiny_llama, monkeypatch):
    """The guard of the guards: without the hooks the network is its base, and the tests above turn red."""
    monkeypatch.setattr("luthier.methods.virtual.must_be_read", lambda network: None)
    monkeypatch.setattr("luthier.methods.virtual.Front.before", lambda self, body, args, kwargs: None)
    with pytest.raises(AssertionError):
        fronted("prefix", tiny_llama)
