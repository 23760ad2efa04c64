"""What `check` found as one HTML page that needs nothing else: findings by severity, histograms, clusters, a row browser, rendered examples with their mask.

The only script filters the row browser; the policy in the head allows it by its hash and nothing else. Without it the page shows all rows.
"""
import base64
import hashlib
from collections.abc import Sequence

from luthier.evaluation.report.document import Picture
from luthier.evaluation.report.escape import html
from luthier.evaluation.report.page import STYLE, css_word, folded, picture, table, tile
from luthier.evaluation.report.pictures import WIDE, both
from luthier.evaluation.report.svg import Canvas, scale, ticks

LEVELS = {"error": ("bad", "✗"), "warning": ("warning", "!"), "info": ("note", "i")}
LISTED = 5
MOST_LABELS = 200
SCRIPT = """
"use strict";
(() => {
  const box = document.getElementById("find"), code = document.getElementById("code"), split = document.getElementById("split"), label = document.getElementById("label");
  const rows = [...document.querySelectorAll("#rows article")], count = document.getElementById("count");
  const show = () => {
    const words = box.value.toLowerCase().split(/\\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const fits = (!code.value || row.dataset.codes.split(" ").includes(code.value)) && (!split.value || row.dataset.split === split.value) && (!label || !label.value || row.dataset.label === label.value) && words.every(word => row.textContent.toLowerCase().includes(word));
      row.hidden = !fits;
      shown += fits;
    }
    count.textContent = shown + " of " + rows.length + " rows";
  };
  for (const each of [box, code, split, label]) if (each) each.addEventListener("input", show);
  document.getElementById("filter").hidden = false;
  show();
})();
"""
LOOK = """
.finding{border-left:5px solid var(--faint);padding:2px 0 2px 14px;margin:16px 0}.finding.bad{border-color:var(--bad)}.finding.warning{border-color:var(--amber)}
.finding p{max-width:none}.code{font:600 13px ui-monospace,Menlo,monospace;margin-right:8px}.bad .code{color:var(--bad)}.warning .code{color:var(--amber)}
#filter{display:flex;flex-wrap:wrap;gap:8px;align-items:center;margin:12px 0}#filter[hidden]{display:none}
#filter input,#filter select{font:inherit;font-size:14px;padding:6px 10px;border:1px solid var(--faint);border-radius:6px;background:var(--card);color:var(--ink);min-width:0;max-width:100%}
#rows article{margin:10px 0}#rows article[hidden]{display:none}#rows .said{white-space:pre-line;max-width:none;margin:4px 0}.said b{color:var(--soft);font-size:12px;font-weight:600;margin-right:6px}
.chip{display:inline-block;padding:0 8px;margin-right:6px;border:1px solid var(--faint);border-radius:99px;font:600 12px/1.6 ui-monospace,Menlo,monospace}
.cluster{margin:8px 0;padding-left:14px;border-left:3px double var(--faint)}.cluster p{margin:2px 0;max-width:none}
#rows details{margin:4px 0}#rows summary{cursor:pointer;color:var(--soft);font-size:13px}
.tokens{white-space:pre-wrap;max-width:none;overflow-wrap:anywhere}.tokens .learned{background:var(--tuned-soft);text-decoration:underline;text-decoration-color:var(--tuned)}
.tokens .context{color:var(--soft)}.tokens .special{border:1px solid var(--faint);border-radius:4px;padding:0 3px;font-size:13px}
svg .bar{fill:var(--tuned)}svg .over{fill:var(--bad)}svg .limit{stroke:var(--bad);stroke-width:2;stroke-dasharray:5 3}
"""


def write(name: str, result: dict, *, rows: Sequence[dict] = (), clusters: Sequence[Sequence[dict]] = ()) -> str:
    """The page. `result` is what `check` answers; `rows` are {file, line, row, split, input, answer, label, codes, why} and `clusters` lists of {where, text}."""
    parts = [("findings", "Findings", findings(result["findings"])), ("data", "The data", facts(result))]
    if clusters:
        parts.append(("clusters", "Near copies", cluster_blocks(clusters)))
    if result.get("shown"):
        parts.append(("examples", "What is learned", "".join(map(example, result["shown"]))))
    if rows:
        parts.append(("rows", "Rows", browser(rows)))
    links = "".join(f'<a href="#{key}">{html(title)}</a>' for key, title, _ in parts)
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    status = "done" if result["ok"] else "failed"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{html(policy)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer">\n'
        f"<title>{html(name)} · check</title>\n<style>{STYLE.read_text(encoding='utf-8')}{LOOK}</style></head>\n<body>\n"
        f'<header><p class="mark">Luthier · check of data</p><h1>{html(name)} <span class="status {status}">{"✓ usable" if result["ok"] else "✗ errors"}</span></h1>'
        f'<p class="subtitle">{html(result.get("mapping") or "")}</p><nav aria-label="Parts">{links}</nav></header>\n<main>\n'
        + "\n".join(f'<section id="{key}"><h2>{html(title)}</h2>\n{content}</section>' for key, title, content in parts)
        + f"\n</main>\n<script>{SCRIPT if rows else ''}</script>\n</body></html>\n"
    )


