"""Ten chat templates of our own writing in the styles that models use, tokenizers of four kinds, and conversations to render with them."""
import random
from dataclasses import dataclass
from functools import cache

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from luthier.data.records import Conversation, Message


@dataclass(frozen=True)
class Style:
    """A template with the tokens it needs. `special` are added as special tokens, `added` as ordinary ones."""

    template: str
    special: tuple[str, ...]
    added: tuple[str, ...] = ()
    bos: str | None = None
    eos: str | None = None
    system: bool = True
    tools: bool = False
    headers: tuple[str, ...] = ()
    """What opens a turn of each role, in the order system, user, assistant; counted to see that turns equal messages."""


STYLES = {
    "chatml": Style(
        "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
        ("<|endoftext|>", "<|im_start|>", "<|im_end|>"), bos=None, eos="<|im_end|>", headers=("<|im_start|>system", "<|im_start|>user", "<|im_start|>assistant"),
    ),
    "inst": Style(
        "{% if messages[0]['role'] == 'system' %}{% set lead = '<<SYS>>\n' + messages[0]['content'] + '\n<</SYS>>\n\n' %}{% set rest = messages[1:] %}"
        "{% else %}{% set lead = '' %}{% set rest = messages %}{% endif %}"
        "{% for m in rest %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('turns must alternate user/assistant') }}{% endif %}"
        "{% if m['role'] == 'user' %}{{ bos_token + '[INST] ' + (lead if loop.first else '') + m['content'] | trim + ' [/INST]' }}"
        "{% else %}{{ ' ' + m['content'] | trim + ' ' + eos_token }}{% endif %}{% endfor %}",
        ("<unk>", "<s>", "</s>"), bos="<s>", eos="</s>", headers=("<<SYS>>", "[INST]", "[/INST]"),
    ),
    "headers": Style(
        "{{- bos_token }}{%- for m in messages %}{{- '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' + m.content | trim + '<|eot_id|>' }}{%- endfor %}"
        "{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{%- endif %}",
        ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|reserved_0|>"), bos="<|begin_of_text|>", eos="<|end_of_text|>",
        headers=("<|start_header_id|>system", "<|start_header_id|>user", "<|start_header_id|>assistant"),
    ),
    "zephyr": Style(
        "{% for m in messages %}\n{% if m['role'] == 'user' %}\n{{ '<|user|>\n' + m['content'] + eos_token }}\n{% elif m['role'] == 'system' %}\n{{ '<|system|>\n' + m['content'] + eos_token }}\n"
        "{% elif m['role'] == 'assistant' %}\n{{ '<|assistant|>\n'  + m['content'] + eos_token }}\n{% endif %}\n{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}\n{% endfor %}",
        ("<unk>", "<s>", "</s>"), bos="<s>", eos="</s>", headers=("<|system|>", "<|user|>", "<|assistant|>"),
    ),
    "turns": Style(
        "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}{% for m in messages %}"
        "{{ '<start_of_turn>' + ('model' if m['role'] == 'assistant' else m['role']) + '\n' + m['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}",
        ("<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>"), bos="<bos>", eos="<eos>", system=False, headers=("", "<start_of_turn>user", "<start_of_turn>model"),
    ),
    "tools": Style(
        "{{- bos_token }}{%- if tools %}{{- '[AVAILABLE_TOOLS] ' + tools | tojson + '[/AVAILABLE_TOOLS]' }}{%- endif %}"
        "{%- for m in messages %}{%- if m['role'] == 'system' %}{{- '[SYSTEM_PROMPT]' + m['content'] + '[/SYSTEM_PROMPT]' }}"
        "{%- elif m['role'] == 'user' %}{{- '[INST] ' + m['content'] + '[/INST]' }}"
        "{%- elif m['role'] == 'tool' %}{{- '[TOOL_RESULTS] ' + {'content': m['content']} | tojson + '[/TOOL_RESULTS]' }}"
        "{%- elif m.tool_calls is defined %}{{- '[TOOL_CALLS] [' }}{%- for call in m.tool_calls %}{{- call.function | tojson }}{%- if not loop.last %}{{- ', ' }}{%- endif %}{%- endfor %}{{- ']' + eos_token }}"
        "{%- else %}{{- ' ' + m['content'] + eos_token }}{%- endif %}{%- endfor %}",
        ("<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[TOOL_CALLS]"), ("[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]"),
        bos="<s>", eos="</s>", tools=True, headers=("[SYSTEM_PROMPT]", "[INST]", "[/INST]"),
    ),
    "thinking": Style(
        "{%- if tools %}{{- '<|im_start|>system\nTools:\n<tools>' }}{%- for tool in tools %}{{- '\n' + tool | tojson }}{%- endfor %}{{- '\n</tools><|im_end|>\n' }}{%- endif %}"
        "{%- set ns = namespace(last=-1) %}{%- for m in messages %}{%- if m.role == 'user' %}{%- set ns.last = loop.index0 %}{%- endif %}{%- endfor %}"
        "{%- for m in messages %}{%- if m.role == 'assistant' %}{%- set words = m.content %}{%- set thoughts = '' %}"
        "{%- if '</think>' in words %}{%- set thoughts = words.split('</think>')[0].split('<think>')[-1].strip('\n') %}{%- set words = words.split('</think>')[-1].lstrip('\n') %}{%- endif %}"
        "{{- '<|im_start|>assistant\n' }}{%- if loop.index0 > ns.last %}{{- '<think>\n' + thoughts + '\n</think>\n\n' }}{%- endif %}{{- words }}"
        "{%- if m.tool_calls %}{%- for call in m.tool_calls %}{{- '\n<tool_call>\n' + call.function | tojson + '\n</tool_call>' }}{%- endfor %}{%- endif %}{{- '<|im_end|>\n' }}"
        "{%- elif m.role == 'tool' %}{{- '<|im_start|>user\n<tool_response>\n' + m.content + '\n</tool_response><|im_end|>\n' }}"
        "{%- else %}{{- '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{%- endif %}{%- endfor %}"
        "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}",
        ("<|endoftext|>", "<|im_start|>", "<|im_end|>"), ("<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"),
        eos="<|im_end|>", tools=True, headers=("<|im_start|>system", "<|im_start|>user", "<|im_start|>assistant"),
    ),
    "plain": Style(
        "{{ bos_token }}{% for m in messages %}{{ m.role | capitalize + ':\n' + m.content + (eos_token if m.role == 'assistant' else '') + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:\n' }}{% endif %}",
        ("<unk>", "<s>", "</s>"), bos="<s>", eos="</s>", headers=("System:", "User:", "Assistant:"),
    ),
    "alpaca": Style(
        "{{ 'Below is an instruction that describes a task. Write a response that completes it.\n\n' }}"
        "{% for m in messages %}{% if m.role == 'system' %}{{ m.content + '\n\n' }}{% elif m.role == 'user' %}{{ '### Instruction:\n' + m.content + '\n\n### Response:\n' }}{% else %}{{ m.content + eos_token + '\n\n' }}{% endif %}{% endfor %}",
        ("<unk>", "<s>", "</s>"), bos="<s>", eos="</s>", headers=("", "### Instruction:", "### Response:"),
    ),
    "marked": Style(
        "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'assistant' %}{{ '<|assistant|>' }}{% generation %}{{ m['content'] + '<|end|>' }}{% endgeneration %}"
        "{% else %}{{ '<|' + m['role'] + '|>' + m['content'] + '<|end|>' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}",
        ("<|begin|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"), bos="<|begin|>", eos="<|end|>", headers=("<|system|>", "<|user|>", "<|assistant|>"),
    ),
}

