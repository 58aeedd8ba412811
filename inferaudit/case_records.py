"""Request records written by hand, for case files: groups of like requests instead of columns of integers.

``load.records: {stage: sustained, groups: [{count: 3000, ttft_ms: 100, e2e_ms: 900, tokens: 16, itl_ms: 20},
{count: 2, e2e_ms: 5, error: http_5xx}]}``. Requests of a group are `every_ms` (1 by default) apart, or due at once
where that is 0, and begin `gap_ms` after the group before. A group may name a ``stage`` of its own.
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
    gap_ms: float = 0.0
    stage: str = ""
    late_ms: float = 0.0
    cached_tokens: int | None = None
    connect_ms: float | None = None
    stated: bool = True
    retry_after_s: int | None = None


class _Records(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    groups: list[_Group]
    stage: str = "sustained"


def records_from_groups(value: Mapping[str, Any]) -> RecordTable:
    """The table that `value` describes; msgspec's ValidationError names a wrong field."""
    spec = msgspec.convert(value, _Records)
    stages = tuple(dict.fromkeys(group.stage or spec.stage for group in spec.groups)) or (spec.stage,)
    columns: dict[str, array[int]] = {name: array("q") for name in COLUMNS}
    errors = tuple(dict.fromkeys(["", *(g.error for g in spec.groups)]))
    gaps: dict[str, Counter[int]] = {name: Counter() for name in stages}
    now = 0
    for group in spec.groups:
        stage = group.stage or spec.stage
        now += int(group.gap_ms * _MS)
        for _ in range(group.count):
            now += int(group.every_ms * _MS)
            row = _row(group, now, len(columns["number"]), errors)
            for name, entry in (row | {"stage": stages.index(stage)}).items():
                columns[name].append(entry)
            if group.itl_ms is not None and group.tokens and not group.error:
                gaps[stage][int(group.itl_ms * 1000)] += group.tokens - 1
    return RecordTable(
        stages=stages,
        errors=errors,
        columns=columns,
        itl_us={name: [list(pair) for pair in sorted(table.items())] for name, table in gaps.items()},
    )


def _row(group: _Group, now: int, number: int, errors: tuple[str, ...]) -> dict[str, int]:
    row = dict.fromkeys(COLUMNS, ABSENT)
    end = now + int(group.e2e_ms * _MS)
    row |= {
        "number": number,
        "worker": 0,
        "scheduled_ns": now,
        "sent_ns": now + int(group.late_ms * _MS),
        "first_byte_ns": now,
        "end_ns": end,
        "status": group.status,
        "error": errors.index(group.error),
        "stated": int(group.stated),
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
    if group.connect_ms is not None:
        row["connect_ns"] = int(group.connect_ms * _MS)
    if group.retry_after_s is not None:
        row["retry_after_s"] = group.retry_after_s
    if group.cached_tokens is not None:
        row["cached_tokens"] = group.cached_tokens
    return row
