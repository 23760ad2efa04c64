"""The report that a run leaves: `report.html`, `report.md` and the model card, made from the run's folder and nothing else."""
import datetime
from pathlib import Path

from luthier.evaluation.report import advice, ground, learning, lost, markdown, mixture_panel, opening, page, practices, reward_panel, tables
from luthier.evaluation.report.card import card as card_text
from luthier.evaluation.report.document import Document, Notice, Section
from luthier.evaluation.report.folder import RunFiles, number, read, word
from luthier.files import MANIFEST, fingerprint_files, manifest_text, read_json, write_file


def document(run: RunFiles) -> Document:
    """The report's parts in order; what the folder does not hold is left out."""
    parts = [
        opening.failure(run), advice.advice(run), opening.verdict(run), opening.examples(run), learning.learning(run), reward_panel.rewarded(run), learning.panel(run), mixture_panel.mixture(run), lost.lost(run), tables.tables(run), ground.data(run),
        ground.alerts(run), ground.cost(run), ground.loading(run), ground.again(run), ground.limits(run), practices.practices(run),
    ]
    sections = [part for part in parts if part is not None]
    if not run.facts:
        sections.insert(0, Section("failure", "What happened", [Notice("bad", "This folder has no readable run.json, so it says little about its run.")]))
    status = word(run.facts.get("status")) or "unknown"
    return Document(run.name, subtitle(run), status, sections)


def subtitle(run: RunFiles) -> str:
    """Task, base, method and day."""
    created = number(run.facts.get("created"))
    try:
        day = datetime.datetime.fromtimestamp(created, datetime.UTC).strftime("%-d %B %Y") if created else ""
    except (OverflowError, OSError, ValueError):
        day = ""
    facts = [word(run.facts.get("task")).replace("_", " "), opening.model_name(run), word(run.facts.get("method")), day]
    return " · ".join(fact for fact in facts if fact)


def render(run_folder: Path) -> tuple[str, str]:
    """(html, md) of a run's report; a folder with parts missing or damaged gives a report of what is there."""
    found = document(read(Path(run_folder)))
    return page.write(found), markdown.write(found)


def card(run_folder: Path) -> str:
    """README.md of the run's model."""
    run = read(Path(run_folder))
    return card_text(run, document(run))


def write_report(run_folder: Path) -> Path:
    """Write report.html and report.md into the run's folder; returns the page."""
    run_folder = Path(run_folder)
    page_text, markdown_text = render(run_folder)
    write_file(run_folder / "report.md", markdown_text)
    write_file(run_folder / "report.html", page_text)
    return run_folder / "report.html"


def write_card(run_folder: Path) -> Path:
    """Write README.md beside the model; where the folder has a manifest, its entry follows, so that it still verifies."""
    folder = Path(run_folder) / "model"
    write_file(folder / "README.md", card(run_folder))
    if (folder / MANIFEST).exists():
        manifest = read_json(folder / MANIFEST)
        write_file(folder / MANIFEST, manifest_text({**manifest, "files": fingerprint_files(folder)}))
    return folder / "README.md"
