"""Every row and every token accounted for: what came in is what is used plus what was left out, by reason."""
from collections import Counter
from dataclasses import dataclass, field

from luthier.errors import DataError, WorkFailed


@dataclass
class Tokens:
    """Tokens of one split, known after preparation."""

    into: int = 0
    learned: int = 0
    context: int = 0
    cut: int = 0

    def check(self) -> "Tokens":
        """Assert that the account balances: in = learned + context + cut."""
        if self.into != self.learned + self.context + self.cut:
            raise WorkFailed(f"the token ledger does not balance: {self.into:,} in, {self.learned:,} learned, {self.context:,} context, {self.cut:,} cut", code="D900", hint="this is a fault of the program; please report it")
        return self


@dataclass
class Ledger:
    """One split's account."""

    rows_in: int = 0
    used: int = 0
    left_out: Counter = field(default_factory=Counter)
    """Reason -> rows."""
    tokens: Tokens | None = None

    def leave_out(self, reason: str, count: int = 1) -> None:
        if count:
            self.left_out[reason] += count

    def check(self) -> "Ledger":
        """Assert that the account balances: rows in = rows used + rows left out. Raises WorkFailed, which is a fault of the program."""
        if self.rows_in != self.used + sum(self.left_out.values()):
            raise WorkFailed(f"the ledger does not balance: {self.rows_in:,} rows in, {self.used:,} used, {sum(self.left_out.values()):,} left out", code="D900", hint="this is a fault of the program; please report it")
        if self.tokens is not None:
            self.tokens.check()
        return self

    def to_dict(self) -> dict:
        """The stable JSON shape: rows_in, used, left_out, tokens {in, learned, context, cut}."""
        tokens = self.tokens and {"in": self.tokens.into, "learned": self.tokens.learned, "context": self.tokens.context, "cut": self.tokens.cut}
        return {"rows_in": self.rows_in, "used": self.used, "left_out": dict(self.left_out), "tokens": tokens}


def from_dict(values: dict) -> Ledger:
    """A ledger from its JSON shape, checked."""
    given = values.get("tokens")
    tokens = Tokens(given["in"], given["learned"], given["context"], given["cut"]) if given else None
    return Ledger(values["rows_in"], values["used"], Counter(values["left_out"]), tokens).check()


def learnable(ledger: Ledger, least: float) -> None:
    """Refuse to train where nothing, or less than the share `least` of the tokens, would be learned. Raises DataError D411."""
    tokens = (ledger.tokens or Tokens()).check()
    share = tokens.learned / tokens.into if tokens.into else 0.0
    if tokens.learned == 0 or share < least:
        raise DataError(
            f"of {tokens.into:,} training tokens {tokens.learned:,} would be learned ({share:.2%}), {tokens.context:,} are context and {tokens.cut:,} are cut off",
            code="D411", hint=f"raise the model's context, check the roles and weights of the turns, or lower data.min_learned_share ({least:g})",
        )
