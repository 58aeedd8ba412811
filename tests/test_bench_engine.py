"""The engine against a server whose true latencies are known: what is reported is what happened."""

from __future__ import annotations

import threading
from typing import Any, cast

import pytest
from support import groundtruth

from inferaudit.bench.pool import Pool
from inferaudit.bench.runner import LoadOutcome, Progress, run_load
from inferaudit.bench.sampling import Sampler
from inferaudit.bench.vigil import Vigil
from inferaudit.benchmark import benchmark_section
from inferaudit.plan import LoadPlan, StagePlan
from inferaudit.records import from_npz, merge, to_npz


def load(url: str, *stages: StagePlan, **changes: Any) -> LoadOutcome:
    options = {k: changes.pop(k) for k in ("progress", "stop", "samplers") if k in changes}
    fields = {"input_tokens": "8", "output_tokens": "8", **changes}
    return run_load(LoadPlan(url=url, api="openai-chat", model="m", profile="test", stages=stages, **fields), **options)


def section(outcome: LoadOutcome, **slo: float) -> dict[str, Any]:
    return benchmark_section(outcome.result, outcome.records, slo)


@pytest.mark.parametrize("ring", [True, False])
def test_what_is_reported_is_what_happened(ring: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernel stamps at both ends: the two can differ only by the way between them, whatever the machine is doing."""
    if not ring:
        monkeypatch.setattr("inferaudit.bench.connections.ring", lambda: None)
    with groundtruth.start("stream", ttft_us=20_000, itl_us=2_000, tokens=20) as server:
        outcome = load(server.url, StagePlan("sustained", concurrency=10, requests=100))
    truth = {(r.port, r.number): r for r in server.truth().requests}
    assert len(truth) == len(outcome.records) == 100
    columns = outcome.records.columns
    arrived = sorted(server.truth().requests, key=lambda r: r.arrival)
    sent = sorted(range(100), key=lambda i: columns["sent_ns"][i])
    # A request cannot have arrived before it was sent, nor its answer before the server gave it to the kernel.
    assert all(request.arrival >= columns["sent_ns"][i] for request, i in zip(arrived, sent, strict=True))
    firsts = sorted(r.tokens[0] for r in arrived)
    assert all(ours >= true for ours, true in zip(sorted(columns["first_token_ns"]), firsts, strict=True))
    assert set(columns["token_events"]) == set(columns["output_tokens"]) == {20}
    assert set(columns["error"]) == {0}
    assert outcome.result.clock == "kernel"
    assert sum(n for _, n in outcome.records.itl_us["sustained"]) == 100 * 19


def test_a_stalled_server_is_not_hidden_by_waiting_for_it() -> None:
    """Coordinated omission: an open loop goes on sending, and each late answer counts from its due time."""
    with groundtruth.start("plain", stall_at_ms=500, stall_ms=1000) as server:
        open_loop = section(
            load(server.url, StagePlan("sustained", rate=100.0, arrival="constant", duration_s=3), stream=False)
        )
    with groundtruth.start("plain", stall_at_ms=500, stall_ms=1000) as server:
        closed = section(load(server.url, StagePlan("sustained", concurrency=1, duration_s=3), stream=False))
    assert open_loop["requests"]["ok"] == 300
    assert open_loop["latency_ms"]["p90"] > 500  # a third of the requests fell into the stall
    assert open_loop["latency_ms"]["max"] >= 900
    assert closed["latency_ms"]["p90"] < 500  # one request alone met it
    assert closed["latency_ms"]["max"] >= 900


@pytest.mark.parametrize("awake", [True, False])
def test_what_is_due_soon_is_waited_for_awake_where_that_may_be(awake: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[int] = []
    wait = Vigil.wait

    def counted(*arguments: Any) -> Any:
        waits.append(1)
        return wait(*arguments)

    monkeypatch.setattr(Vigil, "wait", staticmethod(counted))
    monkeypatch.setattr("inferaudit.bench.worker.may_stay_awake", lambda workers: awake)
    with groundtruth.start("plain") as server:
        outcome = load(server.url, StagePlan("sustained", rate=100.0, arrival="constant", duration_s=1), stream=False)
    columns = outcome.records.columns
    assert bool(waits) is awake
    assert len(outcome.records) == 100
    assert all(sent >= due for sent, due in zip(columns["sent_ns"], columns["scheduled_ns"], strict=True))
    assert 0 < section(outcome)["client"]["cpu_share"] < 1


def test_prompts_of_different_stages_never_meet() -> None:
    seen: list[bytes] = []
    from support.faulty import FaultyServer

    with FaultyServer() as server:
        stages = (StagePlan("warmup", concurrency=2, requests=6), StagePlan("sustained", concurrency=2, requests=6))
        load(server.url("ok"), *stages)
        seen = [request.partition(b"\r\n\r\n")[2] for request in server.requests]
        ids = [
            line for request in server.requests for line in request.split(b"\r\n") if line.startswith(b"X-Request-Id")
        ]
    assert len(set(seen)) == 12
    assert len(set(ids)) == 12
    assert b"User-Agent: inferaudit-bench/" in server.requests[0]


def test_warmup_counts_for_nothing_but_the_cold_first_request() -> None:
    with groundtruth.start("plain", delay_us=2_000) as server:
        outcome = load(server.url, StagePlan("sustained", concurrency=2, requests=10), warmup=4, stream=False)
    found = section(outcome)
    assert [s["name"] for s in found["stages"]] == ["warmup", "sustained"]
    assert found["requests"]["ok"] == found["latency_ms"]["count"] == 10
    first = min(outcome.records.stage_rows("warmup"), key=lambda i: outcome.records.columns["sent_ns"][i])
    columns = outcome.records.columns
    assert found["first_request_ms"] == (columns["end_ns"][first] - columns["sent_ns"][first]) / 1e6


def test_workers_are_merged_exactly() -> None:
    stages = (StagePlan("closed", concurrency=5, requests=41), StagePlan("sustained", rate=60.0, duration_s=1))
    with groundtruth.start("stream", ttft_us=5_000, itl_us=1_000, tokens=5) as server:
        alone = load(server.url, *stages, workers=1)
        three = load(server.url, *stages, workers=3)
    assert three.result.stages[0].client.workers == 3
    for name in ("closed", "sustained"):
        ours, theirs = ([t.columns["number"][i] for i in t.stage_rows(name)] for t in (alone.records, three.records))
        assert ours == theirs == sorted(ours)
    start = three.result.stages[1].start_ns
    due = [three.records.columns["scheduled_ns"][i] - start for i in three.records.stage_rows("sustained")]
    first = alone.result.stages[1].start_ns
    assert due == [alone.records.columns["scheduled_ns"][i] - first for i in alone.records.stage_rows("sustained")]
    assert set(three.records.columns["worker"]) == {0, 1, 2}
    assert len(server.truth().requests) == len(alone.records) + len(three.records)


def test_more_workers_than_streams() -> None:
    """A worker without a stream has nothing to send and waits for nothing."""
    with groundtruth.start("plain", delay_us=1_000) as server:
        outcome = load(server.url, StagePlan("sustained", concurrency=1, requests=5), workers=3, stream=False)
    assert section(outcome)["requests"]["ok"] == 5
    assert set(outcome.records.columns["worker"]) == {0}


def test_merging_is_exact_in_any_order() -> None:
    with groundtruth.start("stream", ttft_us=1_000, itl_us=1_000, tokens=3) as server:
        tables = [load(server.url, StagePlan("sustained", concurrency=2, requests=7)).records for _ in range(3)]
    renumbered = [
        type(t)(t.stages, t.errors, {**t.columns, "number": [n * 3 + i for n in t.columns["number"]]}, t.itl_us)
        for i, t in enumerate(tables)
    ]
    merged = merge(renumbered)
    assert to_npz(merged) == to_npz(merge(renumbered[::-1]))
    assert sorted(merged.columns["end_ns"]) == sorted(e for t in tables for e in t.columns["end_ns"])
    assert from_npz(to_npz(merged)).columns["end_ns"] == merged.columns["end_ns"]


@pytest.mark.parametrize("moment", ["before the start", "in the middle"])
def test_a_dead_worker_is_reported(monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    """Killed: the others' requests are kept, and the result says what is missing. By what happens, not by a clock."""
    ask_all, run_stage = Pool._ask_all, Pool.run_stage

    def kill(pool: Pool) -> None:
        pool._processes[1].kill()
        pool._processes[1].join()

    def killed_when_ready(self: Pool, question: Any, outcome: Any) -> list[int]:
        ready = ask_all(self, question, outcome)
        kill(self)
        return ready

    def killed_at_the_first_beat(self: Pool, place: int, stage: StagePlan, stop: Any, order: Any) -> Any:
        def asked(worker: int, beat: Any) -> str | None:
            kill(self)
            return cast("str | None", order(worker, beat))

        return run_stage(self, place, stage, stop, asked)

    if moment == "before the start":
        monkeypatch.setattr(Pool, "_ask_all", killed_when_ready)
    else:
        monkeypatch.setattr(Pool, "run_stage", killed_at_the_first_beat)
    with groundtruth.start("plain", delay_us=1_000) as server:
        outcome = load(server.url, StagePlan("sustained", concurrency=4, duration_s=3), workers=2, stream=False)
    found = section(outcome)
    assert found["requests"]["ok"] > 0
    assert found["client"]["limited"] is True
    assert outcome.result.stages[0].stopped_by == "workers"
    assert any("worker 1 died" in warning for warning in found["warnings"])


def test_stop_keeps_what_was_measured() -> None:
    stop = threading.Event()
    seen: list[Progress] = []

    def progress(now: Progress) -> None:
        seen.append(now)
        if now.completed >= 5:
            stop.set()

    with groundtruth.start("plain", delay_us=20_000) as server:
        outcome = load(server.url, StagePlan("sustained", concurrency=2, duration_s=60), stream=False,
                       progress=progress, stop=stop)  # fmt: skip
    found = section(outcome)
    assert outcome.result.interrupted
    assert found["requests"]["ok"] >= 5
    assert found["requests"]["cancelled"] <= 2
    assert found["errors"] == {}
    assert seen


@pytest.mark.parametrize("awake_ns", [1_000_000, 10_000_000])
def test_sequential_stop_says_what_it_decided(awake_ns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a request is due so soon, all the time, that the loop never sleeps."""
    monkeypatch.setattr("inferaudit.bench.worker.may_stay_awake", lambda workers: True)
    monkeypatch.setattr("inferaudit.bench.vigil.AWAKE_NS", awake_ns)
    slo = {"ttft_p50": 200.0, "e2e_p50": 1.0, "error_rate": 0.2}
    with groundtruth.start("stream", ttft_us=5_000, itl_us=1_000, tokens=3) as server:
        outcome = load(server.url, StagePlan("sustained", rate=200.0, duration_s=30, until_decided=True), slo=slo)
    stage = outcome.result.stages[0]
    assert stage.decided == {"ttft_p50": "pass", "e2e_p50": "fail", "error_rate": "pass"}
    assert stage.stopped_by == "decided"
    assert len(outcome.records) < 3000


def test_too_many_errors_end_a_stage() -> None:
    from support.faulty import FaultyServer

    with FaultyServer() as server:
        outcome = load(server.url("status_500"), StagePlan("sustained", concurrency=4, duration_s=60))
    assert outcome.result.stages[0].stopped_by == "errors"
    assert section(outcome)["errors"]["http_5xx"]["count"] >= 20


def test_a_busy_client_says_so() -> None:
    """64 streams on a server that answers at once: the time between a stream's requests is the client's own."""
    with groundtruth.start("plain") as server:
        outcome = load(server.url, StagePlan("sustained", concurrency=64, requests=3000), stream=False)
    client = section(outcome)["client"]
    assert client["limited"] is True
    assert client["falsifies"] == ["request_rate"]
    assert "--workers" in client["advice"]


def test_samplers_run_beside_the_load() -> None:
    with groundtruth.start("plain", delay_us=1_000) as server:
        samplers = (Sampler("gpu", lambda: {"utilisation": 50}), Sampler("broken", lambda: 1 / 0))
        outcome = load(server.url, StagePlan("sustained", concurrency=1, requests=20), stream=False, samplers=samplers)
    assert section(outcome)["series"]["gpu"][0]["value"] == {"utilisation": 50}
    assert "division" in outcome.result.series["broken"][0][1]["error"]
