"""Reading a JSON report back."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import msgspec

from inferaudit.errors import SnapshotError
from inferaudit.model import Outcome, Phase, Report, Verdict
from inferaudit.units import format_duration

SCHEMA = "inferaudit.report/v1"
BENCH_SCHEMA = "inferaudit.bench/v1"


# Clocks of two machines differ a little; more than this is a date that no run can have had.
CLOCK_SKEW = dt.timedelta(minutes=10)


_Section = dict[str, Any] | None


class _Finding(msgspec.Struct):
    check: str
    outcome: Outcome
    fingerprint: str


class _Item(msgspec.Struct):
    id: str
    status: Outcome
    phase: Phase
    checks: list[str] = []
    origins: list[str] = []
    attestation: _Section = None


class _Checklist(msgspec.Struct):
    items: list[_Item]


class _Sample(msgspec.Struct):
    value: list[dict[str, Any]] | None = None


class _Series(msgspec.Struct):
    gpu: list[_Sample] | None = None


class _Benchmark(msgspec.Struct):
    requests: _Section = None
    latency_ms: _Section = None
    ttft_ms: _Section = None
    stages: list[dict[str, Any]] | None = None
    series: _Series | None = None


class _Bench(msgspec.Struct):
    benchmark: _Benchmark


class _Target(msgspec.Struct):
    runtime: _Section = None
    gpus: list[dict[str, Any]] | None = None


class _Needed(msgspec.Struct):
    """What those who read a report take for granted; what may be missing has a default. A renderer decodes the rest."""

    verdict: Verdict
    collected_at: dt.datetime
    findings: list[_Finding]
    phase: Phase | None = None
    target: _Target | None = None
    benchmark: _Benchmark | None = None
    checklists: list[_Checklist] | None = None
    service: _Section = None
    digests: _Section = None
    summary: _Section = None
    scorecard: _Section = None
    cost: _Section = None


def load_report(path: Path, *, or_bench: bool = False) -> Report:
    """The report in `path`; :class:`SnapshotError` says why it is none.

    With `or_bench` also what ``inferaudit bench -o json=PATH`` writes, as a report of a load and nothing else.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SnapshotError(f"cannot read the report {path}: {error.strerror}") from error
    if content.startswith(b"PK"):
        raise SnapshotError(f"{path} is a snapshot and no report: `inferaudit evaluate {path} -o json=PATH` makes one")
    try:
        data = msgspec.json.decode(content)
    except msgspec.DecodeError as error:
        raise SnapshotError(f"{path} is not a JSON report: {error}") from error
    if or_bench and isinstance(data, dict) and data.get("schema") == BENCH_SCHEMA:
        data = {"findings": [], "benchmark": data.get("benchmark")}
        needed: type = _Bench
    elif isinstance(data, dict) and data.get("schema") == SCHEMA:
        needed = _Needed
    else:
        found = data.get("schema") if isinstance(data, dict) else type(data).__name__
        raise SnapshotError(f"{path} is not a report of {SCHEMA} (found {found!r}); make one with -o json=PATH")
    try:
        msgspec.convert(data, needed)
    except msgspec.ValidationError as error:
        raise SnapshotError(f"{path} is a damaged report: {error}") from error
    return Report(data)


def dated_ahead(report: Report, now: dt.datetime | None) -> str:
    """That the report was collected after `now`, as words; empty where it was not, by more than clocks may differ."""
    collected = collected_at(report)
    if collected is None or now is None or collected <= now + CLOCK_SKEW:
        return ""
    ahead = format_duration((collected - now).total_seconds())
    return f"dated {report.data['collected_at']}, {ahead} after {now:%Y-%m-%dT%H:%M:%SZ}"


def collected_at(report: Report) -> dt.datetime | None:
    """When the report's facts were collected; None where it does not say."""
    said = report.data.get("collected_at")
    if said is None:
        return None
    collected = msgspec.convert(said, dt.datetime)
    return collected if collected.tzinfo else collected.replace(tzinfo=dt.UTC)
