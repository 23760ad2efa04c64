"""The JSON Schema of a dataclass, for editors; descriptions are the lines of documentation under the fields."""

import dataclasses

from luthier.settings.building import adapter
from luthier.settings.fields import default_of, docs, fields_of, may_be_none, section_of
from luthier.settings.writing import plain


def json_schema(cls: type, *, title: str = "") -> dict:
    """JSON Schema (draft 2020-12) of a dataclass; the descriptions are the lines under its fields."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title or cls.__name__, **_schema(cls)}


def _schema(cls: type, name: str = "") -> dict:
    properties: dict[str, dict] = {"name": {"const": name}} if name else {}
    required = ["name"] if name else []
    for field, annotation in fields_of(cls):
        choices, section, default = field.metadata.get("choices"), section_of(annotation), default_of(field)
        if choices:
            words = [*choices, *(["auto"] if may_be_none(annotation) else [])]
            inner = {"anyOf": [{"enum": words}, *(_schema(member, member_name) for member_name, member in choices.items())]}
        elif section:
            inner = _schema(section)
        else:
            inner = adapter(annotation).json_schema()
        if default is dataclasses.MISSING:
            required.append(field.name)
        elif not section and not choices:
            inner["default"] = plain(default)
        doc = docs(cls).get(field.name, "")
        properties[field.name] = {"description": doc, **inner} if doc else inner
    schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**schema, "required": required} if required else schema
