"""Spruce's frozen files: a tokenizer that loses nothing, a template of two control tokens a turn, at most 7.5 M parameters."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from luthier.data.samples import generate
from luthier.files import sha256_file

SPRUCE = Path(__file__).resolve().parents[2] / "luthier" / "models" / "spruce"
FROZEN = {
    "tokenizer.json": "d56c1b38fd252e362c6246a478526cf8b593045c77a0172e10ab94700cacaea3",
    "chat_template.jinja": "9420bf120e13d3566f60654ec344fc37a73f91c763874d20ad6ea4379c349015",
}
TALK = [
    {"role": "system", "content": "You help."},
    {"role": "user", "content": "Hi 12"},
    {"role": "assistant", "content": "Hello there."},
    {"role": "user", "content": "Bye"},
    {"role": "assistant", "content": "See you"},
]


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast.from_pretrained(SPRUCE)


@pytest.mark.parametrize("name", FROZEN)
def test_the_weights_were_trained_on_these_very_files(name):
    assert sha256_file(SPRUCE / name) == FROZEN[name], f"{name} changed: spruce must be pretrained anew"


def test_the_model_is_small_and_fits_its_tokenizer(tokenizer):
    config = AutoConfig.from_pretrained(SPRUCE)
    with torch.device("meta"):
        network = AutoModelForCausalLM.from_config(config)
    assert sum(p.numel() for p in network.parameters()) == 6_951_168 <= 7_500_000
    assert config.vocab_size == len(tokenizer) == 4096 and config.max_position_embeddings == 512
    assert (config.bos_token_id, config.eos_token_id, config.pad_token_id) == (0, 1, 2)
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (0, 1, 2)
    assert network.get_input_embeddings().weight is network.get_output_embeddings().weight
    stops = json.loads((SPRUCE / "generation_config.json").read_text())
    assert (stops["bos_token_id"], stops["eos_token_id"], stops["pad_token_id"]) == (0, 1, 2)


_fast = PreTrainedTokenizerFast.from_pretrained(SPRUCE)


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_any_text_comes_back_unchanged(text):
    ids = _fast(text, add_special_tokens=False)["input_ids"]
    assert _fast.decode(ids, clean_up_tokenization_spaces=False) == text


def test_every_digit_is_a_token(tokenizer):
    assert tokenizer.tokenize(" order 4171, 20 dollars") == ["Ġorder", "Ġ", "4", "1", "7", "1", ",", "Ġ", "2", "0", "Ġdollars"]


def test_text_starts_with_the_begin_token_and_control_strings_are_tokens(tokenizer):
    assert tokenizer("Hi")["input_ids"][0] == tokenizer.bos_token_id
    for number, token in enumerate(["<|begin|>", "<|end|>", "<|pad|>", "<|system|>", "<|user|>", "<|assistant|>"]):
        assert tokenizer(token, add_special_tokens=False)["input_ids"] == [number]


def test_the_template_is_short_and_marks_what_is_learned(tokenizer):
    assert tokenizer.apply_chat_template(TALK, tokenize=False) == (
        "<|begin|><|system|>You help.<|end|><|user|>Hi 12<|end|><|assistant|>Hello there.<|end|><|user|>Bye<|end|><|assistant|>See you<|end|>"
    )
    out = tokenizer.apply_chat_template(TALK, return_dict=True, return_assistant_tokens_mask=True)
    learned = [token for token, mask in zip(out["input_ids"], out["assistant_masks"], strict=True) if mask]
    assert tokenizer.decode(learned) == "Hello there.<|end|>See you<|end|>"


def test_a_prompt_is_the_beginning_of_its_conversation(tokenizer):
    whole = tokenizer.apply_chat_template(TALK)["input_ids"]
    prompt = tokenizer.apply_chat_template(TALK[:2], add_generation_prompt=True)["input_ids"]
    assert whole[: len(prompt)] == prompt and tokenizer.decode(whole[len(prompt) :]).startswith("Hello there.<|end|>")


def test_an_unknown_role_is_refused_with_a_sentence(tokenizer):
    with pytest.raises(Exception, match="knows the roles system, user and assistant, not 'tool'"):
        tokenizer.apply_chat_template([{"role": "tool", "content": "x"}], tokenize=False)


def test_the_sample_world_is_short_in_tokens(tokenizer):
    lengths = [len(tokenizer.apply_chat_template(row["messages"])["input_ids"]) for row in generate("chat", rows=300, seed=1)]
    assert max(lengths) <= 110 and sum(lengths) / len(lengths) < 65
