"""A base small enough to train in a second, with a tokenizer and a chat template of its own, and data for it."""
import json
import os

import pytest

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{% if message.role == 'assistant' %}<|assistant|>{% generation %}{{ message.content }}<|end|>{% endgeneration %}"
    "{% else %}<|{{ message.role }}|>{{ message.content }}<|end|>{% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIALS = ["<|begin|>", "<|end|>", "<|pad|>", "<|system|>", "<|user|>", "<|assistant|>"]
COLOURS = ["red", "blue", "green", "black"]
THINGS = ["violin", "drum", "flute", "harp", "piano", "cello", "guitar", "horn"]


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    """A folder with a random Llama of about 30 thousand weights."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("models") / "tiny"
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=320, special_tokens=SPECIALS, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator([f"the {colour} {thing} is here" for colour in COLOURS for thing in THINGS], trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=SPECIALS[0], eos_token=SPECIALS[1], pad_token=SPECIALS[2], model_max_length=96, chat_template=TEMPLATE)
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=320, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=96, bos_token_id=0, eos_token_id=1, pad_token_id=2, tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def conversations(count: int) -> list[dict]:
    """Questions whose answer copies a word of the question."""
    pairs = [(colour, thing, number) for number in range(count) for colour in COLOURS for thing in THINGS][:count]
    return [
        {"messages": [{"role": "user", "content": f"where is the {colour} {thing} {number}?"}, {"role": "assistant", "content": f"the {thing} is here"}]}
        for colour, thing, number in pairs
    ]


@pytest.fixture
def chats(tmp_path):
    """A file of 120 conversations."""
    path = tmp_path / "chats.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in conversations(120)))
    return path


@pytest.fixture
def tickets(tmp_path):
    """A file of 160 labelled texts: the label is the colour."""
    path = tmp_path / "tickets.csv"
    rows = [f"the {colour} {thing} number {number} please,{colour}" for number in range(5) for colour in COLOURS for thing in THINGS]
    path.write_text("text,label\n" + "\n".join(rows) + "\n")
    return path


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working folder with its own runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LUTHIER_RUNS", raising=False)
    return tmp_path
