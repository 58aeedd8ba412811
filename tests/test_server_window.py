"""What a server counted between two readings of its page, and the latency budget that is made of it."""

from __future__ import annotations

import math

import pytest

from inferaudit.case_records import records_from_groups
from inferaudit.exposition import MetricFamily, parse_exposition
from inferaudit.facts.load import LoadResult, LoadStage, ServerReading, ServerWindow
from inferaudit.latency_budget import ADVICE, budget_section
from inferaudit.records import RecordTable
from inferaudit.runtime_registry import runtime, runtimes
from inferaudit.server_window import bucket_percentile, profile_of_page, window_readings


def page(text: str) -> list[MetricFamily]:
    return parse_exposition(text)


def vllm(requests: int, seconds: float, *, model: str = "m", start: float = 5.0) -> list[MetricFamily]:
    return page(f"""# TYPE vllm:request_success counter
vllm:request_success_total{{model_name="{model}",finished_reason="stop"}} {requests}
vllm:request_success_total{{model_name="other",finished_reason="stop"}} 900
# TYPE vllm:e2e_request_latency_seconds histogram
vllm:e2e_request_latency_seconds_bucket{{model_name="{model}",le="0.3"}} {requests // 2}
vllm:e2e_request_latency_seconds_bucket{{model_name="{model}",le="1.0"}} {requests}
vllm:e2e_request_latency_seconds_bucket{{model_name="{model}",le="+Inf"}} {requests}
vllm:e2e_request_latency_seconds_sum{{model_name="{model}"}} {seconds}
vllm:e2e_request_latency_seconds_count{{model_name="{model}"}} {requests}
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{{model_name="{model}"}} 0.5
# TYPE process_start_time_seconds gauge
process_start_time_seconds {start}
""")


def by_concept(readings: list[ServerReading]) -> dict[str, ServerReading]:
    return {reading.concept: reading for reading in readings}


def test_only_what_was_counted_in_between_counts_and_only_of_our_model() -> None:
    readings, reason = window_readings(vllm(10, 4.0), vllm(30, 14.0), [runtime("vllm")], model="m")
    found = by_concept(readings)
    assert reason == ""
    assert found["requests"].total == 20
    assert (found["request_duration"].count, found["request_duration"].total) == (20, 10.0)
    assert found["request_duration"].buckets == ((0.3, 10.0), (1.0, 20.0))
    assert "kv_cache_usage" not in found


def test_a_series_that_appears_began_at_nothing() -> None:
    before = page("# TYPE vllm:prompt_tokens counter\nvllm:prompt_tokens_total 3\n")
    readings, _ = window_readings(before, vllm(30, 14.0), [runtime("vllm")], model="m")
    assert by_concept(readings)["requests"].total == 30


@pytest.mark.parametrize("after", [vllm(3, 1.0), vllm(30, 14.0, start=99.0)])
def test_a_restart_or_another_replica_gives_no_readings(after: list[MetricFamily]) -> None:
    readings, reason = window_readings(vllm(10, 4.0), after, [runtime("vllm")], model="m")
    assert readings == []
    assert "replica" in reason


def test_units_become_seconds_and_probes_of_others_are_left_out() -> None:
    before = page("""# TYPE ray_serve_http_request_latency_ms histogram
ray_serve_http_request_latency_ms_sum{route="/a"} 0
ray_serve_http_request_latency_ms_count{route="/a"} 0
""")
    after = page("""# TYPE ray_serve_http_request_latency_ms histogram
ray_serve_http_request_latency_ms_sum{route="/a"} 500
ray_serve_http_request_latency_ms_count{route="/a"} 10
ray_serve_http_request_latency_ms_sum{route="/-/healthz"} 70
ray_serve_http_request_latency_ms_count{route="/-/healthz"} 70
""")
    for route in ("/a", ""):
        readings, _ = window_readings(before, after, [runtime("ray-serve")], route=route)
        found = by_concept(readings)["request_duration"]
        assert (found.count, found.total, found.unit) == (10, pytest.approx(0.5), "seconds")


def test_a_route_that_was_never_asked_before_takes_nothing_from_others() -> None:
    text = """# TYPE bentoml_service_request_total counter
bentoml_service_request_total{endpoint="/predict"} 80
"""
    after = page(text + 'bentoml_service_request_total{endpoint="/generate"} 40\n')
    found = by_concept(window_readings(page(text), after, [runtime("bentoml")], route="/generate")[0])
    assert found["requests"].total == 40


def test_errors_are_selected_by_label() -> None:
    after = page("""# TYPE :tensorflow:serving:request_count counter
:tensorflow:serving:request_count{model_name="m",status="OK"} 7
:tensorflow:serving:request_count{model_name="m",status="INVALID_ARGUMENT"} 2
""")
    found = by_concept(window_readings([], after, [runtime("tf-serving")])[0])
    assert (found["requests"].total, found["errors"].total) == (9, 2)


def test_a_page_tells_whose_it_is() -> None:
    assert profile_of_page(vllm(1, 1.0))[0].name == "vllm"
    assert profile_of_page(page("# TYPE nothing_known counter\nnothing_known 1\n")) == []


def test_percentiles_of_buckets() -> None:
    reading = ServerReading(
        concept="ttft", metric="t", type="histogram", unit="seconds", count=100, total=9.0,
        buckets=((0.1, 50.0), (0.5, 98.0)),
    )  # fmt: skip
    assert bucket_percentile(reading, 50) == (0.0, 0.1)
    assert bucket_percentile(reading, 90) == (0.1, 0.5)
    assert bucket_percentile(reading, 99) == (0.5, None)
    assert bucket_percentile(ServerReading(concept="ttft", metric="t", type="summary"), 50) is None


