"""The comparison of vocabularies for spruce is fair: equal parameters, and every size learns from its own tokenizer."""
import json
import math

import torch
from transformers import AutoModelForCausalLM

from recipes.spruce import vocabularies


def test_every_size_has_as_many_parameters():
    counts = {}
    for size in (2048, 4096, 8192):
        config = vocabularies.shape(size)
        with torch.device("meta"):
            counts[size] = sum(tensor.numel() for tensor in AutoModelForCausalLM.from_config(config).parameters())
        assert config.vocab_size == size
    assert max(counts.values()) / min(counts.values()) < 1.001 and vocabularies.shape(4096).intermediate_size == 704


def test_a_size_is_learned_and_measured(tmp_path):
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for split, rows in (("train", 120), ("validation", 4), ("test", 2)):
        told = [{"text": f"The maple box number {at % 7} holds {at % 5} strings of violin and {at % 3} of cello.", "source": "wikipedia"} for at in range(rows)]
        (corpus / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in told))
    found = vocabularies.learned(300, corpus, tmp_path / "work", 800, 1)
    assert found["size"] == 300 and 400 < found["tokens"] < 1200 and found["flops"] == 6 * found["parameters"] * found["tokens"]
    assert set(found["bits"]) == {"wikipedia"} and 0 < found["bits"]["wikipedia"] < math.log2(300) * 2
