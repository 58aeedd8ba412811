"""Golden requests: a file of requests with what their answers must hold, each sent once.

The file is a YAML or JSON list (or JSON lines) of items; an item has a `body` (the API's own request) or a `prompt`,
optionally a `name`, and an `expect` of one or more of `contains`, `matches` (a pattern), `equals` and `near`
(``{path: predictions.0.0, value: 1.5, tolerance: 0.01}``).
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from inferaudit.collect.endpoint_stream import status_class
from inferaudit.collect.endpoint_wire import body_for, error_text
from inferaudit.errors import UsageError
from inferaudit.facts.endpoint import GoldenResult

if TYPE_CHECKING:
    from inferaudit.collect.endpoint_requests import Asked

MAX_ITEMS = 200
_TEXT_PATHS = (
    ("choices", 0, "message", "content"),
    ("choices", 0, "text"),
    ("generated_text",),
    (0, "generated_text"),
    ("message", "content"),
    ("response",),
    ("content",),
)


class Near(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A number in the answer, by its dotted path, within `tolerance` of `value`."""

    path: str
    value: float
    tolerance: float = 1e-6


class Expect(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an answer must hold; all that is given must hold."""

    contains: str | None = None
    matches: str | None = None
    equals: str | None = None
    near: Near | None = None


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
        items = msgspec.convert(documents, list[Item])
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
    if not items or len(items) > MAX_ITEMS:
        raise UsageError(f"--golden {path}: 1 to {MAX_ITEMS} items, not {len(items)}")
    return Golden(tuple(items))


def run_golden(asked: Asked, golden: Golden) -> list[GoldenResult]:
    """Every golden request, one after the other."""
    return [_run(asked, item, item.name or f"item {at}") for at, item in enumerate(golden.items)]


def _run(asked: Asked, item: Item, name: str) -> GoldenResult:
    body = item.body or body_for(asked.wire.name, asked.model, stream=False, prompt=item.prompt or "", tokens=256)
    reply = asked.http.post(asked.route(), json.dumps(body).encode())
    scrub, expected = asked.scrub, _words(item.expect)
    error = reply.error or status_class(reply.status)
    if error is not None:
        observed = scrub(reply.detail or error_text(reply.text))
        return GoldenResult(
            name=scrub(name, 80), passed=None, expected=expected, observed=observed, status=reply.status, ms=reply.ms,
            error=error,
        )  # fmt: skip
    document = reply.json
    text = answer_text(document, reply.text)
    passed = _holds(item.expect, text, document)
    return GoldenResult(
        name=scrub(name, 80), passed=passed, expected=expected, observed=scrub(text), status=reply.status, ms=reply.ms
    )


def answer_text(document: Any, fallback: str) -> str:
    """The generated text in an answer; the whole body where it has none."""
    for path in _TEXT_PATHS:
        value = _at(document, path)
        if isinstance(value, str):
            return value
    return fallback


def _holds(expect: Expect, text: str, document: Any) -> bool:
    checks = []
    if expect.contains is not None:
        checks.append(expect.contains.lower() in text.lower())
    if expect.matches is not None:
        checks.append(re.search(expect.matches, text[:20_000]) is not None)
    if expect.equals is not None:
        checks.append(text.strip() == expect.equals.strip())
    if expect.near is not None:
        value = _at(document, tuple(int(s) if s.isdigit() else s for s in expect.near.path.split(".")))
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        checks.append(number and abs(value - expect.near.value) <= expect.near.tolerance)
    return all(checks)


def _at(document: Any, path: tuple[int | str, ...]) -> Any:
    for step in path:
        try:
            document = document[step]
        except (LookupError, TypeError):
            return None
    return document


def _words(expect: Expect) -> str:
    said = []
    if expect.contains is not None:
        said.append(f"contains {expect.contains[:60]!r}")
    if expect.matches is not None:
        said.append(f"matches {expect.matches[:60]!r}")
    if expect.equals is not None:
        said.append(f"equals {expect.equals[:60]!r}")
    if expect.near is not None:
        said.append(f"{expect.near.path[:60]} = {expect.near.value:g} ± {expect.near.tolerance:g}")
    return " and ".join(said)
