"""Facts of the shop that change after a model was trained: other prices, other costs, other days; rows that tell of them, questions about them, and new papers.

    changed = draw(count=20, seed=1)      # .facts, .learn, .ask, .papers
    write(folder, count=20, seed=1)       # learn.jsonl, ask.jsonl, truth.jsonl, papers.md, facts.json

Every question is about one changed fact, in words and slots that no row to learn from has; it knows the new value and the old one.
"""
import copy
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from luthier.data.samples import chat, documents
from luthier.data.samples.draws import Draws
from luthier.data.samples.shop import Shop, open_shop
from luthier.data.samples.truth import key
from luthier.errors import RecipeError
from luthier.files import write_file


@dataclass(frozen=True)
class Fact:
    """One thing of the catalogue that is not what it was."""

    kind: str
    """price, cost or days."""
    of: str
    """The instrument, problem or town."""
    old: str
    new: str

    @property
    def slot(self) -> dict[str, str]:
        """What a question about it must name."""
        return {{"price": "instrument", "cost": "problem", "days": "town"}[self.kind]: self.of}


INTENTS = {"price": "price", "cost": "repair", "days": "delivery"}
"""Which question asks for a fact of each kind."""


@dataclass(frozen=True)
class Changed:
    """The shop after the change."""

    facts: list[Fact]
    learn: list[dict]
    """Rows that tell the new facts: {"messages", "truth"}."""
    ask: list[dict]
    """Questions about them: {"messages", "truth", "new", "old"}."""
    papers: str


def draw(*, count: int = 20, seed: int = 1, learn: int = 4, ask: int = 2) -> Changed:
    """`count` facts changed, with so many rows to learn from and questions for each; RecipeError where the shop has fewer facts of these kinds."""
    draws, shop = Draws(f"luthier samples changed {seed}"), copy.deepcopy(open_shop())
    possible = [(kind, of) for kind, table in places(shop).items() for of in table]
    if not 1 <= count <= len(possible):
        raise RecipeError(f"{count} facts cannot change", hint=f"1 to {len(possible)}")
    facts = [changed(shop, kind, of, draws) for kind, of in draws.some(possible, count)]
    rows: dict[str, list[dict]] = {"learn": [], "ask": []}
    for fact in facts:
        seen: set[str] = set()
        for purpose, wanted in (("learn", learn), ("ask", ask)):
            while wanted:
                row = chat.about(INTENTS[fact.kind], fact.slot, draws, shop)
                if key(row["messages"]) in seen or chat.identity(row) in seen:
                    continue
                seen |= {key(row["messages"]), chat.identity(row)}
                more = {"new": fact.new, "old": fact.old} if purpose == "ask" else {}
                rows[purpose].append({"messages": row["messages"], "truth": row["truth"], **more})
                wanted -= 1
    return Changed(facts, rows["learn"], rows["ask"], documents.pages(shop))


def places(shop: Shop) -> dict[str, list[str]]:
    """What can change, by kind."""
    c = shop.catalogue
    return {"price": list(c["instruments"]), "cost": list(c["problems"]), "days": list(c["towns"])}


def changed(shop: Shop, kind: str, of: str, draws: Draws) -> Fact:
    """Change one fact of the shop in place. The new value is a number that stands for nothing else in an answer to this question."""
    c = shop.catalogue
    table, field = {"price": (c["instruments"], "price"), "cost": (c["problems"], "cost"), "days": (c["towns"], None)}[kind]
    old = table[of][field] if field else table[of]
    # Days are odd ones that no parcel took before; sums end in 3 or 7, as none in the catalogue does.
    new = str(draws.number(6, 9)) if kind == "days" else str(draws.number(2, 60) * 10 + draws.pick((3, 7)))
    if field:
        table[of][field] = new
    else:
        table[of] = new
    return Fact(kind, of, old, new)


def write(folder: Path | str, *, count: int = 20, seed: int = 1) -> Path:
    """Write a change as files and return the folder."""
    folder, found = Path(folder), draw(count=count, seed=seed)
    folder.mkdir(parents=True, exist_ok=True)
    write_file(folder / "learn.jsonl", lines({"messages": row["messages"]} for row in found.learn))
    write_file(folder / "ask.jsonl", lines({name: row[name] for name in ("messages", "new", "old")} for row in found.ask))
    write_file(folder / "truth.jsonl", lines({"key": name} | truth for name, truth in {key(row["messages"]): row["truth"] for row in [*found.learn, *found.ask]}.items()))
    write_file(folder / "papers.md", found.papers)
    write_file(folder / "facts.json", json.dumps([asdict(fact) for fact in found.facts], indent=1) + "\n")
    return folder


def lines(rows) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
