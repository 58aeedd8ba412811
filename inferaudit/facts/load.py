"""The load test as facts: what was run and how the client did (`load.result`), and every request (`load.records`)."""

from __future__ import annotations

from typing import Any

import msgspec

from inferaudit.facts.spec import Codec, FactSpec
from inferaudit.model import Scope
from inferaudit.records import RecordTable, from_npz, to_npz


class ClientReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the client measured of itself in one stage. Times in ns, shares 0 to 1.

    `connections_stale` counts requests sent again because the server had just closed the connection they were sent on.
    `lag_*` is the time from the kernel's stamp to our read; None where the kernel gave no stamps.
    """

    lag_p50_ns: int | None = None
    lag_p99_ns: int | None = None
    lag_max_ns: int | None = None
    reads_stamped: int = 0
    reads_unstamped: int = 0
    blocked_sends: int = 0
    connections_stale: int = 0
    connections_opened: int = 0
    waited_for_connection: int = 0
    cpu_share: float | None = None
    clock_step_ns: int = 0
    workers: int = 1
    workers_lost: int = 0


class ServerReading(msgspec.Struct, frozen=True, kw_only=True):
    """What one of the server's own metrics counted during a stage. `unit` is seconds for every time.

    A histogram or summary has `count` and, where it states one, `total` (its sum) and `buckets` (finite upper bound,
    how many at or below it); a counter has `total` alone.
    """

    concept: str
    metric: str
    type: str
    unit: str = ""
    count: float | None = None
    total: float | None = None
    buckets: tuple[tuple[float, float], ...] = ()


class ServerWindow(msgspec.Struct, frozen=True, kw_only=True):
    """The server's metrics page read right before and right after a stage, on the load's clock (CLOCK_REALTIME ns).

    `reason` says why there are no readings. `tries` is how often the second page was read until it had counted all.
    """

    url: str
    runtimes: tuple[str, ...] = ()
    before_ns: int = 0
    after_ns: int = 0
    tries: int = 0
    readings: tuple[ServerReading, ...] = ()
    reason: str = ""


class LoadStage(msgspec.Struct, frozen=True, kw_only=True):
    """One stage as it was run. Times are CLOCK_REALTIME ns.

    `stopped_by` is one of requests, duration, decided, errors, tokens, interrupted, clock, workers. `decided` holds,
    for each objective, what sequential testing concluded (pass, fail, undecided) after `looks` looks at the data.
    `server` is what the server itself counted meanwhile; None where its metrics page is not known.
    """

    name: str
    measured: bool
    arrival: str = ""
    rate: float | None = None
    concurrency: int | None = None
    requests: int | None = None
    duration_s: float | None = None
    until_decided: bool = False
    repeat_prompts: bool = False
    start_ns: int = 0
    end_ns: int = 0
    stopped_by: str = ""
    scheduled: int = 0
    decided: dict[str, str] = msgspec.field(default_factory=dict)
    looks: int = 0
    client: ClientReport = ClientReport()
    server: ServerWindow | None = None


class KneeProbe(msgspec.Struct, frozen=True, kw_only=True):
    """One rate tried in the search for the knee; `holds` None = undecided."""

    rate: float
    holds: bool | None
    achieved: float | None = None
    goodput: float | None = None
    reason: str = ""


class Knee(msgspec.Struct, frozen=True, kw_only=True):
    """The highest rate (requests/s) at which the objectives held, and the lowest at which they did not."""

    rate: float | None
    broken_at: float | None = None
    criterion: str = ""
    probes: tuple[KneeProbe, ...] = ()


class LoadResult(msgspec.Struct, frozen=True, kw_only=True):
    """A whole load test. `slo` maps an objective to its target in the unit of `slo.Objective`.

    `series` holds what samplers saw during the load: name → [[ns, value], …].
    """

    profile: str
    url: str
    api: str
    model: str
    stream: bool
    seed: int
    run_id: str
    clock: str
    stages: tuple[LoadStage, ...]
    timeout_s: float
    input_tokens: str = ""
    output_tokens: str = ""
    slo: dict[str, float] = msgspec.field(default_factory=dict)
    started_ns: int = 0
    ended_ns: int = 0
    interrupted: bool = False
    warnings: tuple[str, ...] = ()
    first_request_ms: float | None = None
    dns_ns: int | None = None
    tls: bool = False
    proxy: bool = False
    keep_alive: bool = True
    dataset_repeats: float | None = None
    knee: Knee | None = None
    token_records: str | None = None
    series: dict[str, Any] = msgspec.field(default_factory=dict)


FACTS = (
    FactSpec(
        "load.result", Scope.LOAD, LoadResult, "the load test: stages, client, warnings", live=True, flag="--load"
    ),
    FactSpec(
        "load.records",
        Scope.LOAD,
        RecordTable,
        "one row a request, and count tables of ITL",
        live=True,
        flag="--load",
        codec=Codec(".npz", to_npz, from_npz),
    ),
)
