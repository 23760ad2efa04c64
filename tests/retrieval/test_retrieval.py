"""Passages know their place, every way to search finds what it should, and kept vectors are used only for what they were made from."""
import numpy as np
import pytest

from luthier.errors import DataError, RecipeError
from luthier.retrieval import dense
from luthier.retrieval.bm25 import words
from luthier.retrieval.documents import of_pairs, passages_of, read
from luthier.retrieval.hybrid import FLAT, fused
from luthier.retrieval.index import RETRIEVERS, open_index
from luthier.retrieval.passages import Document, Hit, cut
from luthier.retrieval.settings import RetrievalSettings

TEXTS = ["The viola costs 420 dollars.", "Mrs. Moore teaches the flute.", "We open at ten on Tuesdays.", "Harps are built by Brook."]


def embed(texts):
    """Counted words: a stand-in whose neighbours are known."""
    vocabulary = sorted({word for text in TEXTS for word in words(text)})
    return np.array([[words(text).count(word) for word in vocabulary] for text in texts], dtype=np.float32)


def passages(texts=TEXTS):
    return passages_of(RetrievalSettings(), lambda: [Document(text, "made", number + 1) for number, text in enumerate(texts)])


@pytest.mark.parametrize("by", RETRIEVERS)
def test_every_way_finds_the_passage_that_answers(by):
    index = open_index(passages(), RetrievalSettings(by=by), embed=embed)
    found = index.search(["what does the viola cost?", "who builds your harps", "nothing of this"], 2)
    assert [each[0].text for each in found[:2]] == [TEXTS[0], TEXTS[3]]
    assert index.search([], 2) == [] and len(index.search(["the viola"], 50)[0]) <= 4


def test_bm25_is_the_published_formula():
    from math import log

    texts = [["cat", "sat"], ["cat", "cat", "dog"], ["bird"]]
    found = {hit.number: hit.score for hit in RETRIEVERS["bm25"]([" ".join(text) for text in texts])(["cat"], 3)[0]}
    mean, idf = 2.0, log(1 + (3 - 2 + 0.5) / (2 + 0.5))
    for number, times in ((0, 1), (1, 2), (2, 0)):
        # Lucene leaves out the constant factor k1 + 1 above the line.
        assert found[number] == pytest.approx(idf * times / (times + 1.5 * (1 - 0.75 + 0.75 * len(texts[number]) / mean)), abs=1e-5)


def test_reciprocal_rank_by_hand():
    found = fused([[Hit(7, 3.0), Hit(2, 1.0), Hit(9, 0.0)], [Hit(2, 0.9)]], 3)
    assert [hit.number for hit in found] == [2, 7] and found[0].score == pytest.approx(1 / (FLAT + 2) + 1 / (FLAT + 1))


def test_vectors_need_an_encoder():
    with pytest.raises(RecipeError, match="no encoder"):
        open_index(passages(), RetrievalSettings(by="dense"))


def test_a_row_never_finds_itself():
    rows = [object(), object()]
    found = passages_of(RetrievalSettings(), lambda: of_pairs([("where is the harp", "here"), ("where is the drum", "there")], rows))
    index = open_index(found, RetrievalSettings())
    assert "drum" in index.search(["where is the drum"], 1)[0][0].text
    assert "drum" not in index.search(["where is the drum"], 1, without=[rows[1]])[0][0].text


# ---- kept vectors -------------------------------------------------------------------------------
def test_vectors_are_kept_and_made_again_when_texts_or_encoder_change(tmp_path):
    calls = []

    def counted(texts):
        calls.append(len(texts))
        return embed(texts)

    first = dense.kept_vectors(TEXTS, counted, tmp_path / "vectors", "one")
    assert np.array_equal(dense.kept_vectors(TEXTS, counted, tmp_path / "vectors", "one"), first) and calls == [4]
    dense.kept_vectors(TEXTS, counted, tmp_path / "vectors", "another encoder")
    dense.kept_vectors(TEXTS[:3], counted, tmp_path / "vectors", "another encoder")
    assert calls == [4, 4, 3]
    (tmp_path / "vectors" / dense.VECTORS).write_bytes(b"\0" * 16)
    dense.kept_vectors(TEXTS[:3], counted, tmp_path / "vectors", "another encoder")
    assert calls == [4, 4, 3, 3], "a damaged file is not trusted"


# ---- passages -----------------------------------------------------------------------------------
TEXT = "# Prices\nA viola costs 420. A harp costs 750!\n\n# Hours\nWe open at ten. We close at six. On Monday we rest."


def test_passages_are_stretches_of_their_document():
    found = cut(Document(TEXT, "shop.md", 5), words=10)
    assert all(TEXT[passage.start : passage.end] == passage.text and len(passage.text.split()) <= 10 for passage in found)
    assert found[0].text.startswith("# Prices") and any(passage.text.startswith("# Hours") and passage.line == 8 for passage in found)
    assert found[0].place == "shop.md:5"
    assert " ".join(" ".join(passage.text.split()) for passage in found) == " ".join(TEXT.split()), "nothing is lost and nothing told twice"


def test_overlap_repeats_whole_sentences():
    found = cut(Document("One two three. Four five six. Seven eight nine. Ten.", "a"), words=7, overlap=3)
    assert [passage.text for passage in found] == ["One two three. Four five six.", "Four five six. Seven eight nine. Ten."]


def test_a_sentence_longer_than_a_passage_is_cut_between_words():
    found = cut(Document("word " * 25, "a"), words=10)
    assert [len(passage.text.split()) for passage in found] == [10, 10, 5]


def test_documents_of_files_and_folders(tmp_path):
    (tmp_path / "readme.md").write_text("# One\nfirst\n\nsecond")
    (tmp_path / "faq.jsonl").write_text('{"question": "q", "answer": "the answer"}\n{"name": "harp", "price": 750}\n')
    found = {(document.text, document.line) for document in read(str(tmp_path))}
    assert ("# One\nfirst\n\nsecond", 1) in found and ("the answer", 1) in found and ("name: harp\nprice: 750", 2) in found
    (tmp_path / "faq.jsonl").write_text('{"broken\n')
    with pytest.raises(DataError) as error:
        list(read(str(tmp_path)))
    assert error.value.line == 1
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(DataError, match="no text to retrieve"):
        passages_of(RetrievalSettings(documents=str(tmp_path / "empty.txt")), list)
    with pytest.raises(ValueError, match="overlap"):
        RetrievalSettings(words=10, overlap=10)
