"""The data doctor against planted defects: precision and recall of every check, false alarms on clean data, speed and memory, and what the repair is worth.

    python -m benchmarks.doctor planted      every defect, rates and seeds, on real data and on samples
    python -m benchmarks.doctor poison       triggers of a word, a phrase, a suffix in 1 % of the rows
    python -m benchmarks.doctor clean        findings of level error on clean data
    python -m benchmarks.doctor exact        exact duplicates, exact leakage, format errors
    python -m benchmarks.doctor near         near duplicates, on rows without natural ones, judged by an independent count of words that differ
    python -m benchmarks.doctor labels       precision at the planted count on banking77
    python -m benchmarks.doctor private      spans of texts from other templates, held out, and of the Presidio synthetic set
    python -m benchmarks.doctor speed        one million rows: rows a second, peak memory; --like gsm8k: rows of that length
    python -m benchmarks.doctor repair       test accuracy: damaged, fixed, clean

Data is read from LUTHIER_TEST_DATA (default ../shared/data).
"""
import argparse
import csv
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from benchmarks import planting
from benchmarks.private_spans import generate as generate_spans
from luthier.data import doctor, mending
from luthier.data.checks import SAMPLE_CHECKS, STREAM_CHECKS
from luthier.data.dataset import build
from luthier.data.private import scan
from luthier.data.samples import generate
from luthier.data.settings import DataSettings

DATA = Path(os.environ.get("LUTHIER_TEST_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
BANKING = "classification/PolyAI-LDN__task-specific-datasets/banking_data"
STREAMING = {*STREAM_CHECKS, "near duplicates"}


def banking(split: str = "train") -> list[dict]:
    with open(DATA / BANKING / f"{split}.csv", newline="", encoding="utf-8") as stream:
        return [{"text": row["text"], "label": row["category"]} for row in csv.DictReader(stream)]


def sms() -> list[dict]:
    with open(DATA / "classification/justmarkham__pycon-2016-tutorial/data/sms.tsv", encoding="utf-8") as stream:
        return [dict(zip(("label", "text"), line.rstrip("\n").split("\t", 1))) for line in stream]


def gsm8k() -> list[dict]:
    with open(DATA / "math/openai__grade-school-math/grade_school_math/data/train.jsonl", encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]


def self_instruct() -> list[dict]:
    with open(DATA / "instruct/yizhongw__self-instruct/data/seed_tasks.jsonl", encoding="utf-8") as stream:
        tasks = [json.loads(line) for line in stream]
    return [{"instruction": f"{task['instruction']}\n{one['input']}".strip(), "output": one["output"]} for task in tasks for one in task["instances"]]


def tickets() -> list[dict]:
    return [{"text": row["text"], "label": row["label"]} for row in generate("tickets", rows=2000, seed=1)]


def chat() -> list[dict]:
    rows = [row["messages"] for row in generate("chat", rows=1200, seed=1)]
    return [{"question": messages[0]["content"], "answer": messages[-1]["content"]} for messages in rows if len(messages) == 2]


SETS = {"banking77": (banking, planting.LABELLED), "sms": (sms, planting.LABELLED), "gsm8k": (gsm8k, planting.ANSWERED), "self-instruct": (self_instruct, planting.ANSWERED), "tickets": (tickets, planting.LABELLED), "chat": (chat, planting.ANSWERED)}


def told(rows: list[dict], codes: str, folder: Path, *, only=None, test: list[dict] | None = None) -> set[int]:
    """Rows (0-based, of the training file) that findings of these codes name."""
    write = lambda name, some: (folder / name).write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in some), encoding="utf-8")
    write("rows.jsonl", rows)
    settings = DataSettings(train=str(folder / "rows.jsonl"))
    if test is not None:
        write("test.jsonl", test)
        settings = DataSettings(train=str(folder / "rows.jsonl"), test=str(folder / "test.jsonl"))
    data = build(settings, folder=folder / "data", strict=False)
    wanted = set(codes.split())
    found: set[int] = set()
    if wanted & {"D201", "D202", "D307"}:
        examined = doctor.examine(data, only=())
        seen = examined.seen
        if "D201" in wanted:
            found |= {seen.number[row] - 1 for row, _ in mending.copies(seen)}
        if "D202" in wanted:
            labels: dict[int, set] = {}
            for row, one in enumerate(seen.input_N.tolist()):
                labels.setdefault(one, set()).add(seen.label[row])
            found |= {seen.number[row] - 1 for row, one in enumerate(seen.input_N.tolist()) if len(labels[one]) > 1}
        if "D307" in wanted:
            from luthier.data.fixes import FIXES

            found |= {seen.number[row] - 1 for row, _, _ in mending.relabelled("labels", FIXES["labels"], examined)}
        return found
    examined = doctor.examine(data, only=only)
    seen = examined.seen
    for one in examined.found:
        if one.code in wanted and one.level != "info":
            found |= {seen.number[row] - 1 for row in one.rows_N.tolist() if "test" not in seen.file_names[seen.file[row]]}
    return found


