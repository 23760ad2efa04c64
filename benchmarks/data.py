"""How fast rows are read and checked, and in how much memory: a million generated conversations, one in a hundred of them bad.

    python benchmarks/data.py [--rows 1000000] [--work FOLDER] [--stages read,exact,build,doctor,tokens]

Every stage is a process of its own on one core. `read` is the strict reader alone; `exact` reads, holds every row to its format, makes its record, and finds
exact duplicates and exact leakage (as if every second row were the test split), without judging what a row says and without writing it; `build` is what `luthier check` and `luthier train` do first: read, convert,
check every row, split, find duplicates and overlap, write; `doctor` is the statistical part of `check` over what was built; `tokens` is the part that needs a
tokenizer (spruce's), over the first rows. Rows a second are by the process's own time, and by the clock. That every planted row was found is asserted.
"""
import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STAGES = ("read", "exact", "build", "doctor", "tokens")
WORDS = "violin string bow tuning hall concert repair bridge sound post varnish spruce maple player lesson weekend price order invoice delivery address question answer morning evening colour".split()
TOKEN_ROWS = 20_000


def good_row(draw: random.Random, number: int) -> dict:
    """A question and an answer, 300 bytes or more as a line."""
    words = lambda count: " ".join(draw.choices(WORDS, k=count))
    return {"messages": [{"role": "user", "content": f"Order {number}: {words(16)}?"}, {"role": "assistant", "content": f"Dear customer {number % 977}, {words(22)}. Thank you."}]}


def spoil(kind: int, row: dict, before: str) -> str:
    """A bad row: its line."""
    line = json.dumps(row)
    question, answer = row["messages"]
    if kind == 0:
        return line[:-2]
    if kind == 1:
        return json.dumps({"messages": [question, {**answer, "role": "robot"}]})
    if kind == 2:
        return json.dumps({"messages": [question, {**answer, "content": "  "}]})
    if kind == 3:
        return json.dumps({"messages": [question]})
    if kind == 4:
        return json.dumps({"messages": None})
    if kind == 5:
        return line.replace('"role": "user"', '"role": "user", "role": "user"', 1)
    if kind == 6:
        return json.dumps({"messages": [question, {"role": "assistant", "content": None}]})
    return before  # the row before once more


def generate(path: Path, rows: int) -> dict:
    """Write the file; returns how many rows are broken and how many stand twice."""
    draw, facts, before = random.Random(1), {"broken": 0, "twice": 0, "bytes": 0}, ""
    with open(path, "w", encoding="utf-8") as stream:
        for number in range(rows):
            row = good_row(draw, number)
            line = json.dumps(row)
            if number % 100 == 50:
                kind = number // 100 % 8
                line = spoil(kind, row, before)
                facts["twice" if kind == 7 else "broken"] += 1
            before = line
            facts["bytes"] += stream.write(line + "\n")
    return facts


def read(path: Path, work: Path) -> dict:
    from luthier.data.sources import Row
    from luthier.data.sources import read as rows_of

    good = bad = 0
    for item in rows_of(str(path)):
        if type(item) is Row:
            good += 1
        else:
            bad += bool(item.rows)
    return {"rows": good + bad}


def exact(path: Path, work: Path) -> dict:
    """The steps of the product's own first pass, without its row checks and its files."""
    from hashlib import blake2b

    import numpy as np

    from luthier.data import split
    from luthier.data.canonical import body_json
    from luthier.data.findings import Finding
    from luthier.data.sources import Row
    from luthier.data.sources import read as rows_of
    from luthier.data.spellings import SAMPLE, convert, guess

    mapping, held, bad, identity, content, side = None, [], 0, [], [], bytearray()
    for item in rows_of(str(path)):
        if type(item) is not Row:
            bad += bool(item.rows)
            continue
        if mapping is None:
            held.append(item)
            if len(held) < SAMPLE:
                continue
            mapping = guess(held, str(path), task="chat")
        for row in held or (item,):
            record = convert(row, mapping)
            if type(record) is Finding:
                bad += 1
                continue
            identity.append(split.hash_of(split.normalise(split.identity_of(record))))
            content.append(blake2b(body_json(record).encode(), digest_size=8).digest())
            side.append(split.TRAIN if row.number % 2 else split.TEST)
        held = []
    identity_N, none_N = np.array(identity, dtype=np.uint64), np.zeros(len(identity), dtype=np.uint64)
    twice = len(content) - len(np.unique(np.frombuffer(b"".join(content), dtype=np.uint64)))
    leaks = int(split.overlapping(identity_N, none_N, np.frombuffer(side, dtype=np.int8)).sum())
    return {"rows": len(content) + bad, "broken": bad, "twice": twice, "leaks": leaks}


