"""Nothing that stands in data, answers, names or logs comes alive in the page, in the Markdown or in the card."""
import json
import re
import shutil
from html.parser import HTMLParser

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from luthier.evaluation.report import card, escape, page, render

PAYLOADS = [
    "<script>alert(1)</script>", "</script><script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<svg onload=alert(1)>", "<svg><script>alert(1)</script></svg>",
    '"><script>alert(1)</script>', "'><img src=x onerror=alert(1)>", '" onmouseover="alert(1)', "javascript:alert(1)", "<a href=javascript:alert(1)>x</a>",
    "<iframe src=https://evil.example></iframe>", "<object data=x></object>", "<embed src=x>", "<base href=https://evil.example/>", "<link rel=stylesheet href=https://evil.example>",
    "</style><script>alert(1)</script>", "</title><script>alert(1)</script>", "</pre></code><img src=x>", "<!--><script>alert(1)</script>", "]]><script>alert(1)</script>",
    "<meta http-equiv=refresh content=0;url=https://evil.example>", "<form action=https://evil.example><input>", "<details open ontoggle=alert(1)>", "&lt;script&gt;alert(1)&lt;/script&gt;",
    "![x](https://evil.example/a.png)", "[x](javascript:alert(1))", "[x]: https://evil.example 'x'\n![x]", "<https://evil.example>", "| a | b |\n|---|---|\n| ![](https://evil.example) |",
    "```\n</code></pre><script>alert(1)</script>\n```", "`<img src=x>`", "https://evil.example/collect?x=1", "# heading\n\n---\nlicense: mit\n---", "\x1b]8;;https://evil.example\x07x\x1b]8;;\x07",
    "\x1b[2J\x1b[31mred", "\u202egnp.exe", "\ud800", "a\x00b", "<ScRiPt >alert(1)</sCrIpT>", "<math><mi//xlink:href=javascript:alert(1)>", "{{7*7}}{% raw %}", "${alert(1)}", "=cmd|'/c calc'!A1",
    "<style>@import 'https://evil.example'</style>", "<img src='data:image/svg+xml,<svg onload=alert(1)>'>", "\u2028<script>alert(1)</script>\u2029",
]  # fmt: skip
TAGS = set(
    "html head meta title style body header p h1 h2 h3 h4 span nav a main section dl div dt dd figure svg line polyline polygon rect circle text g details summary pre code table thead tbody tr th td "
    "article mark b i".split()
)
ATTRIBUTES = set(
    "lang charset http-equiv content name class aria-label aria-hidden href id role viewbox width height x y x1 y1 x2 y2 points cx cy r text-anchor fill-opacity transform tabindex".split()
)


class Elements(HTMLParser):
    """Every element with its attributes."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


def assert_inert(page_text):
    for tag, attributes in Elements(page_text).found:
        assert tag in TAGS and set(attributes) <= ATTRIBUTES, (tag, attributes)
        assert attributes.get("href", "#").startswith("#")
        if tag == "a":
            assert re.fullmatch(r"#\w+", attributes["href"])
        if tag == "title":
            assert not attributes


def poisoned(folder, target, payload):
    """A copy of a run in which every text that anyone can choose holds the payload."""
    shutil.copytree(folder, target)

    def spoil(value, key=""):
        if isinstance(value, dict):
            return {(payload if key in ("left_out", "others", "contestants", "versions", "resolved", "sources") and name != "tuned" else name): spoil(inner, name) for name, inner in value.items()}
        if isinstance(value, list):
            return [spoil(inner, key) for inner in value]
        keep = ("kind", "status", "metric", "headline", "method", "task")
        return payload if isinstance(value, str) and key not in keep else value

    for path in [*target.glob("*.json"), *target.glob("data/*.json"), *target.glob("evaluation/*.json")]:
        path.write_text(json.dumps(spoil(json.loads(path.read_text()))))
    for path in [target / "events.jsonl", *target.glob("evaluation/*.jsonl")]:
        rows = [spoil(json.loads(line)) for line in path.read_text().splitlines()]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (target / "config.resolved.yaml").write_bytes(payload.encode("utf-8", "replace"))
    return target


@pytest.mark.parametrize("payload", PAYLOADS)
def test_payloads_are_inert_everywhere(chat_run, tmp_path, payload):
    folder = poisoned(chat_run, tmp_path / "run", payload)
    page_text, markdown = render(folder)
    assert_inert(page_text)
    assert page_text.count("<style>") == 1 and page_text.count("</style>") == 1
    assert "\x1b" not in page_text + markdown and "\u202e" not in page_text + markdown
    readme = card(folder)
    for text in (markdown, readme.split("\n---\n", 1)[1]):
        live = MarkdownIt("commonmark", {"html": True}).enable("table").render(text)
        tags = {tag for tag, _ in Elements(live).found}
        assert tags <= set("h1 h2 h3 p strong em ul li table thead tbody tr th td pre code blockquote br details summary hr ol".split()), tags
        assert live.count("<h1") == 1
    assert isinstance(yaml.safe_load(readme.split("\n---\n")[0].removeprefix("---\n")), dict)


def test_what_is_escaped_can_still_be_read(chat_run, tmp_path):
    folder = poisoned(chat_run, tmp_path / "run", "<b>1 & 2</b>")
    page_text, markdown = render(folder)
    assert "&lt;b&gt;1 &amp; 2&lt;/b&gt;" in page_text and "&lt;b&gt;1 &amp; 2&lt;/b&gt;" in markdown


def test_without_escaping_the_check_turns_red(chat_run, tmp_path, monkeypatch):
    monkeypatch.setattr(page, "html", str)
    with pytest.raises(AssertionError):
        assert_inert(render(poisoned(chat_run, tmp_path / "run", PAYLOADS[2]))[0])


@given(st.text())
@settings(max_examples=200, deadline=None)
def test_any_text_is_inert(text):
    assert not Elements(f"<p>{escape.html(text)}</p>").found[1:]
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", escape.html(text))
    live = MarkdownIt("commonmark", {"html": True}).enable("table").render("x " + escape.markdown(text))
    assert {tag for tag, _ in Elements(live).found} <= {"p"}
    assert "\n" not in escape.markdown(text)
    assert live.count("<p>") == 1


@given(st.text(st.sampled_from("`~ab\n")))
@settings(max_examples=100, deadline=None)
def test_no_text_closes_its_fence(text):
    live = MarkdownIt("commonmark").render(escape.fenced(text) + "\n\nafter")
    assert live.count("<pre>") == 1 and live.endswith("<p>after</p>\n")


def test_cells_are_no_formulas_for_a_spreadsheet():
    assert page.quoted("=1+1") == "'=1+1" and page.quoted("-0.5") == "-0.5" and page.quoted("-cmd") == "'-cmd"
    assert page.quoted('a,"b"') == '"a,""b"""'
