"""A new output layer starts at the linear probe of its base: scikit-learn's and ridge regression's own solutions, one layer moved, every kind of head."""
import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge

from luthier.models import head_start
from luthier.models.head_start import features, probe_start
from luthier.models.label_heads import output_layer
from luthier.models.load import load
from luthier.preparation.batches import Batch

ROWS, LENGTH, LABELS = 24, 9, ["a", "b", "c"]


def batches(kind: str) -> list[Batch]:
    """Rows of random bytes whose wanted answer follows from their first token, padded on the right."""
    generator, found = torch.Generator().manual_seed(3), []
    for part in range(3):
        tokens = torch.randint(7, 260, (ROWS // 3, LENGTH), generator=generator)
        attend = torch.ones_like(tokens)
        attend[0, 6:] = 0
        label, more = tokens[:, 1] % 3, {}
        if kind == "token_class":
            more = {"target_BT": tokens % 5}
        elif kind == "multi_label":
            more = {"value_BK": torch.stack([(tokens[:, 1] % way == 0).float() for way in (2, 3, 5)], 1)}
        elif kind == "regression":
            more = {"value_BK": (tokens[:, 1:2].float() - 100) / 7}
        found.append(Batch(tokens, attend.float(), attend, None, label if kind == "sequence_class" else None, [[part * 8 + row] for row in range(8)], **more))
    return found


def same(batch):
    """Batches are made already."""
    return batch


def model(folder, kind: str, method_seed: int = 0):
    labels = {"sequence_class": LABELS, "multi_label": LABELS, "regression": None, "token_class": ["x", "y"]}[kind]
    return load(str(folder), head=kind, labels=labels, seed=method_seed)


def loss(language_model, given) -> float:
    language_model.network.eval()
    with torch.no_grad():
        found = [language_model.head.loss(language_model.network, batch.tokens_BT, batch.weight_BT, batch.attend_BT, label_B=batch.label_B, **batch.more) for batch in given]
    return (sum(total for total, _ in found) / sum(count for _, count in found)).item()


def standardised(x: np.ndarray) -> np.ndarray:
    """By the formula of the module's first lines."""
    return (x - x.mean(0)) / np.sqrt(x.var(0) + (head_start.FLOOR**2) * (x**2).mean())


@pytest.mark.parametrize("kind", ["sequence_class", "multi_label", "regression", "token_class"])
def test_only_the_new_layer_moves_and_knows_more(kind, tiny_bert):
    language_model, given = model(tiny_bert, kind), batches(kind)
    before, start = {name: tensor.clone() for name, tensor in language_model.network.state_dict().items()}, loss(language_model, given)
    assert probe_start(language_model.network, language_model.head, given, same)
    moved = [name for name, tensor in language_model.network.state_dict().items() if not torch.equal(tensor, before[name])]
    assert moved == ["classifier.weight", "classifier.bias"]
    assert loss(language_model, given) < 0.9 * start
    twice = model(tiny_bert, kind)
    probe_start(twice.network, twice.head, given, same)
    assert all(torch.equal(tensor, twice.network.state_dict()[name]) for name, tensor in language_model.network.state_dict().items()), "nothing is drawn by lot"


def test_it_is_logistic_regression(tiny_bert, monkeypatch):
    monkeypatch.setattr(head_start, "MOST_ITERATIONS", 2000)
    language_model, given = model(tiny_bert, "sequence_class"), batches("sequence_class")
    x, labels, _ = (part.numpy() for part in features(language_model.network, language_model.head, output_layer(language_model.network), given))
    probe_start(language_model.network, language_model.head, given, same)
    s = standardised(x)
    known = LogisticRegression(C=1 / (ROWS * head_start.STRENGTH), max_iter=5000, tol=1e-8).fit(s, labels).predict_proba(s)
    with torch.no_grad():
        ours = torch.cat([language_model.head.logits(language_model.network, batch.tokens_BT, batch.attend_BT) for batch in given]).softmax(-1).numpy()
    assert np.abs(ours - known).max() < 2e-3


def test_for_numbers_it_is_ridge_regression(tiny_bert, monkeypatch):
    monkeypatch.setattr(head_start, "MOST_ITERATIONS", 2000)
    language_model, given = model(tiny_bert, "regression"), batches("regression")
    language_model.head.fit(torch.cat([batch.value_BK for batch in given])[:, 0].numpy(), language_model.network)
    x, values, _ = (part.numpy() for part in features(language_model.network, language_model.head, output_layer(language_model.network), given))
    probe_start(language_model.network, language_model.head, given, same)
    s = standardised(x)
    known = Ridge(alpha=ROWS * head_start.STRENGTH).fit(s, values[:, 0]).predict(s)
    ours = torch.cat([language_model.head.values(language_model.network, batch.tokens_BT, batch.attend_BT) for batch in given]).numpy()
    assert np.abs(ours - known).max() < 0.02 * values.std()


def test_a_layer_behind_a_decoder_keeps_its_start(tiny_llama):
    language_model, given = model(tiny_llama, "regression"), batches("regression")
    before = output_layer(language_model.network).weight.clone()
    assert probe_start(language_model.network, language_model.head, given, same) == ""
    assert torch.equal(before, output_layer(language_model.network).weight)


def test_rows_that_count_more_weigh_more(tiny_bert):
    """All rows of one label count a hundredth: the layer then prefers the others where it is in doubt."""
    import dataclasses

    language_model, given = model(tiny_bert, "sequence_class"), batches("sequence_class")
    shares = {}
    for name, light in (("even", 1.0), ("light", 0.01)):
        probe_start(language_model.network, language_model.head, [dataclasses.replace(batch, share_B=torch.where(batch.label_B == 0, light, 1.0)) for batch in given], same)
        with torch.no_grad():
            shares[name] = torch.cat([language_model.head.logits(language_model.network, batch.tokens_BT, batch.attend_BT) for batch in given]).softmax(-1)[:, 0].mean().item()
    assert shares["light"] < 0.5 * shares["even"]


def test_what_does_not_fit_is_a_fair_part(tiny_bert, monkeypatch):
    """Short of room, any beginning of the parts read lies all over the order, which is sorted by length."""
    order = head_start.spread(list(range(100)))
    assert sorted(order) == list(range(100)) and all(max(gaps) <= 20 for gaps in [[two - one for one, two in zip(sorted(order[:12]), sorted(order[:12])[1:])]])
    monkeypatch.setattr(head_start, "MOST", 8)
    language_model, given = model(tiny_bert, "sequence_class"), batches("sequence_class")
    assert "8 training examples" in probe_start(language_model.network, language_model.head, given, same)
