"""Documents from a file or folder: text files whole, rows of tables by their text, with file and line of each."""
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from luthier.data import sources
from luthier.data.findings import Finding
from luthier.data.settings import LARGEST_LINE
from luthier.errors import DataError
from luthier.files import digest
from luthier.retrieval.passages import Document, Passage, cut
from luthier.retrieval.settings import RetrievalSettings

COLUMNS = ("text", "passage", "document", "body", "content", "context", "paragraph", "answer")


def read(name: str) -> Iterator[Document]:
    """Every document that a name means. DataError for what cannot be read: a document left out in silence would be missed by every answer."""
    paths = files_of(Path(name)) if Path(name).is_dir() else sources.locate(name)["train"].paths
    for path in paths:
        shown = name if len(paths) == 1 else str(path)
        for item in sources.read_file(path, shown, LARGEST_LINE, whole=True):
            if isinstance(item, Finding):
                if item.level == "info":
                    continue
                place = {key: value for key, value in item.to_dict().items() if key not in ("level", "message")}
                raise DataError(item.message, **place)
            if text := text_of(item.values):
                yield Document(text, item.file, item.line)


def files_of(folder: Path) -> list[Path]:
    """Every readable file of a folder, hidden ones apart; links that lead outside are passed over."""
    root = folder.resolve()
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix.lower() in sources.SUFFIXES and path.resolve().is_relative_to(root)]
    return [path for path in files if not any(part.startswith(".") for part in path.relative_to(folder).parts)]


def text_of(values: dict) -> str:
    """The text of a row: its text column; where there is none, all that is text in it, one line each."""
    for name in COLUMNS:
        if isinstance(values.get(name), str) and values[name].strip():
            return values[name]
    return "\n".join(f"{name}: {value}" for name, value in values.items() if isinstance(value, str | int | float) and str(value).strip())


def of_pairs(pairs: Sequence[tuple[str, str]], origins: Sequence[object]) -> list[Document]:
    """Training rows as documents: the question with its answer."""
    return [Document(f"{question.strip()}\n{answer.strip()}", "training rows", None, origin) for (question, answer), origin in zip(pairs, origins, strict=True)]


def passages_of(settings: RetrievalSettings, otherwise: Callable[[], Sequence[Document]]) -> list[Passage]:
    """Passages of the user's documents, cut as settings say; without documents, those of `otherwise`, whole."""
    if settings.documents:
        found = [passage for document in read(settings.documents) for passage in cut(document, words=settings.words, overlap=settings.overlap)]
        if not found:
            raise DataError(f"{settings.documents} holds no text to retrieve", code="D134", file=settings.documents, field="retrieval.documents", hint="name a file or folder of documents")
        return found
    return [Passage(document.text, document.file, document.line, 0, len(document.text), document.origin) for document in otherwise()]


def fingerprint(passages: Sequence[Passage]) -> str:
    """Hash of all passages in order."""
    return digest(*(passage.text for passage in passages))