def build(path: Path, work: Path) -> dict:
    from luthier.data import dataset
    from luthier.data.settings import DataSettings

    data = dataset.build(DataSettings(train=str(path), on_bad_row="skip", allow_overlap=True), task="chat", folder=work / "built", strict=False)
    ledger = data.ledger.values()
    return {"rows": sum(account.rows_in for account in ledger), "left_out": sum(account.rows_in - account.used for account in ledger), "twice": sum(finding["count"] for finding in data.findings if finding["code"] == "D201")}


def doctor(path: Path, work: Path) -> dict:
    from luthier.data.dataset import DataSet
    from luthier.data.doctor import examine

    found = examine(DataSet(work / "built"))
    return {"rows": found.figures["rows"], "findings": len(found.found)}


def tokens(path: Path, work: Path) -> dict:
    import itertools

    from luthier.data.dataset import DataSet
    from luthier.models.location import locate
    from luthier.models.tokenizer import load_tokenizer
    from luthier.preparation.cache import prepare
    from luthier.preparation.renderer import Renderer
    from luthier.tasks import TASKS

    place = locate("spruce")
    tokenizer, template, _ = load_tokenizer(place.folder, place.root)
    renderer, task = Renderer(tokenizer, template, 1024), TASKS["chat"]().prepared(labels=[])
    records = list(itertools.islice(DataSet(work / "built").iterate("train"), TOKEN_ROWS))
    began = time.process_time()
    made = prepare(records, task.examples, renderer, work / "tokens", content="benchmark", task=task)
    return {"rows": len(records), "tokens": int(made.store.lengths.sum()), "own": time.process_time() - began}


def stage(name: str, path: Path, work: Path) -> dict:
    """One stage in this process: what it did, its time and its peak."""
    import luthier.data.dataset  # noqa: F401  (imports are not part of the time)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    began, processor = time.perf_counter(), time.process_time()
    found = globals()[name](path, work)
    seconds, own = time.perf_counter() - began, time.process_time() - processor
    own = found.pop("own", own)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    own += children.ru_utime + children.ru_stime
    return {"stage": name, **found, "seconds": seconds, "processor": own, "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "imports_mib": before}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--work", type=Path, help="keep the file and what is built here, and go on from it")
    parser.add_argument("--stages", default=",".join(STAGES))
    parser.add_argument("--stage", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    work = arguments.work or Path(tempfile.mkdtemp(prefix="luthier-data-benchmark-"))
    work.mkdir(parents=True, exist_ok=True)
    path = work / f"rows-{arguments.rows}.jsonl"
    if arguments.stage:
        print(json.dumps(stage(arguments.stage, path, work)))
        return
    if not path.exists():
        path.with_suffix(".json").write_text(json.dumps(generate(path, arguments.rows)))
    planted = json.loads(path.with_suffix(".json").read_text())
    print(f"{arguments.rows:,} rows, {planted['bytes'] / arguments.rows:.0f} bytes each; {planted['broken']:,} broken, {planted['twice']:,} twice")
    print("| stage | rows | rows/s/core (processor) | rows/s (clock) | peak MiB | |\n| --- | --- | --- | --- | --- | --- |", flush=True)
    for name in arguments.stages.split(","):
        done = subprocess.run([sys.executable, __file__, "--stage", name, "--rows", str(arguments.rows), "--work", str(work)], capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stderr[-2000:])
        row = json.loads(done.stdout.splitlines()[-1])
        if name == "build" and (row["left_out"], row["twice"]) != (planted["broken"], planted["twice"]):
            raise SystemExit(f"planted {planted}, found {row}")
        if name == "exact" and (row["twice"], row["leaks"]) != (planted["twice"], planted["twice"]):
            raise SystemExit(f"planted {planted}, found {row}")
        more = ", ".join(f"{key} {row[key]:,}" for key in ("broken", "leaks", "left_out", "twice", "findings", "tokens") if key in row)
        print(f"| {name} | {row['rows']:,} | {row['rows'] / row['processor']:,.0f} | {row['rows'] / row['seconds']:,.0f} | {row['peak_mib']:,.0f} (imports {row['imports_mib']:.0f}) | {more} |", flush=True)


if __name__ == "__main__":
    main()
