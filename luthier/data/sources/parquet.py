"""Parquet, through pyarrow: batch by batch, with class names in the place of class numbers where the file holds them."""
import json
from collections.abc import Iterator
from pathlib import Path

from luthier.data.findings import Finding
from luthier.data.sources.rows import Place, Row

MAGIC = b"PAR1"
ROWS_AT_ONCE = 512
LARGEST_ROW_GROUP = 1 << 30
LARGEST_RATIO = 500


def read(path: Path, place: Place, max_line_bytes: int) -> Iterator[Row | Finding]:
    """Rows as plain Python values; rows have a number but no line."""
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            if finding := _bomb(file.metadata, path.stat().st_size, place):
                yield finding
                return
            names = class_names(file.schema_arrow.metadata)
            number = 0
            for batch in file.iter_batches(batch_size=ROWS_AT_ONCE):
                for values in batch.to_pylist():
                    number += 1
                    named = with_class_names(values, names)
                    yield Row(named, None, None, number, place.file)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        first = str(error).strip().split("\n")[0][:200]
        yield place.stop("D109", f"the Parquet file is damaged or not Parquet ({first})", "write it again; a whole file begins and ends with PAR1")


def _bomb(metadata, size: int, place: Place) -> Finding | None:
    """A file that unpacks to far more than it should."""
    largest = max((metadata.row_group(at).total_byte_size for at in range(metadata.num_row_groups)), default=0)
    if largest > LARGEST_ROW_GROUP and largest > LARGEST_RATIO * size:
        return place.stop("D102", f"one row group would unpack to {largest:,} bytes, from a file of {size:,}", "write it with smaller row groups")
    return None


def class_names(metadata: dict | None) -> dict[str, list[str]]:
    """Column -> names of its classes (of a list: of its elements), from the description that the `datasets` library leaves in a schema."""
    try:
        features = json.loads((metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
    except (ValueError, KeyError, TypeError):
        return {}
    found = {}
    for name, feature in features.items():
        if isinstance(feature, dict) and isinstance(feature.get("feature"), dict):
            feature = feature["feature"]
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" and feature.get("names"):
            found[name] = feature["names"]
    return found


def with_class_names(values: dict, names: dict[str, list[str]]) -> dict:
    """The row with class numbers, alone or in lists, replaced by their names."""
    for column, classes in names.items():
        value = values.get(column)
        if type(value) is int and 0 <= value < len(classes):
            values[column] = classes[value]
        elif isinstance(value, list) and value and all(type(item) is int and 0 <= item < len(classes) for item in value):
            values[column] = [classes[item] for item in value]
    return values
