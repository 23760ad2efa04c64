"""Spruce has read no exam: its corpus shares no row and no 13-gram with any evaluation set, nor with any sample."""

import json
from pathlib import Path

import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from luthier.data.samples import KINDS, generate
from luthier.data.samples.overlap import exact
from recipes.spruce import corpus, exams

SPRUCE = Path(__file__).resolve().parents[2] / "luthier" / "models" / "spruce"
SENTENCE = "The quick brown fox jumps over the lazy dog while seven small birds watch from the old wall"


@pytest.fixture(scope="module")
def held(real_data):
    return exams.load(real_data)


@pytest.fixture(scope="module")
def documents(real_data):
    return list(corpus.read(real_data))


@pytest.fixture(scope="module")
def kept(documents, held):
    return [document for document, reason in zip(documents, corpus.left_out(documents, held), strict=True) if not reason]


@pytest.fixture(scope="module")
def grams_of_kept(kept, held):
    return np.unique(held.grams.of(document.text for document in kept)[0])


@pytest.fixture(scope="module")
def units_of_kept(kept):
    return {exact(unit) for document in kept for unit in (document.text, *document.turns)}


def test_every_exam_set_is_read(real_data, held):
    for name in exams.SETS:
        assert next(exams.texts_of(real_data / name), None) is not None, name
    assert exact("I am still waiting on my card?") in held.rows, "a question of banking77"
    assert len(held.hashes) > 5_000_000 and len(held.rows) > 100_000


def test_no_document_shares_a_13_gram_with_an_exam(grams_of_kept, held):
    assert len(grams_of_kept) > 2_500_000 and not len(np.intersect1d(grams_of_kept, held.hashes, assume_unique=True))


def test_no_document_and_no_turn_is_a_row_of_an_exam(units_of_kept, held):
    assert len(units_of_kept) > 100_000 and not units_of_kept & held.rows


def test_without_the_guard_exams_would_be_in_it(documents, kept, held):
    """The guard does something: what the sources offer does overlap."""
    stayed = set(kept)
    gone = [document for document in documents if document not in stayed]
    assert len(gone) > 1000 and held.share(held.grams.of(document.text for document in gone)[0]).any()


def test_no_sample_row_is_in_it(grams_of_kept, units_of_kept, held):
    texts = [KINDS[kind].text(row) for kind in KINDS for seed in (1, 2, 3) for row in generate(kind, rows=1200, seed=seed)]
    theirs = np.unique(held.grams.of(texts)[0])
    assert len(theirs) > 50_000 and not len(np.intersect1d(grams_of_kept, theirs, assume_unique=True))
    assert not units_of_kept & {exact(text) for text in texts}


def test_a_dialogue_framed_is_what_the_template_renders(kept):
    tokenizer = PreTrainedTokenizerFast.from_pretrained(SPRUCE)
    talks = [document for document in kept if document.turns][::400]
    assert len(talks) > 20
    for document in talks:
        messages = [{"role": ("user", "assistant")[i % 2], "content": turn} for i, turn in enumerate(document.turns)]
        if document.text.startswith("<|system|>"):
            messages.insert(0, {"role": "system", "content": document.text.removeprefix("<|system|>").split("<|end|>")[0]})
        framed = [*tokenizer(document.text)["input_ids"], tokenizer.eos_token_id]
        assert framed == tokenizer.apply_chat_template(messages)["input_ids"]