def test_each_runtime_names_times_that_the_budget_understands() -> None:
    times = {
        "queue_time",
        "prefill_time",
        "decode_time",
        "preprocess_time",
        "inference_time",
        "postprocess_time",
        "ttft",
    }
    for profile in runtimes().values():
        for concept in times & set(profile.metrics):
            for name in profile.metrics[concept]:  # type: ignore[index]  # a member of both
                assert name.unit in ("seconds", "milliseconds", "microseconds"), (profile.name, name)


# --- the budget


def result(*, stream: bool, concurrency: int | None = 4, server: ServerWindow | None = None) -> LoadResult:
    stage = LoadStage(name="sustained", measured=True, concurrency=concurrency, rate=None if concurrency else 5.0,
                      server=server)  # fmt: skip
    return LoadResult(
        profile="sla", url="http://127.0.0.1:1", api="openai-chat", model="m", stream=stream, seed=0, run_id="r",
        clock="kernel", stages=(stage,), timeout_s=30,
    )  # fmt: skip


def window(**means_ms: float) -> ServerWindow:
    readings = [
        ServerReading(concept=concept, metric=concept, type="histogram", unit="seconds", count=100, total=mean / 10)
        for concept, mean in means_ms.items()
    ]
    return ServerWindow(url="u", readings=tuple(readings))


def records(**group: float) -> RecordTable:
    return records_from_groups({"groups": [{"count": 100, **group}]})


def parts(section: dict[str, object] | None) -> dict[str, float | None]:
    assert section is not None
    rows = section["parts"]
    assert isinstance(rows, list)
    return {row["part"]: row["per_request_ms"] for row in rows}


def test_a_stream_whose_every_part_is_known_adds_up_to_the_whole() -> None:
    server = window(request_duration=400, ttft=90, queue_time=20, prefill_time=60, decode_time=305)
    loaded = result(stream=True, server=server)
    section = budget_section(loaded, records(ttft_ms=100, e2e_ms=420, tokens=17, itl_ms=20), loaded.stages[0])
    assert section is not None
    found = parts(section)
    assert found["network"] == pytest.approx(10)
    assert found["queue"] == pytest.approx(20)
    assert found["preprocess"] == pytest.approx(10)
    assert found["prefill"] == pytest.approx(60)
    assert found["decode"] == pytest.approx(305)
    assert found["postprocess"] == pytest.approx(5)
    assert found["network_out"] == pytest.approx(10)
    assert section["sum_ms"] == pytest.approx(420)
    assert section["unexplained_ms"] == pytest.approx(0, abs=1e-6)
    assert (section["largest"], section["server"]) == ("decode", None)
    assert section["advice"] == ADVICE["decode"]


def test_what_nobody_measured_is_null_and_not_nought() -> None:
    loaded = result(stream=True)
    section = budget_section(loaded, records(ttft_ms=100, e2e_ms=420, tokens=17, itl_ms=20), loaded.stages[0])
    assert section is not None
    found = parts(section)
    assert {found[p] for p in ("network", "queue", "preprocess", "prefill", "decode", "postprocess")} == {None}
    assert "--metrics-url" in str(section["server"])
    assert section["largest"] == "unexplained"
    assert section["unexplained_ms"] == pytest.approx(420)


def test_times_that_hold_others_requests_are_unknown() -> None:
    server = window(request_duration=400, queue_time=20)
    loaded = result(stream=False, server=server)
    ours = records_from_groups({"groups": [{"count": 50, "e2e_ms": 420}]})
    section = budget_section(loaded, ours, loaded.stages[0])
    assert parts(section)["queue"] is None
    assert section is not None
    assert "not of our requests alone" in section["server"]


def test_a_part_below_zero_is_unknown() -> None:
    loaded = result(stream=False, server=window(request_duration=900, queue_time=20))
    section = budget_section(loaded, records(e2e_ms=420), loaded.stages[0])
    assert parts(section)["network"] is None


def test_an_open_loop_counts_the_clients_wait_and_the_connection() -> None:
    loaded = result(stream=False, concurrency=None)
    table = records(e2e_ms=20, late_ms=8, connect_ms=3)
    section = budget_section(loaded, table, loaded.stages[0])
    found = parts(section)
    assert section is not None
    assert found["tcp"] == pytest.approx(3)
    assert found["client"] == pytest.approx(5)
    assert section["unexplained_ms"] + section["sum_ms"] == pytest.approx(section["whole_ms"])


def test_nothing_answered_has_no_budget() -> None:
    loaded = result(stream=False)
    failed = records_from_groups({"groups": [{"count": 5, "e2e_ms": 3, "error": "http_5xx", "status": 500}]})
    assert budget_section(loaded, failed, loaded.stages[0]) is None
    assert budget_section(loaded, failed, None) is None


def test_means_are_exact() -> None:
    loaded = result(stream=False)
    table = records(e2e_ms=20)
    section = budget_section(loaded, table, loaded.stages[0])
    assert section is not None
    assert math.isclose(section["whole_ms"], 20.0)


@pytest.mark.parametrize("value", ["+Inf", "1.7e308", "NaN"])
@pytest.mark.parametrize("side", [0, 1])
def test_counts_that_are_no_numbers_are_not_counted(value: str, side: int) -> None:
    bad = "".join(f'vllm:request_success_total{{model_name="m",finished_reason="{r}"}} {value}\n' for r in "ab")
    pages = [vllm(10, 4.0), vllm(30, 14.0)]
    pages[side] = [f for f in pages[side] if "success" not in f.name] + page(
        f"# TYPE vllm:request_success counter\n{bad}"
    )
    readings, _ = window_readings(pages[0], pages[1], [runtime("vllm")], model="m")
    assert "requests" not in by_concept(readings)
    assert by_concept(readings)["request_duration"].count == 20