CHECK_OF = {
    "D203": "near duplicates", "D404": "near duplicates", "D309": "suspected labels", "D311": "unfit answers", "D508": "poison", "D501": "private", "D205": "answers", "D140": "answers", "D141": "answers", "D142": "answers",
    "D143": "answers", "D502": "languages", "D505": "characters", "D506": "characters", "D507": "characters", "D510": "characters",
}


def planted(sets: list[str], rates: list[float], seeds: int) -> None:
    """Every defect but near duplicates into every set. Rows told in the clean set too are natural, and count neither for nor against."""
    print("| defect | set | rate | seeds | recall | precision | clean rows told |\n| --- | --- | --- | --- | --- | --- | --- |")
    for name in sets:
        make, planters = SETS[name]
        clean = make()
        for defect, (codes, plant) in planters.items():
            only = {CHECK_OF[code] for code in codes.split() if code in CHECK_OF}
            with tempfile.TemporaryDirectory() as folder:
                natural = told(clean, codes, Path(folder), only=only)
            for rate in rates:
                recalls, precisions = [], []
                for seed in range(seeds):
                    rows = [dict(row) for row in clean]
                    truth = plant(rows, rate, random.Random(seed))
                    with tempfile.TemporaryDirectory() as folder:
                        found = told(rows, codes, Path(folder), only=only) - (natural - truth)
                    recalls.append(len(found & truth) / max(1, len(truth)))
                    precisions.append(len(found & truth) / max(1, len(found)))
                print(f"| {defect} | {name} | {rate:.0%} | {seeds} | {statistics.mean(recalls):.3f} | {statistics.mean(precisions):.3f} | {len(natural) / len(clean):.2%} |", flush=True)


def poison(sets: list[str], seeds: int, first: int) -> None:
    """Triggers in 1 % of the rows: recall, and the share of clean rows that are told with them; and what is told of the clean set."""
    print("| set | trigger | seed | recall | clean rows told |\n| --- | --- | --- | --- | --- |")
    for name in sets:
        clean = SETS[name][0]()
        with tempfile.TemporaryDirectory() as folder:
            print(f"| {name} | none | | | {len(told(clean, 'D508', Path(folder), only={'poison'})) / len(clean):.2%} |", flush=True)
        for kind in ("word", "phrase", "suffix"):
            for seed in range(first, first + seeds):
                rows = [dict(row) for row in clean]
                truth = planting.poison(kind)(rows, 0.01, random.Random(seed))
                with tempfile.TemporaryDirectory() as folder:
                    found = told(rows, "D508", Path(folder), only={"poison"})
                print(f"| {name} | {kind} | {seed} | {len(found & truth) / len(truth):.3f} | {len(found - truth) / (len(rows) - len(truth)):.2%} |", flush=True)


