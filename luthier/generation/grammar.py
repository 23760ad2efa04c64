"""Texts that follow a JSON schema: which tokens may come next, from a kept library for constrained decoding (llguidance).

A schema comes from a client, so it is bounded in size and depth before it is compiled, and the library's own limits hold after.
"""
import json
from collections.abc import Iterable

import numpy as np

from luthier.errors import RecipeError

MOST_BYTES = 64 << 10
MOST_DEPTH = 32
ANY_OBJECT = {"type": "object"}


def depth_of(value, at: int = 0) -> int:
    """How deeply a JSON value is nested, up to just beyond the limit."""
    if at > MOST_DEPTH or not isinstance(value, (dict, list)):
        return at
    return max((depth_of(item, at + 1) for item in (value.values() if isinstance(value, dict) else value)), default=at + 1)


class GrammarMaker:
    """Makes grammars for one tokenizer; the tokenizer's table is built once."""

    def __init__(self, tokenizer):
        from llguidance.hf import from_tokenizer  # a compiled library, loaded when a schema comes

        self.tokenizer = from_tokenizer(tokenizer)
        self.size = len(tokenizer)

    def of_schema(self, schema: dict, ends: Iterable[int]) -> "SchemaGrammar":
        """A grammar for texts that are JSON of this schema; a schema that cannot be followed is a RecipeError (R140)."""
        import llguidance

        text = json.dumps(schema)
        if len(text) > MOST_BYTES or depth_of(schema) > MOST_DEPTH:
            raise RecipeError(f"the schema is larger than {MOST_BYTES >> 10} KiB or nested deeper than {MOST_DEPTH}", code="R140", hint="use a smaller schema")
        try:
            grammar = llguidance.LLMatcher.grammar_from_json_schema(text, overrides={"whitespace_flexible": False})
            limits = llguidance.LLParserLimits(max_items_in_row=2000, initial_lexer_fuel=500_000, step_lexer_fuel=100_000, step_max_items=20_000, max_grammar_size=200_000)
            matcher = llguidance.LLMatcher(self.tokenizer, grammar, log_level=0, limits=limits)
        except Exception as error:
            raise RecipeError(f"the schema cannot be followed: {first_line(error)}", code="R140", hint="use plain JSON Schema") from None
        if matcher.is_error():
            raise RecipeError(f"the schema cannot be followed: {first_line(matcher.get_error())}", code="R140", hint="use plain JSON Schema")
        return SchemaGrammar(matcher, frozenset(ends), self.size)


class SchemaGrammar:
    """One text on its way through a schema."""

    def __init__(self, matcher, ends: frozenset[int], size: int):
        self.matcher, self.ends, self.size = matcher, ends, size
        self.over = False

    def allowed(self) -> np.ndarray:
        """Booleans [V]; an end token exactly where the JSON is whole, and nothing but ends once nothing else may come."""
        allowed = np.zeros(self.size, dtype=bool)
        if not self.over:
            bits = np.frombuffer(self.matcher.compute_bitmask(), dtype=np.uint8)
            allowed[:] = np.unpackbits(bits, bitorder="little")[: self.size].astype(bool)
            allowed[list(self.ends)] = False
        if self.over or self.matcher.is_accepting() or not allowed.any():
            allowed[list(self.ends)] = True
        return allowed

    def take(self, token: int) -> None:
        if token in self.ends or self.over:
            self.over = True
        else:
            self.over = not self.matcher.consume_token(token) or self.matcher.is_stopped()


def first_line(error) -> str:
    return (str(error).splitlines() or ["no reason given"])[0][:200]
