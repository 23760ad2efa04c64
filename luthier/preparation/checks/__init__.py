"""Checks of the data doctor that need a tokenizer or a template, one file each; all read what preparation noted in the token stores."""
from collections.abc import Mapping

from luthier.data.findings import Finding
from luthier.preparation.cache import PreparedSplit
from luthier.preparation.checks import controls, ends, learned, length, padding, refused
from luthier.preparation.renderer import Renderer
from luthier.preparation.store import TokenStore

CHECKS = {"length": length.check, "learned": learned.check, "ends": ends.check, "refused": refused.check, "controls": controls.check, "padding": padding.check}


def check_tokens(stores: Mapping[str, TokenStore], renderer: Renderer, *, least: float) -> list[Finding]:
    """Findings over the prepared splits; `least` is the smallest share of training tokens that must be learned."""
    return [finding for check in CHECKS.values() for split, store in stores.items() for finding in check(split, PreparedSplit.of(store), renderer, least)]
