"""A whole load test: prepare, run the stages, stop when it is known or hopeless, and say what the client was worth."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from inferaudit.bench.allowance import Allowance
from inferaudit.bench.decision import Watch, objectives
from inferaudit.bench.pool import Outcome, Pool
from inferaudit.bench.prepare import file_limit, prepare, worker_count
from inferaudit.bench.profiles import UNMEASURED
from inferaudit.bench.raw import CANCELLED
from inferaudit.bench.requests import repeated_share
from inferaudit.bench.sampling import Sampler, Sampling
from inferaudit.bench.schedule import split
from inferaudit.bench.scrape import Scraper
from inferaudit.bench.selfknowledge import client_report
from inferaudit.bench.worker import CANCEL_STAGE, LIVE_SAMPLES, STOP_ISSUING, Beat, Setup
from inferaudit.errors import CollectError, UsageError
from inferaudit.facts.load import Knee, LoadResult, LoadStage
from inferaudit.latency import NS_PER_MS, PERCENTILES, percentile
from inferaudit.plan import LoadPlan, StagePlan
from inferaudit.records import ABSENT, RecordTable, merge, to_npz
from inferaudit.whole_file import write_whole

MIN_FOR_ERROR_STOP = 20  # answers before the share of errors may end a stage
_SPEECHLESS = {"malformed_http", "reset_before_headers", "reset_before_send", "tls"}  # perhaps it speaks no HTTP/1.1


@dataclass(frozen=True, slots=True)
class Progress:
    """What a view shows while load runs. `p50_ms` and `p99_ms` are of the last few thousand answers."""

    stage: str
    elapsed_s: float
    duration_s: float | None
    requests: int | None
    completed: int
    failed: int
    in_flight: int
    tokens: int
    p50_ms: float | None
    p99_ms: float | None

    def __str__(self) -> str:
        of = f"/{self.requests}" if self.requests else ""
        time_left = f"/{self.duration_s:g}" if self.duration_s else ""
        text = f"{self.stage}: {self.elapsed_s:.0f}{time_left} s, {self.completed}{of} answered, {self.failed} failed"
        text += f", {self.in_flight} in flight, {self.completed / max(self.elapsed_s, 0.001):.0f}/s"
        return text + (f", p50 {self.p50_ms:.1f} ms, p99 {self.p99_ms:.1f} ms" if self.p99_ms and self.p50_ms else "")


@dataclass(slots=True)
class LoadOutcome:
    """What a load test brought: the facts `load.result` and `load.records`."""

    result: LoadResult
    records: RecordTable


@dataclass(slots=True)
class _Run:
    plan: LoadPlan
    pool: Pool
    stop: threading.Event
    allowance: Allowance
    progress: Callable[[Progress], None] | None
    scraper: Scraper | None = None
    stages: list[LoadStage] = field(default_factory=list)
    tables: list[RecordTable] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    knee: Knee | None = None
    place: int = 0


def run_load(
    plan: LoadPlan,
    *,
    progress: Callable[[Progress], None] | None = None,
    stop: threading.Event | None = None,
    samplers: Sequence[Sampler] = (),
) -> LoadOutcome:
    """Run `plan` against its URL; blocks. What cannot be run as asked is a :class:`UsageError` before anything is sent.

    Setting `stop` (Ctrl-C) ends it with what was measured so far, marked interrupted.
    """
    plan, setup = prepare(plan)
    stop = stop or threading.Event()
    workers, together = worker_count(plan), plan.limits.concurrency
    if together is not None:
        workers = min(workers, together)
    limit = max(16, (file_limit() - 128))
    most = [limit if together is None else min(limit, split(together, i, workers)) for i in range(workers)]
    setups = [replace(setup, worker=i, workers=workers, max_connections=most[i]) for i in range(workers)]
    streams = max((s.concurrency or 0 for s in plan.stages), default=0)
    if streams > limit * workers:
        raise UsageError(
            f"{streams} streams need more open files than the limit of this process ({limit}); raise ulimit -n"
        )
    pool = Pool(setups)
    run = _Run(plan, pool, stop, Allowance(plan), progress, Scraper(plan, setup.stream) if plan.metrics_url else None)
    started = time.time_ns()
    sampling = Sampling(samplers)
    try:
        sampling.start()
        for place, stage in enumerate(plan.stages):
            if stop.is_set():
                break
            if reached := run.allowance.reached(stage):
                left = ", ".join(each.name for each in plan.stages[place:])
                run.warnings.append(f"{reached} leaves no room for what was still to come: {left}")
                break
            if stage.search:
                run.knee = find_knee(run, stage)
            else:
                run_stage(run, _with_rate(run, stage))
    finally:
        series = sampling.stop()
        pool.close()
    return _outcome(run, setup, started, series, workers)


def run_stage(run: _Run, stage: StagePlan) -> tuple[LoadStage, RecordTable]:
    """Run one stage and keep what it brought."""
    plan, asked = run.plan, stage
    stage = run.allowance.within(stage)
    watch = Watch(objectives(plan) if stage.until_decided else ())
    beats: dict[int, Beat] = {}
    latencies: list[int] = []
    stopped = ""
    began = time.monotonic()
    last = 0.0
    before = run.allowance.tokens

    def order(worker: int, beat: Beat) -> str | None:
        nonlocal stopped, last
        beats[worker] = beat
        watch.add(beat.fresh)
        latencies.extend(beat.latencies)
        del latencies[:-LIVE_SAMPLES]
        completed = sum(b.completed for b in beats.values())
        failed = max(sum(b.failed for b in beats.values()), watch.tallies.get("requests", Counter())[1])
        run.allowance.tokens = before + sum(b.tokens for b in beats.values())
        now = time.monotonic()
        if run.progress is not None and now - last >= 0.2:
            last = now
            spent = run.allowance.tokens - before
            run.progress(_progress(stage, now - began, beats, completed, failed, latencies, spent))
        if run.stop.is_set():
            stopped = "interrupted"
            return CANCEL_STAGE
        if stopped:
            return None
        if completed >= MIN_FOR_ERROR_STOP and failed > plan.stop_error_ratio * completed and stage.name != "overload":
            stopped = "errors"
        elif reached := run.allowance.reached():
            stopped = reached.removeprefix("limits.")
            run.warnings.append(f"stage {stage.name}: stopped, {reached} was reached")
        elif stage.until_decided and watch.look():
            stopped = "decided"
        return STOP_ISSUING if stopped else None

    page = run.scraper.page() if run.scraper else None
    outcome = run.pool.run_stage(run.place, stage, run.stop.is_set, order)
    run.place += 1
    if not outcome.parts:
        raise CollectError("; ".join(outcome.lost.values()) or "no worker finished")
    table = merge([part.table for part in outcome.parts])
    answered = sum(not error for error in table.columns["error"])
    server = run.scraper.window(page, answered) if run.scraper and page else None
    if page and page.reason:
        run.warnings.append(f"the server's metrics page could not be read: {page.reason}")
    stepped = max((abs(part.report.step_ns) for part in outcome.parts), default=0)
    if outcome.lost:
        stopped = "workers"
    elif stepped > 5 * NS_PER_MS and not stopped:
        stopped = "clock"
    if run.stop.is_set():
        stopped = "interrupted"
    if not stopped and stage.requests != asked.requests and len(table) == stage.requests:
        stopped = "tokens"
        run.warnings.append(f"stage {stage.name}: ended after {len(table)} requests, to stay within limits.tokens")
    if not stopped:
        stopped = (
            "duration" if stage.duration_s is not None and (stage.requests or math.inf) > len(table) else "requests"
        )
    _warn(run, stage, outcome, stopped, stepped)
    _account(run, stage, outcome, table, beats)
    done = LoadStage(
        name=stage.name,
        measured=stage.name not in UNMEASURED,
        arrival="closed" if stage.concurrency is not None else stage.arrival,
        rate=stage.rate,
        concurrency=stage.concurrency,
        requests=stage.requests,
        duration_s=stage.duration_s,
        until_decided=stage.until_decided,
        repeat_prompts=stage.repeat_prompts,
        start_ns=outcome.start_ns,
        end_ns=max(part.report.ended for part in outcome.parts),
        stopped_by=stopped,
        scheduled=len(table),
        decided=watch.decided,
        looks=watch.looks,
        client=client_report([part.report for part in outcome.parts], len(outcome.lost)),
        server=server,
    )
    run.stages.append(done)
    run.tables.append(table)
    return done, table


def find_knee(run: _Run, stage: StagePlan) -> Knee | None:
    """The highest rate at which the objectives hold: grow by half until they break, then halve the gap."""
    from inferaudit.bench.knee import search

    return search(
        lambda rate, number: run_stage(run, replace(stage, name=f"knee-{number}", rate=rate, search=False)),
        objectives(run.plan),
        start=_first_rate(run),
        highest=run.plan.limits.rate,
        stopped=lambda: run.stop.is_set() or bool(run.allowance.reached(stage)),
    )


def _outcome(run: _Run, setup: Setup, started: int, series: dict[str, Any], workers: int) -> LoadOutcome:
    plan = run.plan
    records = merge(run.tables) if run.tables else merge([])
    stamped = sum(stage.client.reads_stamped for stage in run.stages)
    unstamped = sum(stage.client.reads_unstamped for stage in run.stages)
    from inferaudit.bench.endpoint import resolve

    endpoint = (
        resolve(plan.url, plan.api, plan.auth)
        if run.pool.endpoint_worker is None
        else run.pool.endpoint_worker.endpoint
    )
    if not endpoint.call and records.errors and not any(ok == 0 for ok in records.columns["error"]):
        from inferaudit.bench.fetch import not_http

        run.warnings.extend(filter(None, [not_http(endpoint)] if _SPEECHLESS & set(records.errors) else []))
    result = LoadResult(
        profile=plan.profile,
        url=plan.url,
        api=plan.api,
        model=plan.model,
        stream=setup.stream,
        seed=plan.seed,
        run_id=setup.run_id,
        clock="kernel" if stamped > 9 * unstamped and stamped else "user",
        stages=tuple(run.stages),
        timeout_s=plan.timeout_s,
        input_tokens=plan.input_tokens,
        output_tokens=plan.output_tokens,
        slo=dict(plan.slo),
        started_ns=started,
        ended_ns=time.time_ns(),
        interrupted=run.stop.is_set(),
        warnings=tuple(dict.fromkeys(run.warnings)),
        first_request_ms=_first_request_ms(records),
        dns_ns=endpoint.dns_ns,
        tls=endpoint.tls is not None,
        proxy=endpoint.proxy is not None,
        keep_alive=plan.keep_alive,
        dataset_repeats=repeated_share(setup.dataset) if setup.dataset else None,
        knee=run.knee,
        series=series,
    )
    if plan.records:
        result = msgspec.structs.replace(result, token_records=_write_records(run, result, records))
    return LoadOutcome(result, replace(records, tokens=(), token_offsets=()))


def _write_records(run: _Run, result: LoadResult, records: RecordTable) -> str | None:
    """Write every row and token arrival, and the result itself, so that the file alone can be computed again."""
    import hashlib

    content = to_npz(replace(records, meta={"result": msgspec.to_builtins(result)}))
    path = Path(run.plan.records)
    try:
        write_whole(path, content)
    except OSError as error:
        run.warnings.append(f"the records could not be written to {path}: {error.strerror}")
        return None
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _first_request_ms(records: RecordTable) -> float | None:
    """E2E of the very first request of the run, from sending; None when it failed."""
    columns = records.columns
    sent = [(value, i) for i, value in enumerate(columns["sent_ns"]) if value != ABSENT]
    if not sent:
        return None
    first = min(sent)[1]
    return None if columns["error"][first] else (columns["end_ns"][first] - columns["sent_ns"][first]) / NS_PER_MS


def _with_rate(run: _Run, stage: StagePlan) -> StagePlan:
    """A stage whose rate is a multiple of the knee, once that is known."""
    if stage.times_knee is None or stage.rate is not None:
        return stage
    knee = run.knee.rate if run.knee and run.knee.rate else None
    base = knee or _first_rate(run)
    rate = base * stage.times_knee
    if run.plan.limits.rate is not None and rate > run.plan.limits.rate:
        rate = run.plan.limits.rate
        run.warnings.append(f"stage {stage.name}: held at limits.rate, {rate:g} requests/s")
    return replace(stage, rate=rate)


def _first_rate(run: _Run) -> float:
    """A rate to begin with: what the last measured stage reached, else one a second."""
    for stage, table in zip(reversed(run.stages), reversed(run.tables), strict=True):
        ends = [e for e, bad in zip(table.columns["end_ns"], table.columns["error"], strict=True) if not bad]
        span = (max(ends) - min(table.columns["scheduled_ns"])) / 1e9 if ends else 0
        if stage.measured and span > 0:
            return max(0.1, len(ends) / span)
    return next((s.rate for s in run.plan.stages if s.rate), 1.0)


def _progress(
    stage: StagePlan,
    elapsed: float,
    beats: dict[int, Beat],
    completed: int,
    failed: int,
    latencies: list[int],
    tokens: int,
) -> Progress:
    ordered = sorted(latencies)
    p50, p99 = percentile(ordered, PERCENTILES["p50"]), percentile(ordered, PERCENTILES["p99"])
    return Progress(
        stage=stage.name,
        elapsed_s=elapsed,
        duration_s=stage.duration_s,
        requests=stage.requests,
        completed=completed,
        failed=failed,
        in_flight=sum(b.in_flight for b in beats.values()),
        tokens=tokens,
        p50_ms=None if p50 is None else p50 / NS_PER_MS,
        p99_ms=None if p99 is None else p99 / NS_PER_MS,
    )


def _account(run: _Run, stage: StagePlan, outcome: Outcome, table: RecordTable, beats: dict[int, Beat]) -> None:
    """Every request that was taken from the schedule is a row, or it is said where it went."""
    for worker, text in outcome.lost.items():
        beat = beats.get(worker)
        if beat is not None:
            text += f": {beat.completed} requests that had ended and {beat.in_flight} in flight, when it was last heard"
        run.warnings.append(f"stage {stage.name}: {text}")
    missing = sum(part.report.issued for part in outcome.parts) - len(table)
    if missing:
        run.warnings.append(f"stage {stage.name}: {missing} requests were taken from the schedule and not recorded")
    errors, columns = table.errors, table.columns
    given_up = [i for i, error in enumerate(columns["error"]) if errors[error] == CANCELLED]
    sent = sum(columns["sent_ns"][i] != ABSENT for i in given_up)
    if given_up:
        run.warnings.append(
            f"stage {stage.name}: {len(given_up)} requests were given up when it was ended; {sent} of them had been "
            "sent, and the server may have answered them"
        )


def _warn(run: _Run, stage: StagePlan, outcome: Outcome, stopped: str, stepped: int) -> None:
    if outcome.warm_error:
        run.warnings.append(f"stage {stage.name}: opening connections failed: {outcome.warm_error}")
    if stopped == "errors":
        run.warnings.append(
            f"stage {stage.name}: stopped, more than {run.plan.stop_error_ratio:.0%} of requests failed"
        )
    stale = sum(part.report.stale for part in outcome.parts)
    if stale:
        run.warnings.append(
            f"stage {stage.name}: the server closed {stale} connections under a request without saying so; each was "
            "sent again on a new one (servers that do this as a rule get a new connection for each request)"
        )
    if stepped > 5 * NS_PER_MS:
        run.warnings.append(
            f"stage {stage.name}: the system clock was set by {stepped / NS_PER_MS:.0f} ms; do not use it"
        )
