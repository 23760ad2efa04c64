"""Prompts of encoder-decoders: equal to PEFT's own forward, and right where sources are padded, losses taken, and answers written with a cache."""
import pytest
import torch
from methods_shared import nudge

from luthier.errors import RecipeError
from luthier.generation.rewriting import rewrite
from luthier.methods import METHODS, before_source
from luthier.models.families import family_of
from luthier.models.load import load
from luthier.models.memory import plan_memory
from luthier.models.written_heads import start_token

K = 5
ALL = [pytest.param(name, marks=() if name in ("t5", "bart") else pytest.mark.nightly) for name in ("t5", "bart", "mt5", "pegasus", "mbart")]


def batch():
    generator = torch.Generator().manual_seed(3)
    sources, attend = torch.randint(7, 263, (3, 12), generator=generator), torch.ones(3, 12, dtype=torch.long)
    attend[1, 8:], sources[1, 8:] = 0, 0
    return sources, attend, torch.randint(7, 263, (3, 6), generator=generator)


def fronted(folder):
    """A network with K virtual tokens that do something."""
    torch.manual_seed(0)
    language_model, method = load(str(folder), head="seq2seq"), METHODS["prompt"](tokens=K)
    network = language_model.network = method.apply(language_model)
    nudge(method, network)
    sources, attend, written = batch()
    inputs = {"input_ids": sources, "attention_mask": attend, "decoder_input_ids": written}
    with torch.no_grad(), method.disabled(network.eval()):
        before = network(**inputs).logits
    stock = load(str(folder), head="seq2seq").network.eval()
    assert torch.allclose(stock(**inputs).logits, before, atol=1e-5), "switched off it is the base"
    assert (network(**inputs).logits - before).abs().max() > 1e-3, "switched on it is not"
    return method, language_model, network, inputs


@pytest.mark.parametrize("name", ALL)
def test_outputs_and_losses_are_pefts_own(name, tiny_model, tmp_path):
    from peft import PeftModel
    from transformers import AutoModelForSeq2SeqLM

    method, language_model, network, inputs = fronted(tiny_model(name))
    method.save(network, language_model, tmp_path)
    stock = PeftModel.from_pretrained(AutoModelForSeq2SeqLM.from_pretrained(tiny_model(name), dtype=torch.float32), tmp_path).eval()
    with torch.no_grad():
        assert torch.allclose(network(**inputs).logits, stock(**inputs).logits, atol=1e-5)
    again = load(str(tiny_model(name)), head="seq2seq", seed=99)
    assert torch.allclose(method.load(again, tmp_path).eval()(**inputs).logits, network(**inputs).logits, atol=1e-6)
    sources, attend, target = batch()
    start = torch.full_like(target[:, :1], start_token(network))
    theirs = stock(input_ids=sources, attention_mask=attend, decoder_input_ids=torch.cat([start, target[:, :-1]], 1), labels=target).loss
    total, count = language_model.head.loss(network, target, torch.ones(3, 6), source_BS=sources, source_attend_BS=attend)
    assert total.item() / count == pytest.approx(theirs.item(), rel=1e-5)
    total.backward()
    (weight,) = method.trainable(network).values()
    assert weight.shape[0] == K and weight.grad.abs().sum(1).min() > 0, "every virtual token learns"


@pytest.mark.parametrize("name", ALL)
def test_a_source_in_company_is_the_source_alone_and_writing_with_a_cache_is_writing_without(name, tiny_model):
    _, language_model, network, inputs = fronted(tiny_model(name))
    together = network(**inputs).logits
    alone = network(input_ids=inputs["input_ids"][1:2, :8], decoder_input_ids=inputs["decoder_input_ids"][1:2]).logits
    assert torch.allclose(together[1], alone[0], atol=1e-4)
    sources = [[10, 20, 30, 40, 50], [11, 12], [60, 61, 62]]
    for source, found in zip(sources, rewrite(language_model, sources, max_new_tokens=6), strict=True):
        written = [start_token(network)]
        with torch.no_grad():
            for token in found.tokens:
                assert token == network(input_ids=torch.tensor([source]), decoder_input_ids=torch.tensor([written])).logits[0, -1].argmax().item()
                written.append(token)


@pytest.mark.parametrize("half", ["before_encoder", "before_decoder"])
def test_without_one_of_the_hooks_it_is_seen(half, tiny_model, monkeypatch):
    """The guard of the guards: each hook is needed."""
    monkeypatch.setattr(before_source.SourceFront, half, lambda self, part, args, kwargs: None)
    with pytest.raises((RecipeError, RuntimeError)):
        fronted(tiny_model("t5"))


def test_a_prefix_is_refused_while_peft_gives_layers_the_same_keys(tiny_model):
    """Why `prefix` is refused: of two layers PEFT gives both the same keys, and the others no gradient. Red once PEFT does otherwise."""
    from peft import PrefixTuningConfig, get_peft_model
    from transformers import AutoModelForSeq2SeqLM

    assert "same learned keys" in METHODS["prefix"]().refusal("seq2seq", family_of("t5"))
    network = get_peft_model(AutoModelForSeq2SeqLM.from_pretrained(tiny_model("t5")), PrefixTuningConfig(task_type="SEQ_2_SEQ_LM", num_virtual_tokens=K))
    first, second = network.get_prompt(1).self_attention_cache.layers
    assert torch.equal(first.keys, second.keys) and torch.equal(first.values, second.values)


@pytest.mark.parametrize("name", ["t5", "bart"])
def test_it_has_a_plan_and_takes_its_positions_from_the_context(name, tiny_model):
    plan = plan_memory(str(tiny_model(name)), METHODS["prompt"](tokens=K), rows=2, length=32)
    assert plan.trainable == K * 32 and all(value >= 0 for value in plan.parts.values()) and plan.parts["activations"] > 0
    assert METHODS["prompt"](tokens=K).positions == K