# ---- findings ------------------------------------------------------------------------------------
def findings(found: Sequence[dict]) -> str:
    """By severity, each with its place, at most five rows and what to do."""
    counts = {level: sum(one["level"] == level for one in found) for level in LEVELS}
    words = [f"{count} {level}{'s' * (count != 1)}" for level, count in counts.items() if count and level != "info"]
    lead = f'<p class="lead">{html(" and ".join(words) or "Nothing wrong was found")}.</p>'
    return lead + "".join(finding(one) for level in LEVELS for one in found if one["level"] == level)


def finding(one: dict) -> str:
    kind, sign = LEVELS[one["level"]]
    numbers = one.get("rows") or []
    more = max(one.get("count") or 0, len(numbers)) - LISTED
    listed = ", ".join(f"{number:,}" for number in numbers[:LISTED]) + (f" and {more:,} more" if more > 0 else "")
    where = " · ".join(filter(None, [f"{one['file']}{':' + str(one['line']) if one.get('line') else ''}" if one.get("file") else "", f"rows {listed}" if numbers else "", f"field {one['field']}" if one.get("field") else ""]))
    hint = f'<p class="note">{html(one["hint"])}</p>' if one.get("hint") else ""
    return f'<div class="finding {kind}"><p><b aria-hidden="true">{sign}</b> <span class="code">{html(one["code"])}</span>{html(one["message"])}</p><p class="where">{html(where)}</p>{hint}</div>'


# ---- figures -------------------------------------------------------------------------------------
def facts(result: dict) -> str:
    """Rows and tokens of each split, histograms, labels, languages."""
    figures, blocks = result.get("figures") or {}, []
    ledger = result["ledger"]
    tiles = [(split, f"{account['used']:,}", f"of {account['rows_in']:,} rows") for split, account in ledger.items()]
    if lengths := result.get("lengths"):
        tiles.append(("tokens a row", f"{lengths['p50']:,}", f"95 % have at most {lengths['p95']:,}, the longest {lengths['max']:,}"))
    if figures.get("distinct_phrases") is not None:
        tiles.append(("distinct phrases", f"{figures['distinct_phrases']:.0%}", "of the runs of three words differ from all others"))
    blocks.append('<dl class="tiles">' + "".join(tile(*each) for each in tiles) + "</dl>")
    if lengths and lengths.get("histogram"):
        blocks.append(picture(histogram(lengths)))
    labels = (result.get("summary") or {}).get("train", {}).get("labels") or {}
    if labels:
        blocks.append(picture(bars("Labels", "Training rows per label, commonest first; below 50 rows a label is hard to learn.", labels, floor=50)))
    if len(figures.get("languages") or {}) > 1:
        blocks.append(picture(bars("Languages", "Rows by language, where it can be told.", figures["languages"])))
    left = [[split, reason, f"{count:,}"] for split, account in ledger.items() for reason, count in account["left_out"].items()]
    if left:
        blocks.append(folded("Rows left out", table(["split", "reason", "rows"], left, frozenset({2})), False))
    return "".join(blocks)


def histogram(lengths: dict) -> Picture:
    """Tokens a row, with the context as a line and what lies beyond it in another colour."""
    edges, counts, limit, over = lengths["histogram"]["edges"], lengths["histogram"]["counts"], lengths.get("context"), lengths.get("over", 0)
    sentence = f"Half of the rows have at most {lengths['p50']:,} tokens." + (f" {over:,} rows do not fit into the context of {limit:,}." if over else f" All fit into the context of {limit:,}." if limit else "")

    def draw(width: int) -> Canvas:
        canvas = Canvas(width, 220)
        left, right, top, down = 46, width - 12, 16, 180
        x, y = scale(0, max(edges[-1], 1), left, right), scale(0, max([*counts, 1]), down, top)
        for value in ticks(0, max(counts), 4):
            canvas.line(left, y(value), right, y(value), "grid")
            canvas.text(left - 6, y(value) + 4, f"{value:,.0f}", anchor="end")
        for low, high, count in zip(edges, edges[1:], counts):
            if count:
                canvas.box(x(low), y(count), max(1.0, x(high) - x(low) - 1), down - y(count), "bar", hover=f"{low:,.0f} to {high:,.0f} tokens: {count:,} rows")
        canvas.line(left, down, right, down)
        for value in ticks(0, edges[-1], 6 if width == WIDE else 3):
            canvas.text(x(value), down + 18, f"{value:,.0f}", anchor="middle")
        if limit and limit <= edges[-1] * 1.02:
            canvas.line(x(limit), top, x(limit), down, "limit")
        canvas.text(right, down + 34, "tokens", "small", "end")
        return canvas

    return both("Length", sentence, draw, ["from", "to", "rows"], [[f"{low:.0f}", f"{high:.0f}", str(count)] for low, high, count in zip(edges, edges[1:], counts)])