WORDS = (
    "the a of to and in it is was for on that with as be at by this have from or one had not but what all were when we there can an your which their if will each about how up out them then she many some so "
    "these would other into has more her two like him see time could no make than first been its who now people my made over did down only way find use may water long little very after words called just where most know guitar string tune"
).split()
ODD = ["don't", "3.14", "e-mail", "naïve", "Grüße", "日本語", "🎸", "x=1;", "(so)", "\"quoted\"", "A/B", "100%", "C#", "https://a.example/b?c=d", "tab\there", "two  spaces", "it's…", "Ünï", "-", "a_b"]


def corpus() -> list[str]:
    source = random.Random(5)
    return [" ".join(source.choice(WORDS + ODD + ["user", "assistant", "system", "model", "Instruction", "Response", "INST"]) for _ in range(30)) + "\n" for _ in range(400)]


@cache
def trained(kind: str) -> str:
    """A small tokenizer of one kind as JSON, without added tokens."""
    if kind == "bytes":
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
        trainer = trainers.BpeTrainer(vocab_size=900, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    elif kind in ("first", "always"):
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
        tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(prepend_scheme=kind, split=False), decoders.Metaspace(prepend_scheme=kind)
        trainer = trainers.BpeTrainer(vocab_size=900, special_tokens=["<unk>"] + [f"<0x{n:02X}>" for n in range(256)], show_progress=False, max_token_length=12)
    elif kind == "legacy":
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
        trainer = trainers.BpeTrainer(vocab_size=900, special_tokens=["<unk>"] + [f"<0x{n:02X}>" for n in range(256)], show_progress=False, max_token_length=12)
    elif kind == "wordpiece":
        tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        tokenizer.normalizer, tokenizer.pre_tokenizer, tokenizer.decoder = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer(), decoders.WordPiece()
        trainer = trainers.WordPieceTrainer(vocab_size=900, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], show_progress=False)
    elif kind == "unigram":
        tokenizer = Tokenizer(models.Unigram())
        tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(prepend_scheme="first"), decoders.Metaspace(prepend_scheme="first")
        trainer = trainers.UnigramTrainer(vocab_size=600, unk_token="<unk>", special_tokens=["<unk>", "<s>", "</s>"], show_progress=False)
    tokenizer.train_from_iterator(corpus(), trainer)
    return tokenizer.to_str()


