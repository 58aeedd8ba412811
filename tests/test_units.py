"""Quantities as people write them."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferaudit.errors import UsageError
from inferaudit.units import format_duration, parse_count, parse_duration_s, parse_rate_per_s, parse_ratio


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
    for parse, wrong in (
        (parse_ratio, "101%"),
        (parse_ratio, "-1"),
        (parse_rate_per_s, "20/fortnight"),
        (parse_count, "1.5"),
    ):
        with pytest.raises(UsageError):
            parse(wrong)


@given(st.text(max_size=20))
def test_no_text_crashes_a_parser(text: str) -> None:
    for parse in (parse_duration_s, parse_ratio, parse_rate_per_s, parse_count):
        with contextlib.suppress(UsageError):
            assert parse(text) >= 0


@given(st.floats(min_value=0.001, max_value=1e7))
def test_a_formatted_duration_reads_back(seconds: float) -> None:
    assert parse_duration_s(format_duration(seconds).replace(" ", "")) == pytest.approx(seconds, rel=1e-3)
