"""`luthier data`: rows out of documents, tables and other rows."""
from typing import Annotated

import typer

from luthier.commands.screen import Screen

HELP = "Make rows of documents and tables; convert, join, sample and mix files."
EXAMPLES = """\
$ luthier data gather manuals/ -o manuals.jsonl
$ luthier data from-table shop.db:products -o products.jsonl
$ luthier data convert chats.csv -o chats.jsonl --as messages"""

SHAPES = "messages, sharegpt, alpaca, prompt-completion, classification, scored, spans, tokens, source-target, preference, openai-preference, kto, prompt, text, canonical"
OUTPUT = Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="The file to write; its ending says the format.")]
SEED = Annotated[int, typer.Option(metavar="N", help="What is drawn by lot depends on it alone.")]


def gather(
    screen: Screen,
    paths: Annotated[list[str], typer.Argument(metavar="PATH ...", help="Documents and folders: HTML, Markdown, PDF, DOCX, text, source files.")],
    output: OUTPUT = "gathered.jsonl",
    pairs: Annotated[bool, typer.Option("--pairs", help="Questions with answers, and headings with their section, instead of texts.")] = False,
    longest: Annotated[int, typer.Option(metavar="N", min=200, help="Longest text in characters; sections are cut between paragraphs.")] = 4000,
) -> None:
    """Turn documents into rows.

    Every row says its file, page, paragraph and heading.
    """
    from luthier.verbs.data import gather as work

    screen.finish(work(paths, output=output, pairs=pairs, longest=longest).to_dict(), draw)


def from_table(
    screen: Screen,
    table: Annotated[str, typer.Argument(metavar="TABLE", help="CSV, Parquet, JSONL, or SQLite as shop.db:products.")],
    output: OUTPUT = "products.jsonl",
    kinds: Annotated[str, typer.Option(metavar="KINDS", help="Of pairs, descriptions, passages; with commas.")] = "pairs,descriptions",
    name: Annotated[str, typer.Option(metavar="COLUMN", help="The column that names the product.")] = "",
    id: Annotated[str, typer.Option(metavar="COLUMN", help="The column that identifies it.")] = "",
) -> None:
    """Turn a catalogue into questions and answers.

    Split with data.group=product, so that the test asks about products that training has not seen.
    """
    from luthier.verbs.data import from_table as work

    screen.finish(work(table, output=output, kinds=[kind.strip() for kind in kinds.split(",") if kind.strip()], name_column=name, id_column=id).to_dict(), draw)


def convert(
    screen: Screen,
    file: Annotated[str, typer.Argument(metavar="FILE", help="Any source of rows.")],
    output: OUTPUT = "converted.jsonl",
    shape: Annotated[str | None, typer.Option("--as", metavar="SHAPE", help=f"One of {SHAPES}.")] = None,
    task: Annotated[str | None, typer.Option(metavar="TASK", help="Read the columns as this task would, where they could mean several things.")] = None,
) -> None:
    """Write rows in another format or spelling; what the target cannot hold is an error."""
    from luthier.verbs.data import convert as work

    screen.finish(work(file, output=output, shape=shape, task=task).to_dict(), draw)


def restore(
    screen: Screen,
    file: Annotated[str, typer.Argument(metavar="FILE", help="Rows with pseudonyms, of `check --fix pii --pii pseudonym`.")],
    key: Annotated[str, typer.Option(metavar="FILE", help="The key file that was written beside them.")],
    output: OUTPUT = "restored.jsonl",
) -> None:
    """Put back what pseudonyms stand for.

    Only the key file makes it possible.
    """
    from luthier.verbs.data import restore as work

    screen.finish(work(file, key=key, output=output).to_dict(), draw)


def join(screen: Screen, files: Annotated[list[str], typer.Argument(metavar="FILE ...", help="Sources of rows, in order.")], output: OUTPUT = "joined.jsonl") -> None:
    """Write several files as one; a column `source` says which."""
    from luthier.verbs.data import join as work

    screen.finish(work(files, output=output).to_dict(), draw)


def sample(
    screen: Screen,
    file: Annotated[str, typer.Argument(metavar="FILE", help="A source of rows.")],
    rows: Annotated[int, typer.Option(metavar="N", min=1, help="How many rows.")] = 100,
    seed: SEED = 17,
    output: OUTPUT = "sample.jsonl",
) -> None:
    """Draw rows by lot."""
    from luthier.verbs.data import sample as work

    screen.finish(work(file, output=output, count=rows, seed=seed).to_dict(), draw)


def mix(
    screen: Screen,
    parts: Annotated[list[str], typer.Argument(metavar="FILE=SHARE ...", help="Sources of rows with their shares.")],
    rows: Annotated[int | None, typer.Option(metavar="N", min=1, help="How many rows in all; else as many as the shares allow.")] = None,
    seed: SEED = 17,
    output: OUTPUT = "mixed.jsonl",
) -> None:
    """Mix files by share; no row is repeated."""
    from luthier.verbs.data import mix as work

    screen.finish(work(parts, output=output, rows=rows, seed=seed).to_dict(), draw)


def shop(
    screen: Screen,
    kind: Annotated[str, typer.Argument(metavar="KIND", help="chat, tickets, entities, summaries, priorities, preferences or sums.")],
    rows: Annotated[int, typer.Option(metavar="N", min=1, help="How many rows.")] = 400,
    seed: SEED = 1,
    folder: Annotated[str, typer.Option("--output", "-o", metavar="FOLDER", help="Where they go; a folder named after the kind.")] = "",
    defects: Annotated[bool, typer.Option("--defects", help="Plant known faults, 1 % of the rows each (chat and tickets).")] = False,
) -> None:
    """Write rows of a fictional shop, to try things on.

    The same kind, rows and seed give the same rows everywhere.
    """
    from luthier.verbs.data import shop as work

    screen.finish(work(kind, folder=folder or f"shop-{kind}", rows=rows, seed=seed, defects=defects).to_dict(), draw)


def draw(screen: Screen, result: dict) -> None:
    counts = result.get("kinds") if isinstance(result.get("kinds"), dict) else result.get("by_source")
    listed = ", ".join(f"{name} {count:,}" for name, count in (counts or {}).items())
    about = [f"{result['documents']:,} documents" if "documents" in result else "", f"{result['products']:,} products" if "products" in result else "", f"of {result['of']:,}" if "of" in result else "", f"beside it {', '.join(name for name in result['files'] if not result['file'].endswith(name))}" if "files" in result else "", listed]
    screen.line((f"{screen.tick} ", "good"), f"{result['rows']:,} rows in ", (result["file"], "key"), ("  " + " · ".join(filter(None, about)), "faint"))
    screen.next(f"luthier check {result['file']}")


MEMBERS = {
    "gather": (gather, "$ luthier data gather manuals/ faq.html -o manuals.jsonl\n$ luthier data gather handbook.pdf --pairs -o pairs.jsonl"),
    "from-table": (from_table, "$ luthier data from-table products.csv -o products.jsonl"),
    "convert": (convert, "$ luthier data convert chats.csv -o chats.jsonl --as messages"),
    "restore": (restore, "$ luthier data restore tickets.fixed.csv --key tickets.key.json -o tickets.open.csv"),
    "join": (join, "$ luthier data join a.jsonl b.csv -o all.jsonl"),
    "sample": (sample, "$ luthier data sample big.jsonl --rows 500 -o small.jsonl"),
    "shop": (shop, "$ luthier data shop preferences\n$ luthier data shop sums --rows 600 -o sums"),
    "mix": (mix, "$ luthier data mix chats.jsonl=3 general.jsonl=1 -o mixed.jsonl"),
}
