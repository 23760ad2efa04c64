"""Damage by the ten thousand: inputs made from good ones by cutting, doubling, swapping and spoiling their parts, fed to a reader in a process of its own.

A reader may answer or refuse with an error of ours; it must not raise anything else, die, take more than a second or more than its share of memory.
"""
import json
import multiprocessing
import os
import random
import re
import resource
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

FORK = multiprocessing.get_context("fork")
PARTS = re.compile(rb'[A-Za-z_]+|[0-9]+|[{}\[\]",:\n\t;|]|.', re.S)
SPOILS = [
    b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"{", b"}", b"[", b"]", b'"', b"\\", b"\\u0000", b"\\ud800", b",", b":", b"\n", b"\r\n", b"NaN", b"Infinity", b"-1", b"1e999", b"null", b"true",
    b"9" * 30, b"1" * 5000, b"[" * 200, b'{"a":' * 100, b"18446744073709551616", b"-9223372036854775809", b"\xe2\x80\xa8", b"__class__", b"../../etc/passwd", b"\x7f" * 64, b" " * 300,
]  # fmt: skip
SLOWEST, MOST_MIB = 1.0, 256


def damaged(seeds: Sequence[bytes], draw: random.Random) -> bytes:
    """One to six faults in a good input, most of them at the borders of its parts."""
    data = draw.choice(seeds)
    for _ in range(draw.choice((1, 1, 1, 2, 3, 6))):
        way = draw.randrange(8)
        if way == 0 and data:
            at = draw.randrange(len(data))
            data = data[:at] + bytes([data[at] ^ 1 << draw.randrange(8)]) + data[at + 1 :]
        elif way == 1:
            data = data[: draw.randrange(len(data) + 1)]
        elif way == 2:
            at = draw.randrange(len(data) + 1)
            data = data[:at] + draw.choice(SPOILS) + data[at:]
        elif way == 3 and len(data) >= 8:
            at = draw.randrange(len(data) - 7)
            data = data[:at] + draw.choice((2**63, 2**64 - 1, 2**32, 0, 255, 2**31)).to_bytes(8, "little") + data[at + 8 :]
        elif way == 4:
            other = draw.choice(seeds)
            data = data[: draw.randrange(len(data) + 1)] + other[draw.randrange(len(other) + 1) :]
        else:
            window = draw.randrange(max(1, len(data) - 4000))
            parts = PARTS.findall(data[window : window + 4000])
            if len(parts) > 2:
                first, second = draw.randrange(len(parts)), draw.randrange(len(parts))
                if way == 5:
                    parts[first], parts[second] = parts[second], parts[first]
                elif way == 6:
                    parts.insert(first, parts[second])
                else:
                    parts[first] = draw.choice(SPOILS)
                data = data[:window] + b"".join(parts) + data[window + 4000 :]
    return data


def feed(read: Callable[[Path], object], path: Path, seeds: Sequence[bytes], count: int, seed: int, allowed: tuple, told: Path) -> None:
    """The loop of the child: what it is at stands in `told`, so that the parent knows what killed it."""
    draw, slowest, answered = random.Random(seed), 0.0, 0
    before = None
    for number in range(count):
        data = damaged(seeds, draw)
        path.write_bytes(data)
        if number % 200 == 0:
            told.write_text(json.dumps({"number": number}))
        began = time.perf_counter()
        try:
            read(path)
            answered += 1
        except allowed:
            pass
        except BaseException:
            told.write_text(json.dumps({"fault": traceback.format_exc()[-1500:], "input": repr(data[:2000]), "number": number}))
            os._exit(1)
        slowest = max(slowest, time.perf_counter() - began)
        if number == min(200, count // 4):
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - (before or 0)) / 1024
    told.write_text(json.dumps({"answered": answered, "slowest": slowest, "grown_mib": grown}))
    os._exit(0)


def fuzzed(read: Callable[[Path], object], seeds: Sequence[bytes], count: int, folder: Path, *, suffix: str, allowed: tuple, seed: int = 1) -> dict:
    """Feed so many damaged inputs; AssertionError with the input where the reader did what no reader may."""
    folder.mkdir(parents=True, exist_ok=True)
    told = folder / "told.json"
    process = FORK.Process(target=feed, args=(read, folder / f"input{suffix}", seeds, count, seed, allowed, told))
    process.start()
    process.join(60 + count * SLOWEST)
    hung = process.is_alive()
    if hung:
        process.kill()
        process.join()
    found = json.loads(told.read_text())
    assert process.exitcode == 0 and not hung, f"exit {process.exitcode}, hung {hung}: {found.get('fault', found)}\n{found.get('input', '')}"
    assert found["slowest"] <= SLOWEST and found["grown_mib"] <= MOST_MIB, found
    return found
