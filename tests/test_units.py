"""Quantities as people write them."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferaudit.alert_rules import is_tail
from inferaudit.canaries import canaries_of
from inferaudit.engine_args import engine_of, engine_port, grpc_port
from inferaudit.errors import UsageError
from inferaudit.gpu_table import node_gpu
from inferaudit.probe_timing import port_number, pre_stop_s
from inferaudit.resilience import retries_of
from inferaudit.scaling import pod_count
from inferaudit.units import (
    format_duration,
    parse_amount,
    parse_count,
    parse_duration_s,
    parse_rate_per_s,
    parse_ratio,
    parse_tokens,
    plain,
    whole_number,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("30s", 30),
        ("1h30m", 5400),
        ("24h", 86400),
        ("30d", 2592000),
        ("2", 2),
        (1.5, 1.5),
        ("50us", 5e-5),
    ],
)
def test_durations(text: str | float, seconds: float) -> None:
    assert parse_duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "ms", "5 parsecs", "-1s", "1s2", "nan", "inf", "1e999s", "1h 30", "½s"])
def test_bad_durations(text: str) -> None:
    with pytest.raises(UsageError):
        parse_duration_s(text)


def test_ratios_rates_and_counts() -> None:
    assert parse_ratio("0.1%") == pytest.approx(0.001)
    assert parse_ratio("99.9%") == pytest.approx(0.999)
    assert parse_rate_per_s("20/s") == 20
    assert parse_rate_per_s("600/min") == 10
    assert parse_rate_per_s("1k/s") == 1000
    assert parse_count("1M") == 1_000_000
    assert (parse_amount("0.5"), parse_amount("50k")) == (0.5, 50_000)
    assert [parse_tokens(text) for text in ("4096", "128k", "8K", "1M", "0.5m")] == [4096, 131_072, 8192, 2**20, 2**19]
    for parse, wrong in (
        (parse_ratio, "101%"),
        (parse_ratio, "-1"),
        (parse_rate_per_s, "20/fortnight"),
        (parse_count, "1.5"),
        (parse_count, "-1"),
        (parse_tokens, "1.0001k"),
        (parse_tokens, "128kB"),
        (parse_tokens, "1e999"),
    ):
        with pytest.raises(UsageError):
            parse(wrong)


@given(st.text(max_size=20))
def test_no_text_crashes_a_parser(text: str) -> None:
    for parse in (parse_duration_s, parse_ratio, parse_rate_per_s, parse_count, parse_tokens):
        with contextlib.suppress(UsageError):
            assert parse(text) >= 0


def test_a_figure_has_every_digit_before_its_point() -> None:
    texts = [plain(value) for value in (32_476.4, 10_000, 9_999.6, 7_004.9, 0.12345, 0, -12_345.6)]
    assert texts == ["32476", "10000", "10000", "7005", "0.1235", "0", "-12346"]
    assert (plain(2300, 3), plain(1_414_000, commas=True), plain(1_234_567.8, 6, commas=True)) == (
        "2300",
        "1,414,000",
        "1,234,568",
    )


@given(st.floats(min_value=0.001, max_value=1e7))
def test_a_formatted_duration_reads_back(seconds: float) -> None:
    assert parse_duration_s(format_duration(seconds).replace(" ", "")) == pytest.approx(seconds, rel=1e-3)


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("007", 7), ("9" * 18, 10**18 - 1)])
def test_ascii_digits_are_a_number(text: str, number: int) -> None:
    assert whole_number(text) == number


NO_NUMBERS = ("²", "1²", "٣", "9" * 5000, "", "-1", "+1", " 1", "1_0", "1.0")


@pytest.mark.parametrize("text", NO_NUMBERS)
def test_what_others_do_not_read_as_a_number_is_none(text: str) -> None:
    """``int`` refuses some of what ``isdigit`` takes, and takes some that Kubernetes refuses."""
    assert whole_number(text) is None
    assert pod_count(text, 4, up=True) == 0
    assert pod_count(f"{text}%", 4, up=True) == 0
    assert port_number({}, text) is None
    assert not is_tail(f"p{text}")
    ingress = {
        "kind": "Ingress", "apiVersion": "networking.k8s.io/v1",
        "metadata": {"name": "i", "namespace": "n", "annotations": {
            "nginx.ingress.kubernetes.io/canary": "true", "nginx.ingress.kubernetes.io/canary-weight": text,
            "nginx.ingress.kubernetes.io/proxy-next-upstream": "error non_idempotent",
            "nginx.ingress.kubernetes.io/proxy-next-upstream-tries": text or "x"}},
    }  # fmt: skip
    assert canaries_of([ingress]) == []
    assert [retry.attempts for retry in retries_of([ingress], [], [], [])] == [0]
    assert node_gpu("nvidia-tesla-a100", {"nvidia.com/gpu.memory": text}) == node_gpu("nvidia-tesla-a100", {})
    env = [{"name": name, "value": text} for name in ("PORT", "VLLM_PORT", "GRPC_PORT")]
    engine = engine_of({"image": "vllm/vllm-openai:v0.32.0", "args": ["--port", text], "env": env})
    assert engine_port(engine) is None
    assert grpc_port(engine) == engine.profile.ports.get("grpc")


@pytest.mark.parametrize("text", ["²", "٣", "9" * 5000, "soon"])
def test_a_hook_whose_length_cannot_be_read_sleeps_no_time_known(text: str) -> None:
    hook = {"lifecycle": {"preStop": {"exec": {"command": ["sh", "-c", f"sleep {text}"]}}}}
    assert pre_stop_s(hook) == 0.0
