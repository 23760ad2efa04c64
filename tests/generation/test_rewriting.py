"""An encoder-decoder writes what Transformers' own generation writes, and a row writes alone what it writes in company."""
import pytest
import torch

from luthier.generation.rewriting import rewrite
from luthier.models.load import load
from luthier.tasks.likelihood import nll_of_pairs


@pytest.fixture(params=["t5", "bart"])
def model(request, tiny_model):
    torch.set_num_threads(1)
    return load(str(tiny_model(request.param)), head="seq2seq")


def sources():
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(7, 260, (length,), generator=generator).tolist() for length in (3, 12, 7, 30, 12)]


def test_the_same_as_transformers_writes(model):
    ours = rewrite(model, sources(), max_new_tokens=12)
    for source, found in zip(sources(), ours):
        theirs = model.network.generate(torch.tensor([source]), max_new_tokens=12, do_sample=False, num_beams=1, eos_token_id=list(model.stop_tokens), pad_token_id=model.pad_token)
        assert found.tokens == theirs[0, 1:].tolist()
        assert found.finish == ("stop" if found.tokens[-1] in model.stop_tokens else "length")


def test_alone_as_in_company(model):
    together = rewrite(model, sources(), max_new_tokens=10)
    assert [found.tokens for found in together] == [rewrite(model, [source], max_new_tokens=10)[0].tokens for source in sources()]


def test_likelihood_is_the_networks_own(model):
    pairs = [(source, [9, 20, 30][: 1 + at % 3]) for at, source in enumerate(sources())]
    found = nll_of_pairs(model, [*pairs, (sources()[0], [])])
    for (source, target), nll in zip(pairs, found):
        theirs = model.network(input_ids=torch.tensor([source]), labels=torch.tensor([target])).loss.item() * len(target)
        assert nll == pytest.approx(theirs, rel=1e-4)
    assert found[-1] == 0
