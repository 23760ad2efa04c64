"""Source files: each whole, or where it is long cut between its outermost definitions."""
import re
from collections.abc import Iterator
from pathlib import Path

from luthier.data.documents.block import Block
from luthier.data.documents.plain import text_of

SUFFIXES = (
    ".py .pyi .js .jsx .ts .tsx .java .kt .c .h .cc .cpp .hpp .cs .go .rs .rb .php .swift .scala .sh .bash .sql .r .jl .lua .pl .m .ex .exs .hs .ml .clj .dart .vue .css .toml .yaml .yml"
).split()
LONGEST = 8000
"""Characters of a block, where the file has a place to cut."""
OUTERMOST = re.compile(r"^(?:@|(?:export |pub |public |private |static |async |abstract |final )*(?:def|class|function|fn|func|type|interface|struct|enum|impl|const|let|var|CREATE|module)\b)", re.M)


def read(path: Path) -> Iterator[Block]:
    text = text_of(path).strip("\n")
    if not text.strip():
        return
    cuts = [match.start() for match in OUTERMOST.finditer(text)]
    start, number = 0, 0
    while start < len(text):
        end = len(text)
        if end - start > LONGEST:
            inside = [cut for cut in cuts if start < cut <= start + LONGEST]
            # a decorator stays with what it decorates: the first of a run of cuts on neighbouring lines
            end = inside[-1] if inside else next((cut for cut in cuts if cut > start), end)
        number += 1
        if piece := text[start:end].strip("\n"):
            yield Block(piece, (path.name,), paragraph=number, line=text.count("\n", 0, start) + 1)
        start = end