@cache
def tokenizer_for(style: str, kind: str = "bytes") -> PreTrainedTokenizerFast:
    """A tokenizer of one kind with a style's tokens and template."""
    import json

    chosen, source = STYLES[style], json.loads(trained(kind))
    source["added_tokens"] = [entry for entry in source["added_tokens"] if not entry["content"].startswith("<0x")]
    tokenizer = Tokenizer.from_str(json.dumps(source))
    tokenizer.add_special_tokens([AddedToken(text, normalized=False) for text in chosen.special])
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in chosen.added])
    if chosen.bos:
        tokenizer.post_processor = processors.TemplateProcessing(single=f"{chosen.bos} $A", special_tokens=[(chosen.bos, tokenizer.token_to_id(chosen.bos))])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=chosen.bos, eos_token=chosen.eos, unk_token="<unk>" if tokenizer.token_to_id("<unk>") is not None else None)
    fast.chat_template = chosen.template
    return fast


@cache
def bert() -> PreTrainedTokenizerFast:
    """A WordPiece tokenizer as encoders have it."""
    tokenizer = Tokenizer.from_str(trained("wordpiece"))
    numbers = [(text, tokenizer.token_to_id(text)) for text in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=numbers)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", sep_token="[SEP]", cls_token="[CLS]", pad_token="[PAD]", mask_token="[MASK]")


TOOL = {"type": "function", "function": {"name": "tune", "description": "Tune a string", "parameters": {"type": "object", "properties": {"note": {"type": "string"}}, "required": ["note"]}}}


def sentence(source: random.Random, longest: int = 14) -> str:
    """Ordinary words with odd ones among them, sometimes over two lines."""
    words = [source.choice(ODD if source.random() < 0.15 else WORDS) for _ in range(source.randint(1, longest))]
    return (" ".join(words) if source.random() < 0.85 else "\n".join([" ".join(words), source.choice(WORDS)])).strip().capitalize()


def conversation(style: str, seed: int) -> Conversation:
    """A conversation that a style takes: one to four exchanges, sometimes with a system message, a tool call, thoughts, an answer of weight 0."""
    source, chosen = random.Random(f"{style} {seed}"), STYLES[style]
    messages: list[Message] = []
    tools = (TOOL,) if chosen.tools and source.random() < 0.4 else ()
    if chosen.system and source.random() < 0.4:
        messages.append(Message("system", sentence(source)))
    for _ in range(source.randint(1, 4)):
        messages.append(Message("user", sentence(source)))
        if tools and source.random() < 0.4:
            call = {"id": "call00001", "type": "function", "function": {"name": "tune", "arguments": {"note": source.choice("ABCDEFG")}}}
            messages += [Message("assistant", "", extra={"tool_calls": [call]}), Message("tool", sentence(source, 5), extra={"tool_call_id": "call00001"})]
        answer = sentence(source)
        if style == "thinking" and source.random() < 0.5:
            answer = f"<think>\n{sentence(source)}\n</think>\n\n{answer}"
        messages.append(Message("assistant", answer, weight=0.0 if source.random() < 0.15 else 1.0))
    return Conversation(tuple(messages), tools)


def as_dicts(messages) -> list[dict]:
    """Messages as Transformers takes them."""
    return [{"role": message.role, "content": message.content, **message.extra} for message in messages]