def bars(title: str, sentence: str, values: dict[str, int], *, floor: int = 0, most: int = 24) -> Picture:
    """One bar per name, largest first; `floor` is drawn as a line."""
    shown = list(values.items())[:most]
    if len(values) > most:
        sentence += f" The {most} largest of {len(values):,} are drawn."

    def draw(width: int) -> Canvas:
        step = 22
        canvas = Canvas(width, step * len(shown) + 12)
        left = 200 if width == WIDE else 120
        x = scale(0, max(count for _, count in shown), left, width - 64)
        for at, (name, count) in enumerate(shown):
            canvas.text(left - 8, step * at + 18, name, "label", "end", room=left - 12)
            canvas.box(left, step * at + 6, max(1.0, x(count) - left), step - 8, "bar" if count >= floor else "over", hover=f"{name}: {count:,} rows")
            canvas.text(x(count) + 6, step * at + 18, f"{count:,}")
        if floor and floor < shown[0][1]:
            canvas.line(x(floor), 2, x(floor), step * len(shown) + 6, "limit")
        return canvas

    return both(title, sentence, draw, ["name", "rows"], [[name, str(count)] for name, count in values.items()])


# ---- rows ----------------------------------------------------------------------------------------
def cluster_blocks(clusters: Sequence[Sequence[dict]]) -> str:
    lines = "".join('<div class="cluster">' + "".join(f'<p><span class="where">{html(one["where"])}</span> · {html(one["text"])}</p>' for one in group[:6]) + (f'<p class="note">and {len(group) - 6:,} more</p>' if len(group) > 6 else "") + "</div>" for group in clusters)
    return f'<p class="note">The largest groups; the first row of each is kept by `--fix near_duplicates`.</p>{lines}'


def example(one: dict) -> str:
    """A rendered example: learned text underlined, context grey, special tokens boxed."""
    return f'<article><p class="where">{html(one.get("split", ""))} row {one["row"]:,} · underlined is learned</p><p class="tokens">{tokens(one["spans"])}</p></article>'


def tokens(spans: Sequence[Sequence[str]]) -> str:
    return "".join(f'<span class="{"learned " if "learned" in kind else ""}{css_word(kind.split()[-1])}">{html(text)}</span>' for text, kind in spans)


def browser(rows: Sequence[dict]) -> str:
    """Rows that something was found in, and some that nothing was; filtered by text, code, split and label; each with its tokens and their mask."""
    codes = sorted({code for row in rows for code in row["codes"]})
    labels = sorted({row["label"] for row in rows if row.get("label")})
    options = lambda names, every: f'<option value="">{every}</option>' + "".join(f'<option value="{html(name)}">{html(name)}</option>' for name in names)
    by_label = f'<select id="label" aria-label="label">{options(labels, "every label")}</select>' if 1 < len(labels) <= MOST_LABELS else ""
    filters = (
        '<div id="filter" hidden><label for="find">find</label> <input id="find" type="search" placeholder="words"> '
        f'<select id="code" aria-label="code">{options(codes, "every code")}</select> <select id="split" aria-label="split">{options(sorted({row["split"] for row in rows}), "every split")}</select> {by_label} <span id="count" class="note"></span></div>'
    )
    return f'<p class="note">Rows of findings and some others; private things are masked here. All rows of every finding stand in check.json.</p>{filters}' + "".join(map(one_row, rows))


def one_row(row: dict) -> str:
    chips = "".join(f'<span class="chip">{html(code)}</span>' for code in row["codes"])
    label = f'<span class="chip">{html(row["label"])}</span>' if row.get("label") else ""
    answer = f'<p class="said"><b>answer</b>{html(row["answer"])}</p>' if row.get("answer") else ""
    why = f'<p class="remark">{html(row["why"])}</p>' if row.get("why") else ""
    seen = f'<details><summary>as the model sees it; underlined is learned</summary><p class="tokens">{tokens(row["spans"])}</p></details>' if row.get("spans") else ""
    place = f"{row['file']}:{row['line']}" if row.get("line") else f"{row['file']} row {row['row']:,}"
    return f'<article data-codes="{html(" ".join(row["codes"]))}" data-split="{html(row["split"])}" data-label="{html(row.get("label") or "")}"><p class="where">{html(place)} · {html(row["split"])}</p><p>{chips}{label}</p><p class="said">{html(row["input"])}</p>{answer}{why}{seen}</article>'


