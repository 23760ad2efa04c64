"""Energy that this machine's processors have used, where the kernel lets us read it (Intel and AMD RAPL counters)."""
from pathlib import Path

COUNTERS = Path("/sys/class/powercap")


def joules() -> float | None:
    """Sum of the package counters since they last wrapped, in joules; None where none is readable."""
    total, found = 0, False
    for path in sorted(COUNTERS.glob("intel-rapl:[0-9]*/energy_uj")):
        if path.parent.name.count(":") != 1:
            continue  # parts of a package are counted within it
        try:
            total, found = total + int(path.read_text()), True
        except (OSError, ValueError):
            continue
    return total / 1e6 if found else None


def used(before: float | None, after: float | None) -> float | None:
    """Joules between two readings; None where they cannot be compared."""
    return None if before is None or after is None or after < before else after - before
