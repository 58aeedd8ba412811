"""A snapshot's facts as one line of JSON: what a probe writes into its pod's log, for another inferaudit to read back.

Columnar facts (request records) are left out; they are no line.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import msgspec

from inferaudit.decoding import converted
from inferaudit.errors import SnapshotError
from inferaudit.facts import fact_specs
from inferaudit.model import Fact, FactError, FactErrorKind, Snapshot

_MARK = '{"inferaudit_facts":1,'


def to_line(snapshot: Snapshot) -> str:
    """The facts, values and errors, on one line that begins so that no other line of a log does."""
    specs = fact_specs()
    facts: dict[str, Any] = {}
    for name, fact in sorted(snapshot.facts.items()):
        spec = specs.get(name)
        if spec is None or spec.codec is None or fact.error is not None:
            facts[name] = {"error": asdict(fact.error)} if fact.error else {"value": fact.value}
    return _MARK + msgspec.json.encode({"facts": facts}).decode()[1:]


def from_log(text: str) -> dict[str, Fact]:
    """The facts of the last such line in `text`; :class:`SnapshotError` where there is none, or it is damaged."""
    line = next((line for line in reversed(text.splitlines()) if line.startswith(_MARK)), None)
    if line is None:
        raise SnapshotError("no line of facts was written")
    specs = fact_specs()
    try:
        entries = msgspec.json.decode(line)["facts"]
        return {str(name): _fact(entry, specs[name].type) for name, entry in entries.items() if name in specs}
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise SnapshotError(f"the line of facts is damaged, or of another version: {error}") from error


def _fact(entry: dict[str, Any], type_: Any) -> Fact:
    if "error" in entry:
        error = entry["error"]
        return Fact(error=FactError(**{**error, "kind": FactErrorKind(error["kind"])}))
    return Fact(converted(entry["value"], type_))
