"""What the checks of prepared tokens call wrong depends on who writes."""
from types import SimpleNamespace

import pytest

from luthier.preparation.checks import ends


@pytest.mark.parametrize(("head", "told"), [("causal", True), ("sequence_class", False)])
def test_answers_without_an_end_are_wrong_only_where_somebody_writes(head, told):
    """A head that scores answers learns no end; a model that writes them would not stop."""
    prepared = SimpleNamespace(endless=3, store=[])
    renderer = SimpleNamespace(head=head, tokenizer=SimpleNamespace(bos_token_id=None))
    assert bool(list(ends.check("train", prepared, renderer, 0.01))) is told