def clean() -> None:
    """What is told of clean data, by level."""
    print("| set | rows | errors | warnings | false alarms at level error |\n| --- | --- | --- | --- | --- |")
    for name, (make, _) in SETS.items():
        rows = make()
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            (folder / "rows.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
            data = build(DataSettings(train=str(folder / "rows.jsonl")), folder=folder / "data", strict=False)
            findings = [one["level"] for one in data.findings] + [one.level for one in doctor.examine(data).findings()]
        levels = Counter(findings)
        print(f"| {name} | {len(rows):,} | {levels['error']} | {levels['warning']} | {levels['error']} |", flush=True)


def score(found: set, truth: set) -> str:
    return f"recall {len(found & truth) / max(1, len(truth)):.4f}, precision {len(found & truth) / max(1, len(found)):.4f} ({len(truth)} planted)"


def exact(seeds: int) -> None:
    """Exact duplicates and leakage on rows that have none of their own; lines of a file broken in seven ways."""
    rng = random.Random(0)
    rows = list({" ".join(row["text"].lower().split()): row for row in banking()}.values())
    for seed in range(seeds):
        rng = random.Random(seed)
        with tempfile.TemporaryDirectory() as place:
            some = [dict(row) for row in rows]
            truth = planting.exact_duplicates(some, 0.05, rng)
            natural = told(rows, "D201", Path(place))
            print(f"exact duplicates, seed {seed}: {score(told(some, 'D201', Path(place)) - natural, truth)}")
            test = rng.sample(rows, 500)
            chosen = {" ".join(row["text"].lower().split()) for row in test}
            left = [row for row in rows if " ".join(row["text"].lower().split()) not in chosen]
            leaked = rng.sample(test, 100)
            train = left + leaked
            rng.shuffle(train)
            truth = {at for at, row in enumerate(train) if " ".join(row["text"].lower().split()) in chosen}
            print(f"exact leakage, seed {seed}: {score(overlapping(train, test, Path(place)), truth)}")
            print(f"format errors, seed {seed}: {broken(rows[:3000], rng, Path(place))}")


def overlapping(train: list[dict], test: list[dict], folder: Path) -> set[int]:
    """Training rows that leave because the test file holds them."""
    told(train, "D999", folder, only=(), test=test)
    with open(folder / "data" / "rejected.jsonl", encoding="utf-8") as stream:
        return {entry["row"] - 1 for entry in map(json.loads, stream) if entry["code"] == "D401"}


def broken(rows: list[dict], rng: random.Random, folder: Path) -> str:
    """Lines broken in seven ways, and which of them are rejected."""
    lines = [json.dumps(row, ensure_ascii=False).encode() for row in rows]
    truth = set(rng.sample(range(len(lines)), len(lines) // 20)) - {0, 1}
    ways = [
        lambda line: line[: len(line) // 2], lambda line: line.replace(b'"label"', b'"lable"'), lambda line: line + b"}", lambda line: b"[" + line + b"]",
        lambda line: line.replace(b'": "', b'": 7.5e9999, "x": "', 1), lambda line: line.replace(b" ", b"\xff", 1), lambda line: json.dumps({"text": "  ", "label": "x"}).encode(),
    ]
    for at in truth:
        lines[at] = rng.choice(ways)(lines[at])
    (folder / "broken.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    build(DataSettings(train=str(folder / "broken.jsonl")), folder=folder / "broken", strict=False)
    with open(folder / "broken" / "rejected.jsonl", encoding="utf-8") as stream:
        found = {entry["row"] - 1 for entry in map(json.loads, stream)}
    return score(found, truth)


def words_apart(one: list[str], other: list[str]) -> int:
    """Levenshtein's distance over words, by the textbook: the judge that shares no code with what it judges."""
    row = list(range(len(other) + 1))
    for at, word in enumerate(one, 1):
        new = [at]
        for column, other_word in enumerate(other, 1):
            new.append(min(row[column] + 1, new[-1] + 1, row[column - 1] + (word != other_word)))
        row = new
    return row[-1]


def near(seeds: int) -> None:
    """Near duplicates among rows of which no two are near: within 35 % of their words by brute force."""
    import re

    plain = lambda row: re.findall(r"[a-z0-9]+", row[planting.asked(row)].lower())
    for name, make in (("banking77", banking), ("sms", sms), ("gsm8k", gsm8k)):
        base: list[dict] = []
        words: list[list[str]] = []
        for row in random.Random(1).sample(make(), 1500):
            mine = plain(row)
            if len(mine) >= 5 and not any(abs(len(mine) - len(other)) <= 0.35 * max(len(mine), len(other)) and len(set(mine) & set(other)) * 2 > len(set(mine)) and words_apart(mine, other) <= 0.35 * max(len(mine), len(other)) for other in words):
                base.append(row)
                words.append(mine)
        for seed in range(seeds):
            rows = [dict(row) for row in base]
            truth = planting.near_duplicates(rows, 0.2, random.Random(seed))
            with tempfile.TemporaryDirectory() as folder:
                found = told(rows, "D203 D404", Path(folder), only={"near duplicates"})
            late = {at for at in found if at >= len(base)}
            # a row of the base is rightly told where it is the earlier-read of a planted pair: judged by the words, not by who was planted
            apart = {at for at in found - late if min(words_apart(words[at], plain(rows[other])) / max(len(words[at]), 1) for other in truth) > 0.3}
            print(f"near duplicates, {name}, {len(base):,} rows, seed {seed}: recall {len(late & truth | partners(found, rows, truth, plain)) / len(truth):.4f}, precision {1 - (len(late - truth) + len(apart)) / max(1, len(found)):.4f} ({len(truth)} planted, {len(found)} told)", flush=True)


def partners(found: set[int], rows: list[dict], truth: set[int], plain) -> set[int]:
    """Planted rows whose original was told in their place, as happens where the copy was read first."""
    told_words = [plain(rows[at]) for at in found - truth]
    return {at for at in truth - found if any(words_apart(plain(rows[at]), mine) <= 0.3 * max(len(mine), 1) for mine in told_words)}


def labels(seeds: int) -> None:
    """Precision at the planted count on banking77, and of what is told."""
    import numpy as np

    from luthier.data.checks import suspects
    from luthier.data.columns import Batch, Facets
    from luthier.data.sample import Sample

    for rate in (0.05, 0.1):
        for seed in range(seeds):
            rows = banking()
            truth = planting.wrong_labels(rows, rate, random.Random(seed))
            names = sorted({row["label"] for row in rows})
            sample = Sample()
            for at in range(0, len(rows), 4096):
                sample.see(Batch(at, 0, [Facets((row["text"], "", "")) for row in rows[at : at + 4096]]))
            label_N = np.array([names.index(row["label"]) for row in rows])
            predicted = suspects.predict(sample.close().input_vectors, label_N, len(names))
            first = set(suspects.ranked(predicted, label_N)[: len(truth)].tolist())
            found = set(suspects.suspects(predicted, label_N)[0].tolist())
            print(f"wrong labels, {rate:.0%}, seed {seed}: precision at {len(truth)}: {len(first & truth) / len(truth):.3f}; told {score(found, truth)}", flush=True)


def private(seeds: int) -> None:
    """Spans for the types that are found without a model: of texts that the rules were not written on, and of the Presidio synthetic set, on which they were."""
    for half in ("held_out",) if seeds else ("development",):
        for seed in range(max(1, seeds)):
            judged(f"{half} templates, 2,000 texts, seed {seed}", generate_spans(half, 2000, seed))
    kinds = {"EMAIL_ADDRESS": "email", "PHONE_NUMBER": "phone", "CREDIT_CARD": "card", "IBAN_CODE": "iban", "US_SSN": "identity", "IP_ADDRESS": "ip"}
    rows = json.loads((DATA / "token_classification/microsoft__presidio-research/data/synth_dataset_v2.json").read_text(encoding="utf-8"))
    judged("Presidio synthetic set, rules developed on it", [(row["full_text"], [(span["start_position"], span["end_position"], kinds[span["entity_type"]]) for span in row["spans"] if span["entity_type"] in kinds]) for row in rows])


def judged(name: str, rows: list[tuple[str, list]]) -> None:
    """Recall and precision of spans: met by one of the same kind."""
    hit, missed, false = Counter(), Counter(), Counter()
    meet = lambda one, other: one[0] < other[1] and other[0] < one[1] and one[2] == other[2]
    for text, wanted in rows:
        found = scan(text)
        for span in wanted:
            (hit if any(meet(span, other) for other in found) else missed)[span[2]] += 1
        false.update(span.kind for span in found if not any(meet(span, other) for other in wanted))
    listed = "; ".join(f"{kind} {hit[kind]} found, {missed[kind]} missed, {false[kind]} false" for kind in sorted({*hit, *missed, *false}))
    print(f"{name}: recall {hit.total() / (hit.total() + missed.total()):.4f}, precision {hit.total() / (hit.total() + false.total()):.4f} ({listed})", flush=True)


def speed(count: int, like: str) -> None:
    """Rows of about 20 words with a label, or questions and answers as long as GSM8K's; the stream checks alone, and the whole check, in a process of their own."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "rows.jsonl"
        with open(path, "w", encoding="utf-8") as stream:
            stream.writelines(json.dumps(row) + "\n" for row in (short_rows if like == "tickets" else long_rows)(count))
        subprocess.run([sys.executable, "-m", "benchmarks.doctor", "speed-one", str(path)], check=True)


def short_rows(count: int):
    """Tickets with half of their words drawn anew."""
    rng = random.Random(0)
    base = [row["text"].split() for row in tickets()]
    names = [row["label"] for row in tickets()]
    vocabulary = [word for words in base for word in words]
    for at in range(count):
        words = list(base[at % len(base)])
        for _ in range(len(words) // 2):
            words[rng.randrange(len(words))] = rng.choice(vocabulary)
        yield {"text": f"{' '.join(words)} {at}", "label": names[at % len(names)]}


def long_rows(count: int):
    """Sentences of GSM8K's questions and answers, as many as a row there has, drawn by lot."""
    rng, rows = random.Random(0), gsm8k()
    sentences = [[part for row in rows for part in row[key].replace("\n", " ").split(". ")] for key in ("question", "answer")]
    for at in range(count):
        row = rows[at % len(rows)]
        said = [". ".join(rng.choice(some) for _ in row[key].replace("\n", " ").split(". ")) for key, some in zip(("question", "answer"), sentences)]
        yield {"question": f"{said[0]} {at}?", "answer": f"{said[1]}."}


def speed_one(path: str) -> None:
    with tempfile.TemporaryDirectory() as place:
        began, used = time.perf_counter(), time.process_time()
        data = build(DataSettings(train=path), folder=Path(place) / "data", strict=False)
        built, built_used = time.perf_counter() - began, time.process_time() - used
        began, used = time.perf_counter(), time.process_time()
        examined = doctor.examine(data, only=STREAMING)
        seconds, used = time.perf_counter() - began, time.process_time() - used
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        count = len(examined.seen)
        print(f"{count:,} rows: reading and splitting {built:.0f} s ({built_used:.0f} s of processor); all stream checks {seconds:.0f} s ({used:.0f} s of processor): {count / seconds:,.0f} rows/s, {count / used:,.0f} rows/s/core; peak {peak:,.0f} MB")
        print(f"reading and stream checks together: {count / (built_used + used):,.0f} rows/s/core")
        began = time.perf_counter()
        doctor.examine(data, only=SAMPLE_CHECKS)
        print(f"sample checks {time.perf_counter() - began:.0f} s more; peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB", flush=True)


def damage(rows: list[dict], seed: int) -> list[dict]:
    """20 % wrong labels, 10 % other spellings of labels, 10 % copies with another label, 5 % with a trigger, invisible or broken characters, or empty."""
    rng = random.Random(seed)
    rows = [dict(row) for row in rows]
    planting.wrong_labels(rows, 0.2, rng)
    planting.conflicts(rows, 0.1, rng)
    planting.poison("phrase")(rows, 0.02, rng)  # before the spellings: who plants a trigger aims at a label that exists
    planting.spelled_labels(rows, 0.1, rng)
    planting.invisible(rows, 0.02, rng)
    planting.mojibake(rows, 0.02, rng)
    for at in planting.some(rows, 0.01, rng):
        rows[at]["text"] = " "
    return rows


def repair(seeds: int, ways: list[str]) -> None:
    """Accuracy on the test file of a linear model over words, trained on damaged, fixed and clean rows by the same recipe."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    test = banking("test")

    def accuracy(rows: list[dict]) -> float:
        rows = [row for row in rows if row["text"].strip()]
        words = TfidfVectorizer(min_df=2, sublinear_tf=True)
        model = LogisticRegression(C=10, max_iter=100).fit(words.fit_transform([row["text"] for row in rows]), [row["label"] for row in rows])
        return float((model.predict(words.transform([row["text"] for row in test])) == [row["label"] for row in test]).mean())

    clean, worth = accuracy(banking()), []
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as place:
            path = Path(place) / "rows.csv"
            rows = damage(banking(), seed)
            with open(path, "w", newline="", encoding="utf-8") as stream:
                writer = csv.DictWriter(stream, ["text", "label"])
                writer.writeheader()
                writer.writerows(rows)
            before = accuracy(rows)
            for fixes in ways:
                made = mending.mend(DataSettings(train=str(path)), mending.chosen(fixes), task="classification", record=None)
                with open(made.file, newline="", encoding="utf-8") as stream:
                    fixed = [*csv.DictReader(stream)]
                after = accuracy(fixed)
                print(f"repair --fix {fixes}, seed {seed}: damaged {before:.4f}, fixed {after:.4f}, clean {clean:.4f}: {(after - before) / (clean - before):.0%} of the loss is back; {made.done}", flush=True)
                worth.append((after - before) / (clean - before))
    print(f"mean of {len(worth)} repairs: {statistics.mean(worth):.0%} of the loss is back", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["planted", "poison", "clean", "exact", "near", "labels", "private", "speed", "speed-one", "repair"])
    parser.add_argument("path", nargs="?")
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--rates", default="0.01,0.05")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=20, help="of `poison`: those below were looked at while the check was made")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--fixes", nargs="+", default=["plain,label_errors,poison,conflicts"], help="of `repair`; plain,relabel,poison,conflicts rewrites labels instead")
    parser.add_argument("--like", choices=["tickets", "gsm8k"], default="tickets", help="how long the rows of `speed` are")
    given = parser.parse_args()
    run = {
        "planted": lambda: planted(given.sets.split(","), [float(rate) for rate in given.rates.split(",")], given.seeds), "poison": lambda: poison(given.sets.split(","), given.seeds, given.first_seed), "clean": clean, "exact": lambda: exact(given.seeds), "near": lambda: near(given.seeds),
        "labels": lambda: labels(given.seeds), "private": lambda: private(given.seeds), "speed": lambda: speed(given.rows, given.like), "speed-one": lambda: speed_one(given.path), "repair": lambda: repair(given.seeds, given.fixes),
    }
    run[given.what]()


if __name__ == "__main__":
    main()
