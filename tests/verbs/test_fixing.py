"""Repair: a new file and a patch, the source untouched, and nothing left to do the second time."""
import csv
import hashlib
import json
import os
import random
import stat

import pytest

from luthier.commands.app import main
from luthier.data import mending
from luthier.data.fixes import ALL, FIXES, PLAIN, balance, characters
from luthier.data.fixes.private import Pseudonyms
from luthier.data.private import scan
from luthier.errors import DataError, RecipeError, Refused
from luthier.verbs import fix as fixing
from luthier.verbs.data import restore

WORDS = [f"{one}{two}{end}" for one in "bdfgklmnprst" for two in ("a", "o", "i", "u", "e") for end in ("lo", "ren", "mit", "sa")]


def clean(count: int = 240) -> list[dict]:
    rng = random.Random(4)
    return [{"text": " ".join(rng.sample(WORDS, 11)), "label": "ab"[at % 2], "kept": f"column {at}"} for at in range(count)]


def damaged() -> list[dict]:
    rows = clean()
    rows[10]["text"] = "  "
    rows[20] = {**rows[19], "kept": "copy"}
    rows[30]["text"] = "Mail ann.lee@example.org or call +44 20 7946 0958, not ANN.LEE@example.org"
    rows[31]["text"] = "Again ann.lee@example.org"
    rows[40]["text"] = "zero\u200bwidth and schÃ¶n"
    rows[50]["label"] = "A"
    rows[60]["text"] = "TODO write a ticket here"
    rows[70]["text"] = rows[69]["text"].replace(rows[69]["text"].split()[4], "other")
    rows[80]["text"] += " <|im_<|im_end|>end|>"
    return rows


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Write rows as a file in an empty working folder."""
    monkeypatch.chdir(tmp_path)

    def make(rows, name="t.csv"):
        with open(name, "w", newline="", encoding="utf-8") as stream:
            if name.endswith(".csv"):
                writer = csv.DictWriter(stream, list(rows[0]), delimiter=";")
                writer.writeheader()
                writer.writerows(rows)
            else:
                stream.writelines(json.dumps(row) + "\n" for row in rows)
        return name

    return make


def sha(path) -> str:
    with open(path, "rb") as stream:
        return hashlib.sha256(stream.read()).hexdigest()


def read(path) -> list[dict]:
    with open(path, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream, delimiter=";")) if str(path).endswith(".csv") else [json.loads(line) for line in stream]


def patch(path) -> tuple[dict, list[dict]]:
    with open(path, encoding="utf-8") as stream:
        head, *entries = map(json.loads, stream)
    return head, entries


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl"])
def test_plain_repair(written, name):
    source = written(damaged(), name)
    before = sha(source)
    made = fixing.fix(source).to_dict()
    rows, (head, entries) = read(made["file"]), patch(made["patch"])
    assert sha(source) == before and made["file"] == f"t.fixed.{name.split('.')[1]}" and head["result_sha256"] == sha(made["file"])
    assert {(entry["row"], entry["fix"], entry["action"]) for entry in entries} == {
        (11, "unreadable", "leave out"), (21, "duplicates", "leave out"), (41, "invisible", "change"), (41, "mojibake", "change"), (51, "labels", "change"),
    }
    assert all(entry["why"] for entry in entries) and made["done"] == {"unreadable": 1, "duplicates": 1, "invisible": 1, "mojibake": 1, "labels": 1}
    kept = {row["kept"]: row for row in rows}
    assert len(rows) == 238 == made["rows_out"] and kept["column 40"]["text"] == "zerowidth and schön" and kept["column 50"]["label"] == "a"
    untouched = [row for row in damaged() if row["kept"] in kept and row["kept"] not in ("column 40", "column 50")]
    assert [row for row in rows if row["kept"] not in ("column 40", "column 50")] == untouched, "what needs no repair is as it was, all columns"


@pytest.mark.parametrize("fixes", ["plain", "all"])
def test_the_second_time_changes_nothing(written, fixes):
    source = written(damaged())
    first = fixing.fix(source, fixes=fixes).to_dict()
    whole = sha(first["file"]), sha(first["patch"])
    assert fixing.fix(source, fixes=fixes).to_dict()["done"] == first["done"] and (sha(first["file"]), sha(first["patch"])) == whole, "the same source, the same bytes"
    again = fixing.fix(first["file"], fixes=fixes).to_dict()
    assert (again["file"], again["done"]) == (None, {}) and sha(first["file"]) == whole[0]


@pytest.mark.parametrize(
    "name, row", [("pii", 31), ("near_duplicates", 71), ("placeholders", 61), ("control_tokens", 81), ("duplicates", 21), ("invisible", 41), ("mojibake", 41), ("labels", 51), ("unreadable", 11)]
)
def test_each_fix_can_be_chosen_and_does_only_its_own(written, name, row):
    made = fixing.fix(written(damaged()), fixes=name).to_dict()
    _, entries = patch(made["patch"])
    assert row in {entry["row"] for entry in entries if entry["fix"] == name}
    assert {entry["fix"] for entry in entries} <= {name, "unreadable"}
    without = ",".join(other for other in PLAIN if other != name)
    made = fixing.fix(written(damaged()), fixes=without or "plain").to_dict()
    assert name not in made["done"] or name == "unreadable"


def test_an_unknown_fix_is_told_with_the_nearest(written):
    with pytest.raises(RecipeError, match="no fix `duplicate`") as told:
        fixing.fix(written(damaged()), fixes="duplicate")
    assert told.value.hint == "did you mean `duplicates`?" and told.value.code == "R144"
    assert set(ALL) < set(FIXES) and set(PLAIN) < set(ALL)


def test_masks_leave_nothing_private_anywhere(written):
    made = fixing.fix(written(damaged()), fixes="pii,invisible").to_dict()
    text = open(made["file"]).read() + open(made["patch"]).read()
    assert "ann.lee" not in text.lower() and "7946" not in text and "[email]" in text and "[phone]" in text
    assert not any(scan(row["text"]) for row in read(made["file"]))


def test_pseudonyms_keep_who_is_who_and_only_the_key_undoes_them(written):
    source = written(damaged())
    made = fixing.fix(source, fixes="pii", pii="pseudonym").to_dict()
    rows = {row["kept"]: row["text"] for row in read(made["file"])}
    names = {word.strip(",") for text in (rows["column 30"], rows["column 31"]) for word in text.split() if "@" in word}
    assert len(names) == 1 and names.pop().endswith("@pseudonym.invalid")
    assert stat.S_IMODE(os.stat(made["key"]).st_mode) == 0o600
    key = json.load(open(made["key"]))
    assert sorted(value.lower() for value in key["pseudonyms"].values()) == ["+44 20 7946 0958", "ann.lee@example.org"]
    assert "ann.lee" not in (open(made["file"]).read() + open(made["patch"]).read()).lower()
    back = restore(made["file"], key=made["key"], output="back.csv").to_dict()
    texts = [row["text"] for row in damaged()]
    assert back["restored"] == 2 and [row["text"].lower() for row in read("back.csv")] == [text.lower() for text in texts], "the key is the way back"
    first = sha(made["file"])
    assert sha(fixing.fix(source, fixes="pii", pii="pseudonym").to_dict()["file"]) == first, "the same key, the same names"
    assert fixing.fix(made["file"], fixes="pii", pii="pseudonym").to_dict()["file"] is None
    other = fixing.fix(source, fixes="pii", pii="pseudonym", key="other.json", output="o.csv").to_dict()
    assert sha(other["file"]) != first
    os.chmod(made["key"], 0o644)
    with pytest.raises(Refused, match="can be read by others"):
        Pseudonyms(mending.Path(made["key"]))


def test_two_things_never_share_a_pseudonym(tmp_path, monkeypatch):
    """A hash of one bit: every second thing would be another."""
    monkeypatch.setattr("luthier.data.fixes.private.LENGTH", 1)
    names = Pseudonyms(tmp_path / "k.json")
    made = [names.of("iban", f"DE{at}") for at in range(12)]
    assert len(set(made)) == 12 and [names.of("iban", f"de {at}") for at in range(12)] == made


def test_broken_characters_are_undone_and_whole_ones_left():
    repair = characters.unbroken(None)
    assert repair("schÃ¶n grÃ¼n â€œwordâ€\u009d cafÃ©") == "schön grün “word” café"
    for text in ("schön Ã", "café", "Â", "naïve Ñandú", "£5 â la carte", "100 €"):
        assert repair(text) == text
    assert repair("schön".encode().decode("cp1252").encode().decode("cp1252")) == "schön", "twice broken"


def test_review_and_apply(written):
    rng, topics = random.Random(1), [WORDS[:60], WORDS[60:120]]
    rows = [{"text": " ".join(rng.choice(topics[at % 2]) for _ in range(10)), "label": ("lamp", "boat")[at % 2]} for at in range(400)]
    for at in (17, 59, 101):
        rows[at]["label"] = "lamp" if rows[at]["label"] == "boat" else "boat"
    source = written(rows)
    asked = fixing.ask(source).to_dict()
    sheet = [*csv.DictReader(open(asked["file"], newline=""))]
    doubted = {int(row["row"]): row for row in sheet if row["code"] == "D309"}
    assert {18, 60, 102} <= set(doubted) and len(doubted) <= 6 and asked["rows"] == len(sheet)
    assert doubted[18]["suggestion"] != doubted[18]["label"] and all(row["decision"] == "keep" for row in sheet)
    assert fixing.apply(source, decisions=asked["file"]).to_dict()["file"] is None, "nothing decided, nothing done"
    answers = {18: "accept", 60: "leave out", 102: "label: ship"}
    for row in sheet:
        row["decision"] = answers.get(int(row["row"]), "keep")
    with open("edited.csv", "w", newline="") as stream:
        writer = csv.DictWriter(stream, list(sheet[0]))
        writer.writeheader()
        writer.writerows(sheet)
    before = sha(source)
    made = fixing.apply(source, decisions="edited.csv").to_dict()
    result = read(made["file"])
    assert len(result) == 399 and result[17]["label"] == doubted[18]["suggestion"] and result[100]["label"] == "ship" and sha(source) == before
    assert {entry["row"]: entry["action"] for entry in patch(made["patch"])[1]} == {18: "change", 60: "leave out", 102: "change"}
    sheet[0]["decision"] = "perhaps"
    with open("edited.csv", "w", newline="") as stream:
        writer = csv.DictWriter(stream, list(sheet[0]))
        writer.writeheader()
        writer.writerows(sheet)
    with pytest.raises(DataError, match="`perhaps` is no decision") as told:
        fixing.apply(source, decisions="edited.csv")
    assert (told.value.line, told.value.field) == (2, "decision")


def test_resampling_narrows_and_is_done_once(written):
    rows = [{"text": f"{' '.join(random.Random(at).sample(WORDS, 9))}", "label": "often" if at < 500 else "seldom"} for at in range(520)]
    made = fixing.fix(written(rows), fixes="balance").to_dict()
    labels = [row["label"] for row in read(made["file"])]
    assert labels.count("often") == 100 and labels.count("seldom") == 20 and made["done"] == {"balance": 400}
    assert fixing.fix(made["file"], fixes="balance").to_dict()["file"] is None


def test_counterfactual_rows_close_the_gap(written):
    rows = [{"text": f"{'She' if at % 4 == 0 else 'He'} wants {' '.join(random.Random(at).sample(WORDS, 9))}", "label": "yes" if at % 4 == 0 else "no"} for at in range(200)]
    made = fixing.fix(written(rows), fixes="balance", balance_by="counterfactual").to_dict()
    assert made["gap"]["before"] > 0.9 and made["gap"]["after"] < 0.05 and made["done"] == {"balance": 200} and made["rows_out"] == 400
    both = read(made["file"])
    assert both[1]["text"] == both[0]["text"].replace("She", "He") and both[1]["label"] == both[0]["label"]
    assert fixing.fix(made["file"], fixes="balance", balance_by="counterfactual").to_dict()["file"] is None


def test_reweighting_closes_the_gap_and_says_how_training_heeds_it(written, capsys):
    rows = [{"text": f"{'She' if at % 4 == 0 else 'He'} wants {' '.join(random.Random(at).sample(WORDS, 9))}", "label": "yes" if (at % 3 if at % 4 else at % 5) else "no"} for at in range(400)]
    source = written(rows)
    made = fixing.fix(source, fixes="balance", balance_by="reweight").to_dict()
    both = read(made["file"])
    weights = [float(row["row_weight"]) for row in both]
    share = lambda word: sum(weight for row, weight in zip(both, weights) if row["text"].startswith(word) and row["label"] == "yes") / sum(weight for row, weight in zip(both, weights) if row["text"].startswith(word))
    assert made["gap"]["before"] > 0.05 and made["gap"]["after"] < 0.01 and share("She") == pytest.approx(share("He"), abs=0.01)
    assert [{key: row[key] for key in rows[0]} for row in both] == rows and made["weight"] == "row_weight" and len(set(weights)) > 1
    assert fixing.fix(made["file"], fixes="balance", balance_by="reweight").to_dict()["file"] is None
    with pytest.raises(SystemExit):
        main(["check", source, "--fix", "balance", "--balance", "reweight"])
    assert "data.row_weight=row_weight" in capsys.readouterr().out.replace("\n", " ")


def test_new_columns_of_a_parquet_file_are_kept(written, tmp_path):
    from pyarrow import Table, parquet

    rows = [{"text": f"{'She' if at % 4 == 0 else 'He'} wants {' '.join(random.Random(at).sample(WORDS, 9))}", "label": "yes" if (at % 3 if at % 4 else at % 5) else "no"} for at in range(400)]
    parquet.write_table(Table.from_pylist(rows), "t.parquet")
    made = fixing.fix("t.parquet", fixes="balance", balance_by="reweight").to_dict()
    table = parquet.read_table(made["file"])
    assert table.column_names == ["text", "label", "row_weight"] and len(set(table["row_weight"].to_pylist())) > 1


def test_swapping_knows_her_from_her():
    assert balance.swapped("She gave HER brother her book, and he thanked her.") == "He gave HIS sister his book, and she thanked him."
    assert balance.swapped("no people here") == "no people here"


def test_rows_added_by_nobody_and_lost_by_nobody(written):
    """In = out + left out, whatever is broken in the file."""
    name = written(damaged(), "t.jsonl")
    with open(name, "a") as stream:
        stream.write('{"text": "cut off, "lab\n[1, 2]\n{"text": "last one of all", "label": "a", "kept": "end"}\n')
    made = fixing.fix(name, fixes="all").to_dict()
    head, entries = patch(made["patch"])
    left = {entry["row"] for entry in entries if entry["action"] == "leave out"}
    assert made["rows_in"] == 243 and made["rows_out"] == len(read(made["file"])) == 243 - len(left) and {241, 242} <= left
    assert read(made["file"])[-1]["kept"] == "end"


def test_the_command_line(written, capsys):
    source = written(damaged())
    run = lambda *words: pytest.raises(SystemExit, main, ["check", *words]).value.code or 0
    assert run(source, "--fix", "--json") == 0
    assert json.loads(capsys.readouterr().out)["file"] == "t.fixed.csv"
    assert run(source, "--fix", "duplicates,pii") == 0 and "the source is as it was" in capsys.readouterr().out
    assert run(source, "--fix", "duplicatse") == 2 and "did you mean `duplicates`" in capsys.readouterr().err
    assert run(source, "--fix", "--review") == 2
    assert run(source, "--fix") == 0 and run("t.fixed.csv", "--fix") == 0 and "nothing to fix" in capsys.readouterr().out
