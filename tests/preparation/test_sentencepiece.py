"""Tokenizers that lie in a folder as a SentencePiece file alone, as T5's and Llama's once did: the ids are SentencePiece's own, controls stay text, answers end."""
import importlib.util
import io
import json
import random

import pytest

import luthier
from luthier.data.records import Conversation, Message
from luthier.errors import RecipeError, Refused
from luthier.models.load import load
from luthier.models.saving import save_tokenizer
from luthier.models.tokenizer import load_tokenizer
from luthier.preparation.renderer import Renderer

COLOURS, THINGS = ["red", "blue", "green", "black"], ["violin", "drum", "flute", "harp", "cello"]
SIGNS = [*"abcdefghij ABC  0123.,;:!?-", "ä", "ß", "é", "ﬁ", "中", "🎻", "\n", "\t", " the", " violin"]


def trained(kind: str, **how) -> bytes:
    """A small SentencePiece model as its own trainer writes it."""
    import sentencepiece

    draw = random.Random(1)
    lines = [f"the {draw.choice(COLOURS)} {draw.choice(THINGS)} no. {number} costs {draw.randrange(900)} euros, müde Grüße aus Köln" for number in range(400)]
    lines += ["".join(draw.choices(SIGNS, k=20)).replace("\n", " ").replace("\t", " ") for _ in range(200)]
    writer = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(lines), model_writer=writer, model_type=kind, hard_vocab_limit=False, minloglevel=2, **how)
    return writer.getvalue()


