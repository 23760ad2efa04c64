"""Masked words from a file to fills, and a run killed and resumed ends with the same bits though its masks are noise."""
import signal

import pytest
import torch

import luthier
from luthier.errors import DataError, RecipeError, Stopped
from luthier.files import sha256_file

QUICK = {"training.threads": 1, "training.precision": "fp32", "evaluation.resamples": 200, "training.validation_rows": 4}
COLOURS, THINGS = ["red", "blue", "green", "black"], ["violin", "drum", "flute", "harp"]


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    torch.set_num_threads(1)
    monkeypatch.setattr("luthier.verbs.work.fresh_check", lambda *_, **__: {"ok": True, "sentence": "not checked here"})


@pytest.fixture(scope="session")
def masked_base(tmp_path_factory):
    """A tiny BERT whose tokenizer knows words and a mask."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("models") / "masked"
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "is", "here", "there", *COLOURS, *THINGS, "##s", *"abcdefghijklmnopqrstuvwxyz0123456789.?", *(f"##{sign}" for sign in "abcdefghijklmnopqrstuvwxyz0123456789")]
    tokenizer = Tokenizer(models.WordPiece({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer, tokenizer.decoder = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer(), decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]", model_max_length=64).save_pretrained(folder)
    torch.manual_seed(0)
    BertForMaskedLM(BertConfig(vocab_size=len(words), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=64)).save_pretrained(folder)
    return folder


@pytest.fixture
def texts(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text("\n\n".join(f"the {colour} {thing} is here {number}" for number in range(10) for colour in COLOURS for thing in THINGS))
    return path


def words(base, **more):
    return {"model": str(base), "task.name": "masked_lm", "method": "full", "training.learning_rate": 5e-3, **QUICK, **more}


def test_from_texts_to_fills(masked_base, texts, here):
    result = luthier.train(texts, words(masked_base, **{"training.epochs": 12, "task.whole_words": True}), name="gaps")
    values = {row["name"]: row["value"] for row in result.verdict["contestants"]}
    assert result.verdict["metric"] == "pseudo_perplexity" and not result.verdict["higher_is_better"]
    assert values["tuned"] < 0.5 * values["base"]
    found = luthier.predict("gaps", "the red [MASK] is here").to_dict()["answers"][0]
    assert len(found["fills"]) == 1 and len(found["fills"][0]) == 5 and found["answer"].startswith("the red ")
    assert sum(fill["text"] in THINGS for fill in found["fills"][0]) >= 3, found["fills"]
    with pytest.raises(DataError, match="no mask"):
        luthier.predict("gaps", "the red violin is here")


def test_killed_and_resumed_the_bits_are_the_same(masked_base, texts, here, monkeypatch):
    recipe = words(masked_base, **{"training.max_steps": 12, "training.save_every": 2, "training.evaluate_every": 100, "evaluation.contestants": ["base", "tuned"]})
    luthier.train(texts, recipe, name="whole")
    import luthier.verbs.training as stretch

    real, seen = stretch.Trainer.after, []

    def after(self, step):
        real(self, step)
        seen.append(step.number)
        if step.number == 5:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(stretch.Trainer, "after", after)
    with pytest.raises(Stopped):
        luthier.train(texts, recipe, name="cut")
    monkeypatch.setattr(stretch.Trainer, "after", real)
    luthier.train(resume="cut")
    assert 5 in seen and 12 not in seen
    models = [sha256_file(here / "runs" / name / "model" / "model.safetensors") for name in ("whole", "cut")]
    assert models[0] == models[1]


def test_what_cannot_be_masked_is_said(base, tiny_bert, masked_base, texts, here):
    for change, error in (({"model": str(base)}, "encoder"), ({"model": str(tiny_bert)}, "no mask token")):
        with pytest.raises(RecipeError, match=error):
            luthier.train(texts, {**words(base), **change})
    with pytest.raises(RecipeError, match="packing"):
        luthier.train(texts, {**words(masked_base), "training.packing": True})
