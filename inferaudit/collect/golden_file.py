"""The file of golden requests: a YAML or JSON list (or JSON lines) of items with what their answers must hold.

An item has a `body` (the API's own request) or a `prompt`, optionally a `name`, and an `expect` of one or more of
`contains`, `matches` (a pattern), `equals`, `near` (``{path: predictions.0.0, value: 1.5, tolerance: 0.01}``), `cosine`
(``{vector: […], at_least: 0.99}``), `label` (``{path: predictions.0, is: cat}``), `schema` (JSON Schema of the text or
the answer) and `within` (``500ms``).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from inferaudit.decoding import converted
from inferaudit.errors import UsageError
from inferaudit.json_shape import schema_error
from inferaudit.units import parse_duration_s

MAX_ITEMS = 200


class Near(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A number in the answer, by its dotted path, within `tolerance` of `value`."""

    path: str
    value: float
    tolerance: float = 1e-6


class Cosine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An embedding whose cosine similarity with `vector` is at least `at_least`; `path` where the API has none."""

    vector: list[float]
    at_least: float = 0.999
    path: str = ""


class Label(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"expected": "is"}):
    """A classification: the value at `path`, or the label of the highest score where that is a list of them."""

    expected: str | int
    path: str = ""


class Expect(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an answer must hold; all that is given must hold."""

    contains: str | None = None
    matches: str | None = None
    equals: str | None = None
    near: Near | None = None
    cosine: Cosine | None = None
    label: Label | None = None
    schema: dict[str, Any] | None = None
    within: str | None = None


class Item(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One golden request."""

    expect: Expect
    name: str = ""
    prompt: str | None = None
    body: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Golden:
    """The golden requests of a file."""

    items: tuple[Item, ...]


def read_golden(path: str) -> Golden:
    """The items of a golden file; :class:`UsageError` names what is wrong with it."""
    import yaml

    try:
        text = Path(path).read_text("utf-8")
        if path.endswith(".jsonl"):
            documents = [json.loads(line) for line in text.splitlines() if line.strip()]
        else:
            documents = yaml.safe_load(text)
        items = converted(documents, list[Item])
    except OSError as error:
        raise UsageError(f"--golden {path}: {error.strerror}") from error
    except (ValueError, yaml.YAMLError) as error:
        raise UsageError(f"--golden {path}: {error}") from error
    for at, item in enumerate(items):
        if (item.prompt is None) == (item.body is None):
            raise UsageError(f"--golden {path}: item {at} needs either a prompt or a body")
        if item.expect == Expect():
            raise UsageError(f"--golden {path}: item {at} expects nothing")
        try:
            re.compile(item.expect.matches or "")
        except re.error as error:
            raise UsageError(f"--golden {path}: item {at}: {error}") from error
        if wrong := _wrong(item.expect):
            raise UsageError(f"--golden {path}: item {at}: {wrong}")
    if not items or len(items) > MAX_ITEMS:
        raise UsageError(f"--golden {path}: 1 to {MAX_ITEMS} items, not {len(items)}")
    return Golden(tuple(items))


def _wrong(expect: Expect) -> str | None:
    """What of an expectation cannot be tested."""
    if expect.schema is not None and (said := schema_error(expect.schema)) is not None:
        return said
    if expect.cosine is not None and not any(expect.cosine.vector):
        return "cosine.vector is empty or all zeros"
    if expect.within is not None:
        parse_duration_s(expect.within)
    return None
