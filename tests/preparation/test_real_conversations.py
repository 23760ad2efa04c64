"""The renderer over real conversations and real tokenizers; skipped where the shared data are absent."""
import json
import os
from functools import cache
from pathlib import Path

import pytest
from chat_styles import STYLES, as_dicts, tokenizer_for
from transformers import GPT2TokenizerFast, PreTrainedTokenizerFast

from luthier.data.records import Conversation, Message
from luthier.preparation.renderer import Renderer

DATA = Path(os.environ.get("LUTHIER_TEST_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
pytestmark = pytest.mark.skipif(not (DATA / "instruct").exists(), reason=f"no shared data at {DATA}; set LUTHIER_TEST_DATA to read them")
SHIPPED = Path(__file__).resolve().parents[2] / "luthier" / "models" / "spruce"


@cache
def conversations() -> tuple[Conversation, ...]:
    """Service dialogues of several turns, instructions with inputs, and programs: 1,000 in all."""
    found = []
    for name in ("dialogues_001.json", "dialogues_002.json"):
        for dialogue in json.loads((DATA / "instruct/google-research-datasets__dstc8-schema-guided-dialogue/dev" / name).read_text()):
            roles = {"USER": "user", "SYSTEM": "assistant"}
            found.append(tuple(Message(roles[turn["speaker"]], turn["utterance"]) for turn in dialogue["turns"]))
    for path in ("instruct/rasbt__LLMs-from-scratch/ch07/01_main-chapter-code/instruction-data.json", "instruct/teknium1__GPTeacher/Codegen/codegen-instruct.json"):
        for row in json.loads((DATA / path).read_text()):
            answer = row.get("output") or row.get("response")
            if answer and row["instruction"]:
                found.append((Message("user", f"{row['instruction']}\n{row['input']}".strip()), Message("assistant", answer.strip())))
    return tuple(Conversation(messages) for messages in found[:1000])


def tokenizers():
    yield "spruce", PreTrainedTokenizerFast.from_pretrained(SHIPPED)
    for name in ("stories260K", "TinyStories-656K", "babyllama-tok105"):
        yield name, PreTrainedTokenizerFast.from_pretrained(DATA / "models" / name)
    yield "torchtitan", PreTrainedTokenizerFast.from_pretrained(DATA / "tokenizers/pytorch__torchtitan/tests/assets/tokenizer")
    folder = DATA / "tokenizers/rasbt__LLMs-from-scratch/ch02/02_bonus_bytepair-encoder/gpt2_model"
    yield "gpt2", GPT2TokenizerFast(vocab=str(folder / "encoder.json"), merges=str(folder / "vocab.bpe"))


def test_training_prompt_equals_prediction_prompt_on_real_conversations():
    """250 of the conversations spread over six real tokenizers and ten styles: every learned answer stands behind what prediction serves."""
    renderers = [Renderer(tokenizer, tokenizer.chat_template, 1 << 20) for _, tokenizer in tokenizers()]
    renderers += [Renderer(tokenizer_for(style), STYLES[style].template, 1 << 20) for style in STYLES]
    assert len(conversations()) == 1000
    records = conversations()[::4]
    asked = equal = 0
    for number, record in enumerate(records):
        renderer = renderers[number % len(renderers)]
        turns = [index for index, message in enumerate(record.messages) if message.role == "assistant"]
        examples = renderer.conversation(record).examples
        for turn in {turns[len(turns) // 2], turns[-1]}:
            prompt = renderer.prompt(record.messages[:turn])
            end = len(prompt)
            asked += 1
            equal += any(example.tokens[:end].tolist() == prompt and example.weights[end] > 0 == example.weights[end - 1] for example in examples)
    print(f"{equal} of {asked} answers in {len(records)} conversations")
    assert equal == asked > 250
    for renderer in renderers:
        renderer.close()


def test_ids_equal_transformers_on_real_conversations():
    """Byte-level tokenizers with the style's own tokens: the ids of apply_chat_template, row for row."""
    for style in ("chatml", "headers", "marked"):
        tokenizer = tokenizer_for(style)
        renderer = Renderer(tokenizer, tokenizer.chat_template, 1 << 20)
        rows = conversations()[:: 7]
        for record, prepared in zip(rows, renderer.conversations(rows), strict=True):
            whole = tokenizer.apply_chat_template(as_dicts(record.messages))["input_ids"]
            assert prepared.examples[0].tokens.tolist() == whole
        assert not renderer.counts
        renderer.close()
