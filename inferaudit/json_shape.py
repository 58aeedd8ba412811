"""The part of JSON Schema (2020-12) that golden requests need. Pure.

https://json-schema.org/draft/2020-12/json-schema-validation. A keyword that is not understood is refused when the
schema is read, never ignored: an expectation that is not tested would pass.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_TYPES: Mapping[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}
_NESTED = ("items", "additionalProperties")
_KNOWN = frozenset(
    (
        *("type", "properties", "required", "items", "enum", "const", "minimum", "maximum", "minLength", "maxLength"),
        *("pattern", "minItems", "maxItems", "additionalProperties", "anyOf", "title", "description", "$schema"),
    )
)


def schema_error(schema: Any, at: str = "schema") -> str | None:
    """What cannot be understood of a schema; None where all of it can."""
    if isinstance(schema, bool):
        return None
    if not isinstance(schema, dict):
        return f"{at} is no object"
    if unknown := sorted(set(schema) - _KNOWN):
        return f"{at}: the keyword {unknown[0]} is not supported"
    types = schema.get("type", [])
    if wrong := [t for t in ([types] if isinstance(types, str) else types) if t not in _TYPES]:
        return f"{at}: no type is called {wrong[0]}"
    try:
        re.compile(schema.get("pattern", ""))
    except (re.error, TypeError) as error:
        return f"{at}.pattern: {error}"
    inner = [(f"{at}.{key}", schema[key]) for key in _NESTED if key in schema]
    inner += [(f"{at}.properties.{name}", value) for name, value in schema.get("properties", {}).items()]
    inner += [(f"{at}.anyOf.{i}", value) for i, value in enumerate(schema.get("anyOf", []))]
    return next((said for where, value in inner if (said := schema_error(value, where)) is not None), None)


def mismatch(schema: Any, value: Any, at: str = "$") -> str | None:
    """Where `value` does not hold to `schema`, and how; None where it does."""
    if isinstance(schema, bool):
        return None if schema else f"{at} is not allowed"
    types = schema.get("type")
    if types is not None and not any(_is(value, t) for t in ([types] if isinstance(types, str) else types)):
        return f"{at} is no {types if isinstance(types, str) else ' or '.join(types)}"
    if "const" in schema and value != schema["const"]:
        return f"{at} is not {schema['const']!r}"
    if "enum" in schema and value not in schema["enum"]:
        return f"{at} is none of {schema['enum']!r}"
    if "anyOf" in schema and all(mismatch(one, value, at) is not None for one in schema["anyOf"]):
        return f"{at} holds to none of anyOf"
    if isinstance(value, str):
        return _text(schema, value, at)
    if isinstance(value, list):
        return _array(schema, value, at)
    if isinstance(value, dict):
        return _object(schema, value, at)
    if isinstance(value, int | float) and not isinstance(value, bool):
        if value < schema.get("minimum", value):
            return f"{at} is below {schema['minimum']}"
        if value > schema.get("maximum", value):
            return f"{at} is above {schema['maximum']}"
    return None


def _text(schema: Mapping[str, Any], value: str, at: str) -> str | None:
    if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
        return f"{at} has {len(value)} characters"
    if "pattern" in schema and re.search(schema["pattern"], value[:20_000]) is None:
        return f"{at} does not match {schema['pattern']!r}"
    return None


def _array(schema: Mapping[str, Any], value: list[Any], at: str) -> str | None:
    if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
        return f"{at} has {len(value)} items"
    inner = schema.get("items", True)
    return next((s for i, item in enumerate(value) if (s := mismatch(inner, item, f"{at}.{i}")) is not None), None)


def _object(schema: Mapping[str, Any], value: dict[str, Any], at: str) -> str | None:
    if missing := [name for name in schema.get("required", ()) if name not in value]:
        return f"{at}.{missing[0]} is missing"
    properties = schema.get("properties", {})
    for name, item in value.items():
        inner = properties[name] if name in properties else schema.get("additionalProperties", True)
        if (said := mismatch(inner, item, f"{at}.{name}")) is not None:
            return said
    return None


def _is(value: Any, name: str) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    return isinstance(value, _TYPES[name]) or (name == "integer" and isinstance(value, float) and value.is_integer())
