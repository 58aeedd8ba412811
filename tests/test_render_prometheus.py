"""The exposition as Prometheus' own parser reads it."""

import json
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from inferaudit.model import Report
from inferaudit.render import render

GOLDEN = Path(__file__).parent / "golden"


def data(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((GOLDEN / name / "report.json").read_text(encoding="utf-8"))
    return loaded


def samples(report: dict[str, Any]) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = list(text_string_to_metric_families(render(Report(report), "prometheus")))
    assert all(family.type == "gauge" and family.documentation for family in families)
    every = [s for family in families for s in family.samples]
    found = {(s.name, tuple(sorted((k, v) for k, v in s.labels.items() if k != "service"))): s.value for s in every}
    assert len(found) == len(every), "a series stands there twice"
    return found


@pytest.mark.parametrize("name", ["go", "no_go", "incomplete"])
def test_one_verdict_is_one(name: str) -> None:
    found = samples(data(name))
    verdicts = {
        dict(labels)["verdict"]: value for (metric, labels), value in found.items() if metric == "inferaudit_verdict"
    }
    assert verdicts == {v: float(v == data(name)["verdict"]) for v in ("GO", "NO_GO", "INCOMPLETE")}


def test_base_units() -> None:
    found = samples(data("no_go"))
    assert found["inferaudit_latency_seconds", (("metric", "ttft"), ("quantile", "0.99"))] == pytest.approx(2.3)
    assert found["inferaudit_objective_target", (("objective", "ttft_p99"), ("unit", "s"))] == 0.5
    assert found["inferaudit_objective_met", (("objective", "ttft_p99"),)] == 0
    assert found["inferaudit_blocking_findings", (("outcome", "fail"), ("severity", "high"))] == 3


def test_what_was_not_measured_has_no_sample() -> None:
    names = {metric for metric, _ in samples(data("incomplete"))}
    assert not names & {"inferaudit_latency_seconds", "inferaudit_objective_met", "inferaudit_cost_monthly_usd"}
    assert {metric for metric, _ in samples({"verdict": "GO"})} >= {"inferaudit_verdict", "inferaudit_info"}


def test_hostile_names_close_their_quotes() -> None:
    report = data("go")
    report["service"]["name"] = 'a"} 1\n# HELP x\\'
    found = samples(report)
    assert ("inferaudit_score_ratio", ()) in found
