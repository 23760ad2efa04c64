"""The mechanism of settings: dataclasses <-> YAML <-> `key=value`, strict, with the place and the origin of every value.

Settings themselves live beside the code that reads them; this file knows none of them. Importing it costs little: pydantic
is loaded when the first value is checked.

A *choice* is a field whose metadata holds `choices={name: dataclass}`: it takes a name or a mapping with `name:` and the
fields of that dataclass. A choice that may be None also takes `auto`, and None is written as `auto`.
"""

from luthier.settings.assigning import apply, flatten, merge, put
from luthier.settings.building import build
from luthier.settings.fields import Key, docs, keys
from luthier.settings.origins import Origin, Origins
from luthier.settings.reading import Document, parse_yaml, read_word
from luthier.settings.schema import json_schema
from luthier.settings.words import allowed, nearest
from luthier.settings.writing import to_mapping, to_yaml

__all__ = [
    "Document",
    "Key",
    "Origin",
    "Origins",
    "allowed",
    "apply",
    "build",
    "docs",
    "flatten",
    "json_schema",
    "keys",
    "merge",
    "nearest",
    "parse_yaml",
    "put",
    "read_word",
    "to_mapping",
    "to_yaml",
]
