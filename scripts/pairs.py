"""Write docs/pairs.md: which task, method and base go together, from the code."""
from pathlib import Path

from luthier.verbs.pairs import page

(Path(__file__).resolve().parents[1] / "docs" / "pairs.md").write_text(page(), encoding="utf-8")
