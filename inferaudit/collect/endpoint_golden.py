"""Golden requests (`golden_file`), each sent once, and whether their answers hold."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from inferaudit.collect.endpoint_requests import Asked
from inferaudit.collect.endpoint_stream import status_class
from inferaudit.collect.endpoint_wire import body_for, error_text
from inferaudit.collect.golden_file import Cosine, Expect, Golden, Item, Label
from inferaudit.collect.http_client import parse_json
from inferaudit.facts.endpoint import GoldenResult
from inferaudit.json_shape import mismatch
from inferaudit.units import parse_duration_s

_VECTOR_PATHS: tuple[tuple[int | str, ...], ...] = (
    ("data", 0, "embedding"),
    ("embedding",),
    ("embeddings", 0),
    ("outputs", 0, "data"),
    (0, "embedding", 0),
    (0, "embedding"),
    (0,),
)
_TEXT_PATHS = (
    ("choices", 0, "message", "content"),
    ("choices", 0, "text"),
    ("generated_text",),
    (0, "generated_text"),
    ("message", "content"),
    ("response",),
    ("content",),
)


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
    passed = _holds(item.expect, text, document, reply.ms)
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


def _holds(expect: Expect, text: str, document: Any, ms: float | None) -> bool:
    checks = []
    if expect.contains is not None:
        checks.append(expect.contains.lower() in text.lower())
    if expect.matches is not None:
        checks.append(re.search(expect.matches, text[:20_000]) is not None)
    if expect.equals is not None:
        checks.append(text.strip() == expect.equals.strip())
    if expect.near is not None:
        value = _number(_at(document, _steps(expect.near.path)))
        checks.append(value is not None and abs(value - expect.near.value) <= expect.near.tolerance)
    if expect.cosine is not None:
        similarity = _similarity(expect.cosine, document)
        checks.append(similarity is not None and similarity >= expect.cosine.at_least)
    if expect.label is not None:
        checks.append(_label(expect.label, text, document) == str(expect.label.expected))
    if expect.schema is not None:
        answer = parse_json(_unfenced(text))
        # JSON has no value for "is no JSON"; null itself is one, and text that is none breaks any schema.
        readable = answer is not None or _unfenced(text).strip() == "null"
        checks.append(readable and mismatch(expect.schema, answer) is None)
    if expect.within is not None:
        checks.append(ms is not None and ms <= parse_duration_s(expect.within) * 1000)
    return all(checks)


def _steps(path: str) -> tuple[int | str, ...]:
    return tuple(int(step) if step.isdecimal() else step for step in path.split("."))


_MOST = 1e150  # squares of such numbers, and their sums, are finite


def _number(value: Any) -> float | None:
    """`value` where it is a number that can be reckoned with: JSON's integers have no bound."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) <= _MOST:
        return None
    return float(value)


def _similarity(expect: Cosine, document: Any) -> float | None:
    """Cosine of the answer's embedding with the golden one; None where it has none of that length."""
    paths = [_steps(expect.path)] if expect.path else _VECTOR_PATHS
    vector = next((v for path in paths if isinstance(v := _at(document, path), list)), None)
    if vector is None or len(vector) != len(expect.vector):
        return None
    numbers = [number for x in vector if (number := _number(x)) is not None]
    if len(numbers) < len(vector):
        return None
    length = math.hypot(*numbers) * math.hypot(*expect.vector)
    return math.fsum(a * b for a, b in zip(numbers, expect.vector, strict=True)) / length if length else None


def _label(expect: Label, text: str, document: Any) -> str:
    """The label that the answer gives, as text."""
    value = _at(document, _steps(expect.path)) if expect.path else document if isinstance(document, list) else text
    while isinstance(value, list) and len(value) == 1 and isinstance(value[0], list):
        value = value[0]
    if isinstance(value, list):
        scored = [v for v in value if isinstance(v, dict) and isinstance(v.get("score"), int | float) and "label" in v]
        value = max(scored, key=lambda v: v["score"])["label"] if scored else value[0] if len(value) == 1 else None
    if isinstance(value, dict):
        value = value.get("label")
    return "" if value is None else str(value).strip()


def _unfenced(text: str) -> str:
    """Text without the fence that chat models put around JSON."""
    found = re.fullmatch(r"\s*```(?:json)?\s*(.*?)\s*```\s*", text[:1_000_000], re.DOTALL)
    return found[1] if found else text


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
    if expect.cosine is not None:
        said.append(f"cosine ≥ {expect.cosine.at_least:g} with a vector of {len(expect.cosine.vector)}")
    if expect.label is not None:
        said.append(f"label {str(expect.label.expected)[:60]!r}")
    if expect.schema is not None:
        said.append("holds to its JSON Schema")
    if expect.within is not None:
        said.append(f"within {expect.within}")
    return " and ".join(said)