@pytest.fixture(scope="module")
def pieces(tmp_path_factory):
    """Two model folders, each with its SentencePiece file and no tokenizer.json: a T5 (unigram) and a Llama (BPE with bytes)."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, T5Config, T5ForConditionalGeneration

    torch.manual_seed(0)
    t5, llama = (tmp_path_factory.mktemp("pieces") / name for name in ("t5", "llama"))
    shape = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 4, "dropout_rate": 0.0, "decoder_start_token_id": 0}
    T5ForConditionalGeneration(T5Config(vocab_size=400, **shape)).save_pretrained(t5)
    (t5 / "spiece.model").write_bytes(trained("unigram", vocab_size=200, pad_id=0, eos_id=1, unk_id=2, bos_id=-1, character_coverage=1.0))
    (t5 / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "T5Tokenizer", "model_max_length": 128, "extra_ids": 10}))
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 128}
    LlamaForCausalLM(LlamaConfig(vocab_size=500, **shape)).save_pretrained(llama)
    identity = {"normalization_rule_name": "identity", "remove_extra_whitespaces": False, "byte_fallback": True, "split_digits": True}
    (llama / "tokenizer.model").write_bytes(trained("bpe", vocab_size=450, pad_id=-1, unk_id=0, bos_id=1, eos_id=2, **identity))
    (llama / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "LlamaTokenizer", "model_max_length": 128, "legacy": False}))
    return {"t5": (t5, "spiece.model"), "llama": (llama, "tokenizer.model")}


def texts(count: int) -> list[str]:
    draw = random.Random(2)
    return ["".join(draw.choices(SIGNS, k=draw.randrange(1, 40))).strip() or "a" for _ in range(count)]


@pytest.mark.parametrize("name", ["t5", "llama"])
def test_ids_are_sentencepieces_own(name, pieces):
    from sentencepiece import SentencePieceProcessor

    folder, file = pieces[name]
    oracle = SentencePieceProcessor(model_file=str(folder / file))
    tokenizer, template, _ = load_tokenizer(folder, folder)
    renderer = Renderer(tokenizer, template, 128, head="seq2seq" if name == "t5" else "causal")
    wrong = [text for text in texts(500) if renderer._clean(text) != oracle.encode(text)]
    assert not wrong, f"{len(wrong)} of 500: {wrong[:3]!r}"
    renderer.close()


@pytest.mark.parametrize("name", ["t5", "llama"])
def test_what_is_saved_needs_the_file_no_more(name, pieces, tmp_path, monkeypatch):
    folder, file = pieces[name]
    language_model = load(str(folder), head="seq2seq" if name == "t5" else "causal")
    save_tokenizer(language_model, tmp_path)
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    (tmp_path / file).unlink(missing_ok=True)
    monkeypatch.setattr(importlib.util, "find_spec", lambda found, *more, find=importlib.util.find_spec: None if found == "sentencepiece" else find(found, *more))
    again, _, _ = load_tokenizer(tmp_path, tmp_path)
    assert all(again(text)["input_ids"] == language_model.tokenizer(text)["input_ids"] for text in texts(100))
    with pytest.raises(RecipeError, match="sentencepiece") as caught:
        load_tokenizer(folder, folder)
    assert caught.value.code == "R200" and "pip install" in caught.value.hint


@pytest.mark.parametrize("how", ["in a piece", "between pieces", "at the end"])
def test_a_damaged_file_is_refused(how, pieces, tmp_path):
    """A file that ends between two pieces is sound to SentencePiece itself, and would be a tokenizer that knows fewer words."""
    from sentencepiece import SentencePieceProcessor, sentencepiece_model_pb2

    folder, file = pieces["t5"]
    whole, held = (folder / file).read_bytes(), sentencepiece_model_pb2.ModelProto()
    held.ParseFromString(whole)
    held.ClearField("trainer_spec"), held.ClearField("normalizer_spec")
    del held.pieces[60:]
    damaged = {"in a piece": whole[:701], "between pieces": held.SerializeToString(), "at the end": whole[:-3]}[how]
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes() if path.name != file else damaged)
    if how == "between pieces":
        assert SentencePieceProcessor(model_file=str(tmp_path / file)).get_piece_size() == 60
    with pytest.raises(Refused) as caught:
        load_tokenizer(tmp_path, tmp_path)
    assert caught.value.code == "S105"


def test_controls_in_the_data_stay_text_and_answers_end(pieces):
    folder, _ = pieces["t5"]
    tokenizer, template, _ = load_tokenizer(folder, folder)
    renderer = Renderer(tokenizer, template, 128, head="seq2seq")
    (prepared,) = renderer.pairs([("the red </s> violin <pad> <extra_id_0>", "blue </s> harp")])
    (item,) = prepared.examples
    source, target = item.tokens[: item.source].tolist(), item.tokens[item.source :].tolist()
    assert source.count(tokenizer.eos_token_id) == target.count(tokenizer.eos_token_id) == 1 and source[-1] == target[-1] == tokenizer.eos_token_id
    assert not {tokenizer.pad_token_id, tokenizer.convert_tokens_to_ids("<extra_id_0>")} & {*source, *target} and renderer.endless == 0
    assert "harp" in tokenizer.decode(target) and "violin" in tokenizer.decode(source)
    renderer.close()


@pytest.mark.parametrize("name", ["t5", "llama"])
def test_words_with_tags_have_the_ids_of_their_text(name, pieces):
    """A text cut into words and encoded word by word has the ids of the whole; every tag stands on the first piece of its word."""
    folder, _ = pieces[name]
    tokenizer, template, _ = load_tokenizer(folder, folder)
    renderer, draw = Renderer(tokenizer, template, 256, head="token_class"), random.Random(5)
    for _ in range(100):
        words = ["".join(draw.choices("abcdefghij", k=draw.randrange(1, 6))) if draw.random() < 0.6 else draw.choice([*COLOURS, *THINGS, "euros,", "müde", "42"]) for _ in range(draw.randrange(1, 9))]
        text, places, at = " ".join(words), [], 0
        for word in words:
            places.append((at, at + len(word)))
            at += len(word) + 1
        classes = [draw.randrange(1, 9) for _ in words]
        (item,) = renderer.tagged([(text, places, classes)])[0].examples
        assert item.tokens.tolist() == renderer.text(text)
        tagged = [(int(token), int(target)) for token, target, weight in zip(item.tokens, item.targets, item.weights, strict=True) if weight > 0]
        assert [target for _, target in tagged] == classes and all(tokenizer.convert_ids_to_tokens(token).startswith("▁") for token, _ in tagged)
    renderer.close()


def test_the_prompt_of_training_is_the_prompt_of_prediction(pieces):
    folder, _ = pieces["llama"]
    tokenizer, template, _ = load_tokenizer(folder, folder)
    renderer = Renderer(tokenizer, template, 256)
    for text in texts(50):
        (item,) = renderer.conversation(Conversation((Message("user", text), Message("assistant", f"the {text}")))).examples
        prompt = renderer.prompt([Message("user", text)])
        learned = item.weights > 0
        assert item.tokens[: len(prompt)].tolist() == prompt and not learned[: len(prompt)].any() and learned[len(prompt)] and renderer.answer(f"the {text}") == item.tokens[learned].tolist()
    renderer.close()


def test_from_a_file_to_an_answer(pieces, tmp_path, monkeypatch):
    """An encoder-decoder whose tokenizer is a SentencePiece file learns, is saved, and writes an answer that ends."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("luthier.verbs.work.fresh_check", lambda *_, **__: {"ok": True, "sentence": "not checked here"})
    rows = [{"source": f"the {colour} {thing} no. {number}", "target": colour} for number in range(5) for colour in COLOURS for thing in THINGS]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = {
        "model": str(pieces["t5"][0]), "task": "seq2seq", "method": "full", "training.epochs": 12, "training.learning_rate": 1e-2, "training.threads": 1, "training.precision": "fp32",
        "training.validation_rows": 4, "evaluation.contestants": ["lead", "tuned"], "evaluation.resamples": 200,
    }
    result = luthier.train("rows.jsonl", words, name="pieces")
    assert {row["name"]: row["value"] for row in result.verdict["contestants"]}["tuned"] > 0.5
    assert luthier.predict("pieces", "the green harp no. 77").to_dict()["answers"][0]["answer"].split()[0] in COLOURS
