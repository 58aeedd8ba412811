"""One worker: an engine, its share of a stage, and what it hands back. The same code in this process and in others."""

from __future__ import annotations

import gc
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from inferaudit.bench.decision import Tallies, objectives, rounded_up
from inferaudit.bench.decode import Response
from inferaudit.bench.endpoint import Endpoint, headers, resolve
from inferaudit.bench.engine import Engine
from inferaudit.bench.limits import Timeouts
from inferaudit.bench.protocols import Protocol, protocol
from inferaudit.bench.raw import CANCELLED
from inferaudit.bench.requests import builder
from inferaudit.bench.rows import RowSink
from inferaudit.bench.rpc import call_builder, calling
from inferaudit.bench.schedule import arrivals, numbers, share, split
from inferaudit.bench.tokens import parse_distribution
from inferaudit.bench.vigil import may_stay_awake
from inferaudit.bench.work import LoopReport, Work
from inferaudit.plan import LoadPlan, StagePlan
from inferaudit.records import RecordTable

_NS = 1_000_000_000
STAGE_NUMBERS = 1 << 24  # prompts of different stages never meet: 16 million requests each
OPEN_LOOP_WARM = 32
CANCEL_STAGE, STOP_ISSUING = "cancel", "stop"
LIVE_SAMPLES = 5000  # latencies that the live view is made of


@dataclass(frozen=True, slots=True)
class Setup:
    """What a worker needs to know of the run; travels to other processes."""

    plan: LoadPlan
    stream: bool
    run_id: str
    nonce: int
    worker: int
    workers: int
    dataset: tuple[Any, ...] = ()
    template: str = ""
    trace: tuple[int, ...] = ()
    fixed_body: bytes | None = None
    fixed_headers: tuple[tuple[str, str], ...] = ()
    max_connections: int = 20_000


@dataclass(slots=True)
class Beat:
    """A sign of life, four times a second: totals so far, and what was decoded since the last."""

    scheduled: int
    completed: int
    failed: int
    in_flight: int
    tokens: int
    fresh: Tallies
    latencies: list[int]


@dataclass(slots=True)
class Part:
    """One worker's part of a stage."""

    table: RecordTable
    report: LoopReport


