"""Fills the figures of spruce's card: what it read, how it learned, and its held-out bits per character beside other small models.

    python -m recipes.spruce.card CORPUS [--work FIRST SECOND] [--after N] [--data DATA]     rewrites luthier/models/spruce/README.md between its markers

`--after 3 --work FOURTH` keeps what the card says of the first three stages.

Bits per character = nats of all tokens / ln 2 / characters, lower is better; it compares models whose tokens differ. Spruce reads dialogues in
its chat format and pays for the control tokens too; the others read the bare turns, a line each.
"""

import argparse
import json
import math
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from tokenizers import Tokenizer

from luthier.data.samples.overlap import CONTROL
from luthier.models.load import load

SPRUCE = Path("luthier/models/spruce")
OTHERS = ("TinyStories-656K", "stories260K", "babyllama-tok105")
BEGINNINGS = (
    ("chat", "I would like a table for two at an Italian place in San Jose tomorrow evening."), ("chat", "My name is Clara and my order is 5283. Where is it?"),
    ("text", "It was late in the evening when the carriage"), ("text", "Once upon a time, there was a little dog named"),
)
"""What the samples of its writing go on from."""
PER_SOURCE = 40  # held-out documents a source, the first of validation and test together
MARK = "<!-- {name}: written by recipes/spruce/card.py -->"


def section(card: str, name: str, text: str) -> str:
    """The card with the text between the two markers of a section replaced; KeyError where it has none."""
    mark = MARK.format(name=name)
    parts = card.split(mark)
    if len(parts) != 3:
        raise KeyError(f"the card needs exactly two lines {mark}")
    return f"{parts[0]}{mark}\n{text.strip()}\n{mark}{parts[2]}"


def held_out(corpus: Path) -> dict[str, list[str]]:
    """Documents that spruce has not read, by source."""
    found: dict[str, list[str]] = {}
    for split in ("validation", "test"):
        for line in (corpus / f"{split}.jsonl").read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            found.setdefault(row["source"], []).append(row["text"])
    return {source: texts[:PER_SOURCE] for source, texts in found.items()}


def bare(text: str) -> str:
    """A dialogue without control tokens, a turn a line."""
    return CONTROL.sub("\n", text).replace("\n\n", "\n").strip()


def windows(ids: list[int], begin: int, context: int) -> Iterator[list[int]]:
    """All tokens in runs that fit the context, each after a begin token, so that every one is predicted once."""
    for start in range(0, len(ids), context - 1):
        yield [begin, *ids[start : start + context - 1]]


@torch.no_grad()
def nats(network: Callable, ids: list[int], begin: int, context: int) -> float:
    """Summed negative log-likelihood of the tokens; `network` maps ids [1, T] to an object with logits [1, T, V]."""
    total = 0.0
    for window in windows(ids, begin, context):
        tokens = torch.tensor([window])
        logprobs = network(tokens).logits[0, :-1].float().log_softmax(-1)
        total -= logprobs.gather(1, tokens[0, 1:, None]).sum().item()
    return total


def bits_per_character(name: str, texts: dict[str, list[str]], chat: bool) -> dict[str, float]:
    """Held-out bits per character of a model for each source; `chat` keeps control tokens."""
    model = load(name, head="causal")
    return bits_of(model.network.eval(), model.tokenizer, model.context, texts, chat=chat)


def bits_of(network: Callable, tokenizer: Callable, context: int, texts: dict[str, list[str]], *, chat: bool) -> dict[str, float]:
    """The same of a network and its tokenizer."""
    result = {}
    for source, documents in texts.items():
        read = documents if chat else [bare(document) for document in documents]
        ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in read]
        characters = sum(len(bare(document)) for document in documents)
        result[source] = sum(nats(network, row, tokenizer.bos_token_id, context) for row in ids) / math.log(2) / characters
    return result


