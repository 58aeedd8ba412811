"""The SLA table: the load test's figure and Prometheus' side by side, and the finding that tells them apart."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from inferaudit.case_records import records_from_groups
from inferaudit.catalog import Catalog, load_catalog
from inferaudit.model import Fact, FactError, FactErrorKind, Report, Snapshot, Target
from inferaudit.policy import Policy
from inferaudit.render import render
from inferaudit.report import audit_report
from inferaudit.slo import KNOWN
from inferaudit.snapshot import decode_fact

CASE = yaml.safe_load(
    (Path(__file__).parent / "checks" / "sla-sources-agree" / "pass-both-hold.yaml").read_text("utf-8")
)["facts"]
SERIES = {
    "availability": (2_592_000.0, "ratio", 0.9995),
    "error_rate": (900.0, "ratio", 0.0004),
    "latency_p50": (300.0, "seconds", 0.2),
    "latency_p95": (300.0, "seconds", 0.4),
    "latency_p99": (300.0, "seconds", 0.8),
    "ttft_p99": (300.0, "seconds", 0.09),
    "itl_p99": (300.0, "seconds", 0.019),
    "tpot_p99": (300.0, "seconds", 0.021),
    "throughput": (300.0, "requests/s", 12.0),
    "token_throughput": (300.0, "tokens/s", 900.0),
}
SLO = {
    "availability": "99.9%", "error_rate": "0.1%", "e2e_p50": "1s", "e2e_p95": "1s", "e2e_p99": "500ms",
    "ttft_p99": "1s", "itl_p99": "50ms", "tpot_p99": "50ms", "throughput": "20/s", "token_throughput": "100/s",
    "goodput": "10/s", "freshness": "24h", "e2e_p90": "2s",
}  # fmt: skip


@cache
def catalog() -> Catalog:
    return load_catalog()


def table(*, load: bool = True, prometheus: bool = True, change: dict[str, Any] | None = None) -> dict[str, Any]:
    series = [
        {"name": name, "query": "q", "window_s": window, "unit": unit, "value": value, "series": 1, "covered_s": window}
        | (change or {}).get(name, {})
        for name, (window, unit, value) in SERIES.items()
    ]
    absent = Fact(error=FactError(FactErrorKind.NO_TARGET, "nobody asked", source="test"))
    facts = {
        "load.result": Fact(decode_fact("load.result", CASE["load.result"])) if load else absent,
        "load.records": Fact(records_from_groups(CASE["load.records"])) if load else absent,
        "prometheus.series": Fact(decode_fact("prometheus.series", series)) if prometheus else absent,
    }
    snapshot = Snapshot(collected_at="2026-03-14T09:26:53Z", target=Target(), facts=facts, tool_version="0.1.0")
    policy = Policy.model_validate({"slo": SLO, "scope": ["load", "metrics"]})
    return dict(audit_report(catalog(), snapshot, policy).data)


def rows(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["dimension"]: row for row in report["sla"]["objectives"]}


def said(row: dict[str, Any], source: str) -> dict[str, Any]:
    (found,) = [s for s in row["sources"] if s["source"] == source]
    return dict(found)


@pytest.fixture(scope="module")
def both() -> dict[str, Any]:
    return table()


def test_every_row_has_both_figures_in_its_unit(both: dict[str, Any]) -> None:
    found = rows(both)
    assert {name: said(found[name], "prometheus")["value"] for name in found if name != "freshness"} == {
        "availability": 0.9995, "error_rate": 0.0004, "e2e_p50": 200.0, "e2e_p95": 400.0, "e2e_p99": 800.0,
        "ttft_p99": 90.0, "itl_p99": 19.0, "tpot_p99": 21.0, "throughput": 12.0, "token_throughput": 900.0,
        "goodput": None, "e2e_p90": None,
    }  # fmt: skip
    assert {said(found[name], "prometheus")["window"] for name in ("e2e_p50", "ttft_p99", "throughput")} == {"5 min"}
    for name in ("error_rate", "e2e_p50", "e2e_p99", "ttft_p99", "itl_p99", "goodput"):
        row, own = found[name], said(found[name], "load")
        assert (own["value"], own["interval"], own["samples"], own["window"], own["outcome"]) == (
            row["observed"], row["interval"], row["samples"], row["window"], row["outcome"],
        )  # fmt: skip
    assert [s["source"] for s in found["freshness"]["sources"]] == ["label"]
    assert said(found["e2e_p90"], "prometheus")["reason"] == "Prometheus is not asked for e2e_p90"


def test_every_usual_objective_is_asked_of_both_or_says_why_not(both: dict[str, Any]) -> None:
    for name in set(KNOWN) - {"freshness"}:
        for source in rows(both)[name]["sources"]:
            assert source["value"] is not None or source["reason"], (name, source)


def test_a_disagreement_leads_to_its_finding(both: dict[str, Any]) -> None:
    row = rows(both)["e2e_p99"]
    assert (said(row, "load")["outcome"], said(row, "prometheus")["outcome"]) == ("pass", "fail")
    (finding,) = [f for f in both["findings"] if f["fingerprint"] == row["disagreement"]]
    assert (finding["check"], finding["outcome"], finding["subject"]) == ("sla-sources-agree", "fail", "slo/e2e_p99")
    assert {name for name, row in rows(both).items() if row["disagreement"]} == {"e2e_p99"}
    page = render(Report(both), "html")
    assert page.count(f'disagrees <a href="#f-{finding["fingerprint"]}">why</a>') == 1
    assert page.count(f'id="f-{finding["fingerprint"]}"') == 1
    assert "800 ms (Prometheus, 5 min), disagrees" in render(Report(both), "markdown")
    assert "e2e_p99 800 ms (Prometheus, 5 min), disagrees" in " ".join(render(Report(both), "terminal").split())


def test_what_arrived_is_not_what_the_service_can_do(both: dict[str, Any]) -> None:
    found = said(rows(both)["throughput"], "prometheus")
    assert (found["value"], found["outcome"]) == (12.0, "unknown")
    assert found["reason"] == "this is what was asked of the service, not what it could serve"
    assert said(rows(both)["token_throughput"], "prometheus")["outcome"] == "pass"


def test_thirty_days_have_the_loads_figure_beside_them(both: dict[str, Any]) -> None:
    row = rows(both)["availability"]
    assert (row["source"], row["observed"], row["outcome"]) == ("prometheus", 0.9995, "pass")
    load = said(row, "load")
    assert (load["value"], load["samples"], load["outcome"]) == (1.0, 3000, "unknown")
    assert load["interval"][0] < 1.0 == load["interval"][1]
    assert load["reason"] == "60 s of load tell nothing about 30 days"


@pytest.mark.parametrize(("load", "prometheus"), [(False, True), (True, False), (False, False)])
def test_a_source_that_was_not_given_says_so(load: bool, prometheus: bool) -> None:
    report = table(load=load, prometheus=prometheus)
    for name, row in rows(report).items():
        assert row["disagreement"] is None
        for source in row["sources"]:
            given = {"load": load, "prometheus": prometheus, "label": False}[source["source"]]
            if not given and name not in ("goodput", "e2e_p90"):
                assert source["value"] is None, name
                assert source["outcome"] == "unknown"
                assert source["reason"], name
    if load and not prometheus:
        assert said(rows(report)["ttft_p99"], "prometheus")["reason"] == "nobody asked"


@pytest.mark.parametrize("value", [None, float("inf"), float("nan")])
def test_what_is_no_number_is_no_figure(value: float | None) -> None:
    series = {"e2e_p99": "latency_p99"}
    report = table(change={series["e2e_p99"]: {"value": value, "reason": "no requests in the window"}})
    found = said(rows(report)["e2e_p99"], "prometheus")
    assert (found["value"], found["outcome"], found["reason"]) == (None, "unknown", "no requests in the window")
    assert rows(report)["e2e_p99"]["disagreement"] is None


def test_the_window_is_no_longer_than_the_data() -> None:
    found = said(rows(table(change={"latency_p99": {"covered_s": 45.0}}))["e2e_p99"], "prometheus")
    assert found["window"] == "45 s"
