"""Arrow files, as the `datasets` library keeps them: record batches one after the other, as a file with a footer or as a bare stream."""
from collections.abc import Iterator
from pathlib import Path

from luthier.data.findings import Finding
from luthier.data.sources.parquet import class_names, with_class_names
from luthier.data.sources.rows import Place, Row

MAGIC = b"ARROW1"


def read(path: Path, place: Place, max_line_bytes: int) -> Iterator[Row | Finding]:
    """Rows as plain Python values; rows have a number but no line. The file is mapped, so that memory holds one batch."""
    import pyarrow

    try:
        with pyarrow.memory_map(str(path)) as source:
            names, number = None, 0
            for batch, schema in batches(source):
                names = class_names(schema.metadata) if names is None else names
                for at in range(0, batch.num_rows, 512):
                    for values in batch.slice(at, 512).to_pylist():
                        number += 1
                        yield Row(with_class_names(values, names), None, None, number, place.file)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        first = str(error).strip().split("\n")[0][:200]
        yield place.stop("D109", f"the Arrow file is damaged or not Arrow ({first})", "write it again, with datasets' save_to_disk or pyarrow.ipc")


def batches(source) -> Iterator[tuple]:
    """The batches of a file or a stream, with their schema."""
    from pyarrow import ipc

    if source.read_at(len(MAGIC), 0) == MAGIC:
        file = ipc.open_file(source)
        for at in range(file.num_record_batches):
            yield file.get_batch(at), file.schema
        return
    stream = ipc.open_stream(source)
    for batch in stream:
        yield batch, stream.schema
