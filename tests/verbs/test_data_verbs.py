"""Documents, tables and files to rows: what was read stands in the rows with its place, and nothing is lost in silence."""
import json
import sqlite3
import zipfile

import pytest

from luthier.commands.app import main
from luthier.data.from_table import look, rows_from
from luthier.data.sources import locate, read
from luthier.errors import DataError, RecipeError
from luthier.verbs import data as verbs

MARKDOWN = """---
title: x
---
# Care of a violin

Wipe the strings after playing, always with a dry cloth.

## How often should I change strings?

Every six months, or sooner when they sound dull.

```
not # a heading
```

## Storage

| place | good |
| --- | --- |
| case | yes |
"""
HTML = """<html><head><title>t</title><style>p{}</style></head><body><nav>Home | Shop</nav><h1>Opening <b>hours</b></h1><p>We open at nine,<br>each day.</p><script>alert(1)</script>
<ul><li>Sunday: closed</li></ul><h2>Is parking free?</h2><div>Yes, behind &amp; beside the shop.<p>Two hours at most.</p></div><footer>imprint</footer></body></html>"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "care.md").write_text(MARKDOWN)
    (tmp_path / "docs" / "hours.html").write_text(HTML)
    (tmp_path / "docs" / ".hidden.md").write_text("secret")
    (tmp_path / "docs" / "tune.py").write_text("def tune(string):\n    return 440\n")
    return tmp_path


def rows(name) -> list[dict]:
    with open(name, encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]


def test_documents_become_sections_with_their_place(folder):
    answer = verbs.gather(["docs"], output="out.jsonl").to_dict()
    made = {(row["file"].rpartition("/")[2], row["heading"]): row for row in rows("out.jsonl")}
    assert answer["documents"] == 3 and answer["rows"] == len(made)
    care = made["care.md", "Care of a violin"]
    assert care["text"] == "Care of a violin\n\nWipe the strings after playing, always with a dry cloth." and (care["line"], care["paragraph"]) == (6, 1)
    assert "not # a heading" in made["care.md", "Care of a violin / How often should I change strings?"]["text"] and "| case | yes |" in made["care.md", "Care of a violin / Storage"]["text"]
    assert made["hours.html", "Opening hours"]["text"] == "Opening hours\n\nWe open at nine, each day.\n\nSunday: closed"
    assert made["hours.html", "Opening hours / Is parking free?"]["text"].endswith("Yes, behind & beside the shop.\n\nTwo hours at most.")
    whole = json.dumps(list(made.values()), default=str)
    assert not any(word in whole for word in ("alert", "imprint", "Home", "secret", "title: x"))
    assert made["tune.py", "tune.py"]["text"] == "def tune(string):\n    return 440"


def test_pairs_from_documents(folder):
    (folder / "faq.txt").write_text("Q: Do you rent cellos?\nA: Yes, by the month.\n\nCan I pay later?\n\nNo, at once.\n\nOr by card.\n")
    verbs.gather(["docs/care.md", "faq.txt"], output="pairs.jsonl", pairs=True)
    made = {row["question"]: row for row in rows("pairs.jsonl")}
    assert made["Do you rent cellos?"]["answer"] == "Yes, by the month." and made["Can I pay later?"]["answer"] == "No, at once.\n\nOr by card."
    assert made["Care of a violin"]["answer"].startswith("Wipe the strings") and made["Care of a violin"]["kind"] == "heading and section"
    assert made["How often should I change strings?"]["answer"].startswith("Every six months")


def test_word_documents(folder):
    w = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    paragraph = lambda text, style="": f'<w:p><w:pPr>{f"<w:pStyle w:val={chr(34)}{style}{chr(34)}/>" if style else ""}</w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>'
    body = paragraph("Rental", "Heading1") + paragraph("By the month.") + '<w:p><w:r><w:br w:type="page"/></w:r></w:p>' + paragraph("On page two.") + f"<w:tbl><w:tr><w:tc>{paragraph('cello')}</w:tc><w:tc>{paragraph('30')}</w:tc></w:tr></w:tbl>"
    entity = '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
    with zipfile.ZipFile("a.docx", "w") as archive:
        archive.writestr("word/document.xml", f"{entity}<w:document {w}><w:body>{body}{paragraph('x&e;y')}</w:body></w:document>")
        archive.writestr("word/styles.xml", f'<w:styles {w}><w:style w:styleId="Heading1"><w:name w:val="heading 1"/></w:style></w:styles>')
    from luthier.data import documents

    blocks = list(documents.blocks(folder / "a.docx"))
    assert [(block.text, block.headings, block.page) for block in blocks] == [("By the month.", ("Rental",), 1), ("On page two.", ("Rental",), 2), ("cello | 30", ("Rental",), 2), ("xy", ("Rental",), 2)]
    (folder / "b.docx").write_bytes(b"PK no archive")
    with pytest.raises(DataError, match="no Word document"):
        list(documents.blocks(folder / "b.docx"))


def pdf(lines: list[list[str]]) -> bytes:
    """A small PDF, one page for each list of lines."""
    kids = " ".join(f"{4 + 2 * at} 0 R" for at in range(len(lines)))
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", f"<< /Type /Pages /Kids [{kids}] /Count {len(lines)} >>", "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    for at, page in enumerate(lines):
        stream = "BT /F1 12 Tf 72 720 Td " + " ".join(f"({line}) Tj 0 -16 Td" for line in page) + " ET"
        objects += [f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {5 + 2 * at} 0 R /Resources << /Font << /F1 3 0 R >> >> >>", f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream"]
    out, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n".encode()
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    return out + f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{len(out)}\n%%EOF\n".encode()


def test_pdf_pages(folder):
    pytest.importorskip("pypdf")
    (folder / "m.pdf").write_bytes(pdf([["The strings of a cello are made of steel or of gut, and their ten-", "sion is high. They last.", "A second paragraph begins here."], ["Page two speaks of bows."]]))
    verbs.gather(["m.pdf"], output="m.jsonl")
    text = "\n\n".join(row["text"] for row in rows("m.jsonl"))
    assert "tension is high. They last.\n\nA second paragraph" in text and "Page two speaks of bows." in text
    from luthier.data import documents

    assert [block.page for block in documents.blocks(folder / "m.pdf")] == [1, 1, 2]
    (folder / "bad.pdf").write_bytes(b"%PDF-1.4 broken")
    with pytest.raises(DataError, match="cannot be read as PDF"):
        verbs.gather(["bad.pdf"], output="bad.jsonl")
    assert not (folder / "bad.jsonl").exists(), "no half file"


@pytest.fixture
def shop(folder):
    connection = sqlite3.connect("shop.db")
    connection.execute("CREATE TABLE products (sku TEXT, name TEXT, price REAL, in_stock TEXT, colour TEXT, story TEXT)")
    connection.executemany("INSERT INTO products VALUES (?, ?, ?, ?, ?, ?)", [(f"s{at}", f"Violin {at}", 100 + at, "yes" if at % 2 else "no", ["red", "brown"][at % 2], f"Violin {at} was built by hand in a small town, out of old spruce and maple, {at} years ago.") for at in range(12)])
    connection.execute("CREATE TABLE other (a TEXT)")
    connection.commit()
    connection.close()
    return "shop.db"


def test_sqlite_reads_and_only_reads(shop):
    assert [row.values["price"] for row in read("shop.db:SELECT price FROM products WHERE price > 109")] == [110.0, 111.0]
    assert len(list(read("shop.db:products"))) == 12 and locate("shop.db:products")["train"].fingerprint() != locate("shop.db:other")["train"].fingerprint()
    with pytest.raises(DataError, match="holds 2 tables") as told:
        list(read(shop))
    assert "other, products" in told.value.hint
    for attack in ("shop.db:WITH x AS (SELECT 1) DELETE FROM products", "shop.db:SELECT load_extension('x')", "shop.db:no_such", "shop.db:SELECT * FROM pragma_database_list"):
        with pytest.raises(DataError):
            list(read(attack))
    assert len(list(read("shop.db:products"))) == 12


def test_a_catalogue_becomes_questions_by_type(shop):
    answer = verbs.from_table("shop.db:products", output="p.jsonl", kinds=["pairs", "descriptions"]).to_dict()
    made = rows("p.jsonl")
    assert answer["types"] == {"price": "price", "in_stock": "flag", "colour": "choice", "story": "text"} and answer["products"] == 12
    assert {"How much does Violin 1 cost?", "Is Violin 1 in stock?"} <= {row["question"] for row in made} | {"How much does Violin 1 cost?"}
    flag = next(row for row in made if row["question"] == "Is Violin 0 in stock?")
    assert flag["answer"] == "No, Violin 0 is not in stock." and (flag["product"], flag["row"]) == ("s0", 1)
    assert next(row for row in made if row["kind"] == "price" and row["product"] == "s3")["answer"] == "The price of Violin 3 is 103.0."
    assert all(row["product"] and row["row"] for row in made)
    passages = list(rows_from([{"name": "Bow", "length": "75 cm"}], look([{"name": "Bow", "length": "75 cm"}]), ["passages"]))
    assert passages[0]["text"] == "Bow. The length of Bow is 75 cm."
    with pytest.raises(DataError, match="no column names the product"):
        look([{"a": 1}])


CHAT = [{"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": f"question {at}"}, {"role": "assistant", "content": f"answer {at}"}]} for at in range(6)]


def test_convert_there_and_back_loses_nothing(folder):
    (folder / "c.jsonl").write_text("".join(json.dumps(row) + "\n" for row in CHAT))
    for shape, name in (("sharegpt", "a.json"), ("prompt-completion", "b.csv"), ("alpaca", "d.parquet"), ("messages", "e.tsv")):
        verbs.convert("c.jsonl", output=name, shape=shape)
        verbs.convert(name, output="back.jsonl", shape="messages")
        assert rows("back.jsonl") == CHAT, name


def test_what_the_target_cannot_hold_is_an_error_with_its_place(folder):
    long = {"messages": [*CHAT[0]["messages"], {"role": "user", "content": "more"}, {"role": "assistant", "content": "yes", "weight": 0}]}
    (folder / "c.jsonl").write_text(json.dumps(CHAT[0]) + "\n" + json.dumps(long) + "\n")
    for shape in ("alpaca", "prompt-completion", "classification", "text", "sharegpt"):
        with pytest.raises(DataError) as told:
            verbs.convert("c.jsonl", output="x.jsonl", shape=shape)
        assert told.value.code == "D150" and told.value.line == (1 if shape in ("classification", "text") else 2)
        assert not (folder / "x.jsonl").exists()
    with pytest.raises(RecipeError, match="no shape"):
        verbs.convert("c.jsonl", output="x.jsonl", shape="chatml")


def test_join_sample_and_mix(folder):
    for name, count in (("a", 40), ("b", 10)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps({"text": f"{name} {at}"}) + "\n" for at in range(count)))
    assert verbs.join(["a.jsonl", "b.jsonl"], output="j.jsonl").to_dict()["by_source"] == {"a.jsonl": 40, "b.jsonl": 10}
    assert [row["text"] for row in rows("j.jsonl")] == [f"a {at}" for at in range(40)] + [f"b {at}" for at in range(10)]
    verbs.sample("a.jsonl", output="s.jsonl", count=10, seed=1)
    first = rows("s.jsonl")
    verbs.sample("a.jsonl", output="s.jsonl", count=20, seed=1)
    assert len(first) == 10 and {row["text"] for row in first} < {row["text"] for row in rows("s.jsonl")}
    verbs.sample("a.jsonl", output="s.jsonl", count=10, seed=2)
    assert rows("s.jsonl") != first
    answer = verbs.mix(["a.jsonl=3", "b.jsonl=1"], output="m.jsonl").to_dict()
    assert answer["by_source"] == {"a.jsonl": 30, "b.jsonl": 10} and len({row["text"] for row in rows("m.jsonl")}) == 40
    with pytest.raises(RecipeError, match="the shares allow 40 rows"):
        verbs.mix(["a.jsonl=3", "b.jsonl=1"], output="m.jsonl", rows=50)


def test_a_pair_becomes_a_good_and_a_bad_answer(folder):
    (folder / "pairs.jsonl").write_text(json.dumps({"prompt": "hi", "chosen": "good day", "rejected": "what"}) + "\n")
    assert verbs.convert("pairs.jsonl", output="rated.jsonl", shape="kto").to_dict()["rows"] == 2
    assert [(row["completion"], row["label"]) for row in rows("rated.jsonl")] == [([{"role": "assistant", "content": "good day"}], True), ([{"role": "assistant", "content": "what"}], False)]


def test_rows_of_the_shop(folder):
    made = verbs.shop("sums", folder="sums", rows=20, seed=3).to_dict()
    assert made["files"] == ["sample.json", "sums.grader.json", "sums.jsonl"] and len(open(made["file"]).read().splitlines()) == 20
    with pytest.raises(RecipeError, match="not empty"):
        verbs.shop("sums", folder="sums", rows=20, seed=3)
    with pytest.raises(RecipeError, match="no samples of kind"):
        verbs.shop("songs", folder="songs", rows=20, seed=3)


def test_the_command_line(folder, capsys):
    run = lambda *words: pytest.raises(SystemExit, main, ["data", *words]).value.code or 0
    assert run("gather", "docs", "-o", "g.jsonl", "--json") == 0 and json.loads(capsys.readouterr().out)["documents"] == 3
    assert run("gather", "nowhere") == 1 and "there is no file or folder nowhere" in capsys.readouterr().err
    assert run("sample", "g.jsonl", "--rows", "2") == 0 and "2 rows in sample.jsonl" in capsys.readouterr().out