@pytest.fixture
def small_data(tmp_path):
    """A folder laid out like the real data, with one exam row that also stands in every source."""
    data = tmp_path / "data"
    for _, path in corpus.SOURCES.values():
        (data / path).parent.mkdir(parents=True, exist_ok=True)
    talk = ["I need a table for two tonight", "Where should it be?", "In Napa, please", "It is booked for you"]
    rows = [{"services": ["RideSharing_1", "Banks_2"], "turns": talk}, {"turns": talk}, {"turns": [SENTENCE, "Yes", "odd one out"]}]
    rows.append({"turns": ["Where is my parcel today", "It is on its way"]})
    pretraining = data / corpus.PRETRAINING
    (pretraining / "service_dialogues.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (pretraining / "taskmaster4_dialogues.jsonl").write_text("")
    (pretraining / "wiki_demo.txt").write_text("A violin is a wooden instrument.It has four strings, and is played with a bow.\n")
    (pretraining / "bronte.txt").write_text(f"CHAPTER I\n\nIt was a _cold_ day, and\nthe rain fell.\n\n{SENTENCE}\n")
    (pretraining / "dubois.txt").write_text("The harp stood in the hall,\nand nobody played it.\n")
    (data / corpus.SOURCES["tinystories"][1]).write_text("\nOnce there was a “dog”.\nIt ran.\n<|endoftext|>\nBroken â€œstory.\n<|endoftext|>\n")
    for name in exams.SETS:
        (data / name).mkdir(parents=True, exist_ok=True)
    (data / "math" / "train.jsonl").write_text(json.dumps({"question": SENTENCE}) + "\n")
    (data / "classification" / "test.csv").write_text("text,category\nWhere is my PARCEL today?,x\n")
    return data


def built(folder) -> dict[str, list[str]]:
    rows = [json.loads(line) for name in ("train", "validation", "test") for line in (folder / f"{name}.jsonl").read_text().splitlines()]
    return {source: [row["text"] for row in rows if row["source"] == source] for source in corpus.SOURCES}


def test_sources_are_cleaned_framed_and_freed_of_exams(small_data, tmp_path):
    summary = corpus.build(tmp_path / "out", small_data)
    found = built(tmp_path / "out")
    assert sorted(found["service_dialogues"]) == [
        "<|system|>You help with banks and ride sharing.<|end|><|user|>I need a table for two tonight<|end|><|assistant|>Where should it be?"
        "<|end|><|user|>In Napa, please<|end|><|assistant|>It is booked for you",
        "<|user|>I need a table for two tonight<|end|><|assistant|>Where should it be?<|end|><|user|>In Napa, please<|end|><|assistant|>It is booked for you",
    ]
    assert found["wikipedia"] == ["A violin is a wooden instrument.\nIt has four strings, and is played with a bow."]
    assert found["dubois"] == ["The harp stood in the hall, and nobody played it."]
    assert found["tinystories"] == ['Once there was a "dog".\nIt ran.']
    assert found["bronte"] == [], "its only piece holds the exam sentence"
    assert summary["sources"]["bronte"] == {"left out: shares 13 words with an exam": 1}
    assert summary["sources"]["service_dialogues"]["left out: is a row of an exam"] == 1


def test_the_exam_sentence_alone_is_what_keeps_a_piece_out(small_data, tmp_path):
    (small_data / "math" / "train.jsonl").write_text(json.dumps({"question": "Something else."}) + "\n")
    corpus.build(tmp_path / "out", small_data)
    assert built(tmp_path / "out")["bronte"] == ["It was a cold day, and the rain fell.\n" + SENTENCE]


def test_pieces_keep_every_word_and_stay_below_the_limit():
    paragraphs = [f"Sentence {i} of this text is here. " * (i % 7) + "End." for i in range(60)] + ["x" * 3000]
    found = list(corpus.pieces(paragraphs, 500))
    assert max(map(len, found)) <= 520
    assert "".join("".join(found).split()) == "".join("".join(paragraphs).split())


def test_long_dialogues_are_cut_before_a_user_turn():
    turns = [f"turn {i} " + "word " * 40 for i in range(40)]
    cuts = list(corpus.windows(turns))
    assert len(cuts) > 3 and all(start % 2 == 0 and stop % 2 == 0 for start, stop in cuts)
    assert [i for start, stop in cuts for i in range(start, stop)] == list(range(40))
