"""What a base's own card says of licence and languages: taken over into the report and the card of what is made from it."""
from pathlib import Path

import yaml

LARGEST = 1 << 20


def card_facts(folder: Path) -> dict:
    """`license` and `language` from the YAML head of README.md; None where the card does not say or cannot be read."""
    path = Path(folder) / "README.md"
    head: object = None
    if path.is_file() and path.stat().st_size <= LARGEST:
        parts = path.read_text(encoding="utf-8", errors="replace").split("---", 2)
        if len(parts) == 3 and not parts[0].strip():
            try:
                head = yaml.safe_load(parts[1])
            except yaml.YAMLError:
                head = None
    found = head if isinstance(head, dict) else {}
    return {"license": found.get("license"), "language": found.get("language")}
