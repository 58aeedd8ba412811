"""Metrics pages of real servers, the wire's names, and pages that are none."""

from __future__ import annotations

import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.replay import RECORDINGS, recorded

from inferaudit import exposition
from inferaudit.errors import CollectError
from inferaudit.exposition import buckets, find, parse_exposition, samples, total

PAGES = [
    "vllm-0.32/metrics_after", "llamacpp/metrics", "torchserve/metrics_after", "kserve/metrics_after",
    "ray-serve/metrics_after", "mlserver/metrics_after", "bentoml/metrics_after",
    "fastapi-instrumentator/metrics_after",
]  # fmt: skip


def body(name: str) -> str:
    return recorded(name).decode().replace("\r\n", "\n").partition("\n\n")[2]


@pytest.mark.parametrize("name", PAGES)
def test_a_real_page_keeps_the_names_on_the_wire(name: str) -> None:
    text = body(name)
    families = parse_exposition(text)
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert sum(len(f.samples) for f in families) == len(lines)
    assert {s.name for f in families for s in f.samples} == {line.partition("{")[0].split(" ")[0] for line in lines}
    declared = {line.split(" ")[2] for line in text.splitlines() if line.startswith("# TYPE")}
    assert declared <= {f.name for f in families}


def test_triton_and_openmetrics_pages() -> None:
    triton = parse_exposition((RECORDINGS / "triton" / "metrics.txt").read_text())
    assert total(triton, "nv_inference_request_success", model="double") == 1
    assert total(triton, "nv_inference_request_failure", reason="BACKEND") == 0
    families = parse_exposition(body("kserve/metrics_openmetrics"), "application/openmetrics-text; version=1.0.0")
    assert find(families, "request_predict_seconds") is not None


def test_a_counter_of_openmetrics_is_called_total_in_its_samples_alone() -> None:
    text = '# TYPE n counter\nn_total{a="b"} 7 # {trace_id="x"} 1.0\nn_created{a="b"} 1700000000\n# EOF\n'
    (family,) = parse_exposition(text, "application/openmetrics-text; version=1.0.0")
    assert (family.name, [s.name for s in family.samples]) == ("n", ["n_total", "n_created"])
    assert total([family], "n_total") == total([family], "n") == 7


def test_values_are_found_by_any_of_their_names() -> None:
    families = parse_exposition(body("vllm-0.32/metrics_after"))
    for name in ("vllm:prompt_tokens_total", "vllm:prompt_tokens", "vllm:time_to_first_token_seconds_bucket"):
        assert find(families, name) is not None, name
    assert find(families, "vllm:no_such") is None
    assert find(families, "time_to_first_token_seconds") is None
    family = find(families, "vllm:e2e_request_latency_seconds")
    assert family is not None
    assert buckets(family)[0] == 0.3
    assert math.inf not in buckets(family)
    assert total(families, "vllm:no_such") is None
    assert total(families, "vllm:request_success_total", finished_reason="nope") is None


def test_names_without_total_and_with_colons_survive() -> None:
    text = (
        "# TYPE :tensorflow:serving:request_count counter\n"
        ':tensorflow:serving:request_count{model_name="a",status="OK"} 3\n'
        "# TYPE tgi_request_count counter\ntgi_request_count 5\n"
    )
    families = parse_exposition(text)
    assert [f.name for f in families] == [":tensorflow:serving:request_count", "tgi_request_count"]
    assert [s.value for s in samples(families, "tgi_request_count")] == [5]
    assert total(families, ":tensorflow:serving:request_count", status="OK") == 3


def test_what_cannot_be_summed_is_no_value() -> None:
    (family,) = parse_exposition(
        '# TYPE x gauge\nx NaN\nx{a="1"} +Inf\nx{a="2"} 2\nx{a="3"} 1.7e308\nx{a="4"} -1.7e308\n'
    )
    assert [s.value for s in family.samples] == [None, None, 2.0, None, None]
    assert total([family], "x") == 2
    assert total([family], "x", a="2") == 2


@pytest.mark.parametrize("text", ["<html><body>404</body></html>", '{"status":"ok"}', "[]", "a b c d", "\x00\x01"])
def test_what_is_no_page_says_so(text: str) -> None:
    with pytest.raises(CollectError, match="no Prometheus metrics page"):
        parse_exposition(text)


def test_a_page_beyond_the_bounds_is_an_error_and_never_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exposition, "MAX_SAMPLES", 10)
    with pytest.raises(CollectError, match="more than"):
        parse_exposition("\n".join(f'x{{a="{n}"}} 1' for n in range(20)))


@given(st.text(max_size=300))
def test_any_text_is_a_page_or_an_error(text: str) -> None:
    for content_type in ("text/plain", "application/openmetrics-text"):
        with contextlib.suppress(CollectError):
            parse_exposition(text, content_type)


def test_an_empty_page_has_no_families() -> None:
    assert parse_exposition("") == []
