"""Request records written by hand, for case files: groups of like requests instead of columns of integers.

``load.records: {stage: sustained, groups: [{count: 3000, ttft_ms: 100, e2e_ms: 900, tokens: 16, itl_ms: 20},
{count: 2, e2e_ms: 5, error: http_5xx}]}``. Requests of a group are `every_ms` (1 by default) apart.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec

from inferaudit.records import ABSENT, COLUMNS, RecordTable

_MS = 1_000_000


class _Group(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    count: int
    ttft_ms: float | None = None
    e2e_ms: float = 1.0
    itl_ms: float | None = None
    tokens: int | None = None
    input_tokens: int | None = None
    status: int = 200
    error: str = ""
    every_ms: float = 1.0


class _Records(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    groups: list[_Group]
    stage: str = "sustained"


def records_from_groups(value: Mapping[str, Any]) -> RecordTable:
    """The table that `value` describes; msgspec's ValidationError names a wrong field."""
    spec = msgspec.convert(value, _Records)
    columns: dict[str, array[int]] = {name: array("q") for name in COLUMNS}
    errors = tuple(dict.fromkeys(["", *(g.error for g in spec.groups)]))
    gaps: Counter[int] = Counter()
    now = 0
    for group in spec.groups:
        for _ in range(group.count):
            now += int(group.every_ms * _MS)
            for name, entry in _row(group, now, len(columns["number"]), errors).items():
                columns[name].append(entry)
            if group.itl_ms is not None and group.tokens and not group.error:
                gaps[int(group.itl_ms * 1000)] += group.tokens - 1
    return RecordTable(
        stages=(spec.stage,),
        errors=errors,
        columns=columns,
        itl_us={spec.stage: [list(pair) for pair in sorted(gaps.items())]},
    )


def _row(group: _Group, now: int, number: int, errors: tuple[str, ...]) -> dict[str, int]:
    row = dict.fromkeys(COLUMNS, ABSENT)
    end = now + int(group.e2e_ms * _MS)
    row |= {
        "stage": 0,
        "number": number,
        "worker": 0,
        "scheduled_ns": now,
        "sent_ns": now,
        "first_byte_ns": now,
        "end_ns": end,
        "status": group.status,
        "error": errors.index(group.error),
        "stated": 1,
        "bytes": 100,
        "token_events": group.tokens or 0,
    }
    if group.ttft_ms is not None:
        row["first_token_ns"] = row["first_byte_ns"] = now + int(group.ttft_ms * _MS)
        row["last_token_ns"] = end
    if group.tokens is not None:
        row["output_tokens"] = group.tokens
    if group.input_tokens is not None:
        row["input_tokens"] = group.input_tokens
    return row
