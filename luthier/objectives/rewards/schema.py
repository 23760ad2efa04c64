"""Whether a JSON value follows a schema: the part of JSON Schema that graders and structured outputs use."""
import re

TYPES = {"object": dict, "array": list, "string": str, "number": (int, float), "integer": int, "boolean": bool, "null": type(None)}


def follows(value, schema) -> bool:
    """type, properties, required, additionalProperties, items, enum, const, bounds, lengths, pattern, anyOf, allOf; unknown words allow everything."""
    if isinstance(schema, bool):
        return schema
    if not _of_type(value, schema.get("type")) or ("const" in schema and value != schema["const"]) or ("enum" in schema and value not in schema["enum"]):
        return False
    if not all(follows(value, part) for part in schema.get("allOf", [])) or ("anyOf" in schema and not any(follows(value, part) for part in schema["anyOf"])):
        return False
    if isinstance(value, dict):
        return _object(value, schema)
    if isinstance(value, list):
        return schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)) and all(follows(one, schema.get("items", True)) for one in value)
    if isinstance(value, str):
        return schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)) and ("pattern" not in schema or re.search(schema["pattern"], value) is not None)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return schema.get("minimum", value) <= value <= schema.get("maximum", value)
    return True


def _of_type(value, wanted) -> bool:
    """Whether a value has (one of) the wanted types; true and false are no numbers."""
    if wanted is None:
        return True
    names = wanted if isinstance(wanted, list) else [wanted]
    return any(isinstance(value, TYPES[name]) and (name == "boolean" or not isinstance(value, bool)) for name in names if name in TYPES)


def _object(value: dict, schema: dict) -> bool:
    known, more = schema.get("properties", {}), schema.get("additionalProperties", True)
    if any(name not in value for name in schema.get("required", [])):
        return False
    return all(follows(inner, known[name] if name in known else more) for name, inner in value.items())
