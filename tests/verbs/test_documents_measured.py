"""Long texts: strided windows measure them more kindly than chunks, packed rows learn them alike, and code is one document a file."""
import json

import pytest
import torch

from luthier.data import sources
from luthier.data.records import Text
from luthier.models.load import load
from luthier.preparation.batches import collate
from luthier.preparation.order import Order
from luthier.preparation.renderer import Renderer
from luthier.preparation.store import TokenStore
from luthier.tasks.causal_lm import CausalLM


@pytest.fixture
def model(tiny_model):
    torch.set_num_threads(1)
    return load(str(tiny_model("llama")))


def test_strided_likelihood_is_that_of_the_network_over_the_same_windows(model):
    renderer = Renderer(model.tokenizer, None, 32, head="causal")
    record = Text("a text of more than one window, " * 5)
    tokens = [*model.tokenizer(record.text)["input_ids"], model.tokenizer.eos_token_id]
    start = [] if tokens[0] == model.tokenizer.bos_token_id else renderer.text("")
    tokens = [*start, *tokens]
    answer, = CausalLM(stride=0.25).answers(model, renderer, [record])
    total, predicted = 0.0, max(1, len(start))
    with torch.no_grad():
        while predicted < len(tokens):
            last = min(len(tokens), 32 if predicted == max(1, len(start)) else predicted + 8)
            first = max(0, last - 32)
            logprobs = model.network(input_ids=torch.tensor([tokens[first:last]])).logits[0].float().log_softmax(-1)
            total -= sum(float(logprobs[at - first - 1, tokens[at]]) for at in range(predicted, last))
            predicted = last
    assert answer.nll == pytest.approx(total, rel=1e-4) and answer.learned_tokens == len(tokens) - max(1, len(start))
    figures = CausalLM().score([answer], [record])
    assert set(figures) == {"bits_per_character", "bits_per_byte", "perplexity"} and figures["bits_per_byte"].value == figures["bits_per_character"].value
    renderer.close()


def test_packed_documents_never_see_each_other(model, tmp_path):
    """Changing one document of a packed row changes nothing of the loss of the others."""
    renderer = Renderer(model.tokenizer, None, 64, head="causal")
    losses = []
    for first in ("the harp is here", "no drums at all!"):
        items = [item.examples[0] for item in renderer.documents([first, "the cello is old"])]
        store = TokenStore.build(tmp_path / first[:3], items)
        order = Order(store.lengths, batch_size=2, tokens_per_micro_batch=512, seed=1, packing=True, context=64)
        batch = collate(store, order.step(0)[0], model.pad_token)
        assert batch.position_BT is not None and batch.attend_BT is None
        logprobs = model.head.token_logprobs(model.network.eval(), batch.tokens_BT, batch.weight_BT, position_BT=batch.position_BT)
        row = batch.rows[0]
        start = 0 if row[0] == 1 else len(items[0].tokens)
        losses.append(logprobs[0, start : start + len(items[1].tokens)])
    assert torch.allclose(*losses, atol=1e-5) and losses[0].abs().sum() > 0
    renderer.close()


def test_a_file_of_code_is_one_document(tmp_path):
    (tmp_path / "a.py").write_text("import os\n\n\ndef f():\n    return 1\n")
    (tmp_path / "b.py").write_text("x = 1\n")
    alone = [row.values["text"] for row in sources.read(str(tmp_path / "a.py")) if hasattr(row, "values")]
    assert alone == ["import os\n\n\ndef f():\n    return 1"]
    folder = [row.values["text"] for row in sources.read(str(tmp_path)) if hasattr(row, "values")]
    assert len(folder) == 2 and json.dumps(folder).count("import os") == 1


def test_a_stride_that_is_none():
    with pytest.raises(ValueError, match="share of the context"):
        CausalLM(stride=0)