def table(head: list[str], rows: list[list]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def figures(corpus: Path, data: Path) -> str:
    """The table of bits per character; models that are not there have no column."""
    texts = held_out(corpus)
    models = {"spruce": bits_per_character(str(SPRUCE), texts, chat=True)} if any(SPRUCE.glob("*.safetensors")) else {}
    for name in OTHERS:
        if (data / "models" / name).is_dir():
            models[name] = bits_per_character(str(data / "models" / name), texts, chat=False)
    rows = [[s, len(texts[s]), *(f"{model[s]:.2f}" for model in models.values())] for s in texts]
    return table(["held-out text", "documents", *models], rows)


def reading(corpus: Path) -> str:
    """What was read: documents, tokens and characters of each source, and what was left out."""
    tokenizer = Tokenizer.from_file(str(SPRUCE / "tokenizer.json"))
    tokens: dict[str, int] = {}
    for line in (corpus / "train.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        tokens[row["source"]] = tokens.get(row["source"], 0) + len(tokenizer.encode(row["text"]).ids) + 1
    rows = []
    for source, tally in json.loads((corpus / "corpus.json").read_text())["sources"].items():
        gone = "; ".join(f"{count} {reason.removeprefix('left out: ')}" for reason, count in tally.items() if reason.startswith("left out"))
        held = tally["validation documents"] + tally["test documents"]
        rows.append([source, f"{tally['train documents']:,}", f"{tokens[source]:,}", f"{tally['train characters']:,}", held, gone or "none"])
    total = f"\n\n{sum(tokens.values()):,} tokens in all, begin and end tokens counted."
    return table(["source", "documents", "tokens", "characters", "held out", "left out"], rows) + total


def learning(works: list[Path], before: list[str]) -> str:
    """How each stage of the pretraining went, from its log; `before` are the paragraphs of earlier stages."""
    told = [*before]
    for number, work in enumerate(works, len(before) + 1):
        rows = [json.loads(line) for line in (work / "metrics.jsonl").read_text().splitlines()]
        last, looks = rows[-1], [row for row in rows if "validation_loss" in row]
        curve = ", ".join(f"{row['validation_loss']:.3f} (step {row['step']})" for row in looks[:: max(1, len(looks) // 6)])
        told.append(
            f"Stage {number}: {last['step']:,} optimizer steps over {last['tokens']:,.0f} tokens, on CPU. Validation loss in nats a token: "
            f"{curve}; at the end {looks[-1]['validation_loss']:.3f} after step {looks[-1]['step']}, training loss {last['loss']:.3f}."
        )
    return "\n\n".join(told)


@torch.no_grad()
def samples() -> str:
    """How it goes on from each beginning, the likeliest token each time, at most 48 of them."""
    model, told = load(str(SPRUCE), head="causal"), []
    for kind, text in BEGINNINGS:
        prompt = {"input_ids": model.tokenizer(text)["input_ids"]} if kind == "text" else model.tokenizer.apply_chat_template([{"role": "user", "content": text}], add_generation_prompt=True, return_dict=True)
        ids = torch.tensor([prompt["input_ids"]])
        written = model.network.eval().generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=48)[0, ids.shape[1] :]
        told.append([text, model.tokenizer.decode(written, skip_special_tokens=True).strip().replace("\n", " ").replace("|", "\\|")])
    return table(["given", "written"], told)


def paragraphs(card: str, name: str) -> list[str]:
    """What stands in a section."""
    return card.split(MARK.format(name=name))[1].strip().split("\n\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--work", type=Path, nargs="*", help="the folders of recipes.spruce.pretrain, in order")
    parser.add_argument("--after", type=int, default=0, help="stages whose account in the card stays")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("LUTHIER_TEST_DATA", "../shared/data")))
    arguments = parser.parse_args()
    path = SPRUCE / "README.md"
    card = section(path.read_text(encoding="utf-8"), "corpus", reading(arguments.corpus))
    card = section(card, "figures", figures(arguments.corpus, arguments.data))
    if arguments.work:
        card = section(card, "pretraining", learning(arguments.work, paragraphs(card, "pretraining")[: arguments.after]))
    card = section(card, "samples", samples())
    path.write_text(re.sub(r"\n{3,}", "\n\n", card), encoding="utf-8")


if __name__ == "__main__":
    main()