class Worker:
    """An engine with the run's settings; `run` is called once a stage."""

    def __init__(self, setup: Setup) -> None:
        plan = setup.plan
        self.setup = setup
        self.api: Protocol = protocol(plan.api)
        self.headers = headers(plan.auth) | dict(setup.fixed_headers)
        self.endpoint: Endpoint = calling(resolve(plan.url, plan.api, plan.auth), self.api, self.headers)
        total = round(plan.timeout_s * _NS)
        timeouts = Timeouts(
            connect=round(min(plan.connect_timeout_s, plan.timeout_s) * _NS),
            headers=total if plan.timeout_headers_s is None else round(plan.timeout_headers_s * _NS),
            # Without a limit of its own a stall is a whole request's time-out spent mostly in silence.
            stall=total // 2 if plan.timeout_stall_s is None else round(plan.timeout_stall_s * _NS),
            total=total,
            stall_is_explicit=plan.timeout_stall_s is not None,
        )
        self.engine = Engine(
            self.endpoint,
            lambda number: b"",
            timeouts,
            max_connections=setup.max_connections,
            keep_alive=plan.keep_alive,
        )

    def warm(self, stage: StagePlan, stop: Callable[[], bool]) -> str | None:
        """Open the connections the stage starts with; afterwards there is nothing left to do but start."""
        gc.collect()
        if stage.name == "cold":
            return None
        if stage.concurrency is not None:
            wanted = split(stage.concurrency, self.setup.worker, self.setup.workers)
        else:
            wanted = min(OPEN_LOOP_WARM, 1 + int(stage.rate or OPEN_LOOP_WARM) // self.setup.workers)
        return self.engine.warm(wanted, stop) if self.setup.plan.keep_alive else None

    def run(self, place: int, stage: StagePlan, start_ns: int, beat: Callable[[Beat], str | None]) -> Part:
        """Run the stage from `start_ns`; `beat` may answer `STOP_ISSUING` or `CANCEL_STAGE`."""
        setup, plan = self.setup, self.setup.plan
        self.engine.build = self._builder(place * STAGE_NUMBERS, stage)
        watched = {o.metric for o in objectives(plan) if o.percentile is not None} if stage.until_decided else set()
        sink = _WatchedSink(
            stage.name,
            setup.worker,
            self.api,
            setup.stream,
            bool(plan.records),
            open_loop=stage.concurrency is None,
            watched=watched,
        )

        def tick(engine: Engine) -> bool:
            order = beat(_beat(engine, sink))
            if order == STOP_ISSUING:
                engine.pacer.issuing = False
            return order == CANCEL_STAGE

        self.engine.run(self._work(stage), start_ns, tick, sink.add)
        beat(_beat(self.engine, sink))
        return Part(sink.table(), self.engine.report)

    def close(self) -> None:
        """Give connections back."""
        self.engine.close()

    def _builder(self, base: int, stage: StagePlan) -> Callable[[int], bytes]:
        """From request number to request, for this stage."""
        setup, plan = self.setup, self.setup.plan
        if self.api.rpc:
            return call_builder(setup.run_id, setup.fixed_body or b"", base)
        return builder(
            self.endpoint,
            self.api,
            model=plan.model,
            stream=setup.stream,
            headers=self.headers,
            run_id=setup.run_id,
            seed=plan.seed,
            nonce=setup.nonce,
            base=base,
            lengths=(
                parse_distribution(stage.input_tokens or plan.input_tokens),
                parse_distribution(stage.output_tokens or plan.output_tokens, "--output-tokens"),
            ),
            dataset=setup.dataset,
            template=setup.template,
            fixed_body=setup.fixed_body,
            repeat=stage.repeat_prompts,
        )

    def _work(self, stage: StagePlan) -> Work:
        worker, workers = self.setup.worker, self.setup.workers
        if stage.concurrency is None:
            return Work(
                arrivals=share(arrivals(stage, self.setup.plan.seed, self.setup.trace), worker, workers),
                eager=stage.until_decided,
                patient=self.setup.stream,
                awake=may_stay_awake(workers),
            )
        streams = split(stage.concurrency, worker, workers)
        duration = None if stage.duration_s is None else round(stage.duration_s * _NS)
        return Work(
            concurrency=streams,
            numbers=numbers(stage.requests, stage.concurrency, worker, workers),
            duration_ns=duration,
            eager=stage.until_decided,
            patient=self.setup.stream,
            gap_ns=self._gap_ns(stage.concurrency, streams),
        )

    def _gap_ns(self, all_streams: int, streams: int) -> int:
        """What holds a closed loop within limits.rate; a worker has its streams' share of it."""
        limit = self.setup.plan.limits.rate
        return round(_NS * all_streams / (limit * streams)) if limit and streams else 0


class _WatchedSink(RowSink):
    """Keeps, beside the rows, rounded tallies of what came since the last beat, for the objectives that are watched."""

    def __init__(
        self,
        stage: str,
        worker: int,
        api: Protocol,
        stream: bool,
        keep_tokens: bool,
        *,
        open_loop: bool,
        watched: AbstractSet[str],
    ) -> None:
        super().__init__(stage, worker, api, stream, keep_tokens)
        self.fresh: Tallies = defaultdict(Counter)
        self.latencies: deque[int] = deque(maxlen=LIVE_SAMPLES)
        self.generated = 0
        self._open_loop = open_loop
        self._watched = watched

    def _append(self, response: Response) -> list[int]:
        gaps = super()._append(response)
        if response.error == CANCELLED:
            return gaps
        self.generated += (response.output_tokens or 0) + (response.input_tokens or 0)
        self._count("requests", int(response.error is not None))
        if response.error is not None or response.sent is None:
            return gaps
        base = response.scheduled if self._open_loop else response.sent
        self.latencies.append(response.end - base)
        if not self._watched:
            return gaps
        self._count("e2e", rounded_up(response.end - base))
        stamps, tokens = response.tokens, response.output_tokens or 0
        if stamps:
            self._count("ttft", rounded_up(stamps[0][0] - base))
            if tokens > 1:
                self._count("tpot", rounded_up((stamps[-1][0] - stamps[0][0]) // (tokens - 1)))
            if "itl" in self._watched:
                self.fresh["itl"].update(map(rounded_up, gaps))
        return gaps

    def take(self) -> tuple[Tallies, list[int]]:
        """What came since the last call."""
        fresh, latencies = self.fresh, list(self.latencies)
        self.fresh = defaultdict(Counter)
        self.latencies.clear()
        return fresh, latencies

    def _count(self, name: str, value: int) -> None:
        self.fresh[name][value] += 1


def _beat(engine: Engine, sink: _WatchedSink) -> Beat:
    fresh, latencies = sink.take()
    report = engine.report
    return Beat(
        scheduled=report.completed + engine.in_flight,
        completed=report.completed,
        failed=report.failed,
        in_flight=engine.in_flight,
        tokens=sink.generated,
        fresh=fresh,
        latencies=latencies,
    )
