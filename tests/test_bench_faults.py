"""Each fault of a server lands in its own error class, and no failed request is ever a fast one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from support.faulty import FAULTS, FaultyServer

from inferaudit.bench.protocols import protocol
from inferaudit.bench.runner import LoadOutcome, run_load
from inferaudit.benchmark import benchmark_section
from inferaudit.case_records import records_from_groups
from inferaudit.plan import HttpAuth, LoadPlan, StagePlan
from inferaudit.records import ABSENT, from_npz, to_npz


@pytest.fixture(scope="module")
def server() -> Iterator[FaultyServer]:
    with FaultyServer() as running:
        yield running


@pytest.fixture(params=["as it comes", "by epoll alone"])
def reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the kernel lends a ring it reads; elsewhere epoll does, and nothing may differ."""
    if request.param == "by epoll alone":
        monkeypatch.setattr("inferaudit.bench.connections.ring", lambda: None)


def load(server: FaultyServer, name: str, requests: int = 1) -> LoadOutcome:
    fault = FAULTS[name]
    plan = LoadPlan(
        url=server.url(name),
        api=fault.api,
        model="m",
        profile="test",
        stages=(StagePlan("sustained", concurrency=1, requests=requests),),
        stream=fault.stream if protocol(fault.api).event else None,
        timeout_s=fault.timeout_s or 60.0,  # bounds a hang: a fault that ends by time says its own
        input_tokens=str(max(16, fault.body_bytes // 4)),
        auth=HttpAuth(insecure=True),
    )
    return run_load(plan)


@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize("name", sorted(FAULTS))
def test_fault_class(server: FaultyServer, name: str) -> None:
    fault = FAULTS[name]
    outcome = load(server, name)
    section = benchmark_section(outcome.result, outcome.records, {})
    kind = next(iter(section["errors"]), None)
    assert kind in fault.outcomes, f"{name}: {kind}, expected {fault.outcomes}"
    assert section["requests"]["ok"] + section["requests"]["failed"] == 1
    assert section["latency_ms"]["count"] == section["requests"]["ok"]
    if kind is None and fault.expected is None:
        assert section["tokens"]["output"] == fault.tokens
        if fault.stated:
            assert section["tokens"]["source"] == "usage"
    else:
        assert section["latency_ms"]["p99"] is None
        assert section["ttft_ms"]["p50"] is None


def test_the_role_is_not_the_first_token(server: FaultyServer) -> None:
    columns = load(server, "late_text").records.columns
    assert columns["first_token_ns"][0] - columns["sent_ns"][0] > 90_000_000
    assert columns["first_byte_ns"][0] - columns["sent_ns"][0] < 90_000_000


def test_a_refused_request_was_never_sent(server: FaultyServer) -> None:
    columns = load(server, "refused").records.columns
    assert columns["sent_ns"][0] == ABSENT


@pytest.mark.usefixtures("reader")
def test_connections_are_reused_or_replaced(server: FaultyServer) -> None:
    before = server.connections
    section = load(server, "plain", requests=5)
    assert section.result.stages[0].scheduled == 5
    assert server.connections - before == 1
    again = load(server, "connection_close", requests=5)
    assert server.connections - before == 6
    assert not any(again.records.columns["error"])
    closing = load(server, "slow_close", requests=5)
    assert not any(closing.records.columns["error"])
    assert closing.result.stages[0].client.connections_stale == 3  # then each request got a connection of its own


def test_a_refusal_keeps_when_to_come_back_and_older_records_are_read(server: FaultyServer) -> None:
    records = load(server, "status_503").records
    assert list(records.columns["retry_after_s"]) == [2]
    assert list(load(server, "status_500").records.columns["retry_after_s"]) == [ABSENT]
    stored = from_npz(to_npz(records))
    assert list(stored.columns["retry_after_s"]) == [2]
    older = replace(stored, columns={name: c for name, c in stored.columns.items() if name != "retry_after_s"})
    again = from_npz(to_npz(older))
    assert "retry_after_s" not in again.columns
    assert list(again.columns["status"]) == [503]


@pytest.mark.parametrize("bit", [1, 0x40])
def test_a_damaged_records_file_is_one_line(bit: int) -> None:
    """Whatever byte is damaged: the table is read, or a ValueError says that it cannot be."""
    whole = to_npz(records_from_groups({"groups": [{"count": 3, "ttft_ms": 5, "itl_ms": 2, "tokens": 4}]}))
    refused = 0
    for place in range(0, len(whole), 3):
        damaged = bytearray(whole)
        damaged[place] ^= bit
        try:
            from_npz(bytes(damaged))
        except ValueError:
            refused += 1
    assert refused > len(whole) // 6
