"""Alerting rules read by meaning."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferaudit.alert_rules import (
    Alert,
    alerts_of,
    concerns,
    constant_ratio,
    is_tail,
    quantile_faults,
    statistics,
    threshold,
)

P99 = "histogram_quantile(0.99, sum by (le) (rate(vllm:e2e_request_latency_seconds_bucket[5m]))) > 5"
OURS, ELSEWHERE = "prometheusrule.monitoring.coreos.com/a/r", "prometheusrule.monitoring.coreos.com/monitoring/r"


def alert(expr: str, subject: str = OURS, name: str = "A") -> Alert:
    return Alert(name, expr, subject, "g/A", None, {}, {})


@pytest.mark.parametrize(
    ("expr", "concern"),
    [
        (P99, "latency"),
        ('sum(rate(x_total{status=~"5.."}[5m])) / sum(rate(x_total[5m])) > 0.001', "errors"),
        ("1 - sum(rate(te_request_success[5m])) / sum(rate(te_request_count[5m])) > 0.01", "errors"),
        ('sum(rate(x_total{code=~"2.."}[5m])) / sum(rate(x_total[5m])) < 0.99', "errors"),
        ("sum(vllm:num_requests_waiting) > 50", "queue"),
        ("sglang:num_queue_reqs > 50", "queue"),
        ("DCGM_FI_DEV_FB_USED / (DCGM_FI_DEV_FB_USED + DCGM_FI_DEV_FB_FREE) > 0.95", "gpu_memory"),
        ("DCGM_FI_DEV_GPU_UTIL < 5", "gpu_utilization"),
        ("changes(DCGM_FI_DEV_XID_ERRORS[5m]) > 0", "xid"),
        ("time() - model_revision_timestamp_seconds > 86400", "staleness"),
        ('up{namespace="a"} == 0', "target_down"),
        ('absent(up{job="b"})', "target_down"),
        ('sum(up{job="b"}) by (job) < 2', "target_down"),
        ('kube_statefulset_status_replicas_ready{namespace="a"} < 2', "target_down"),
    ],
)
def test_what_an_alert_watches(expr: str, concern: str) -> None:
    assert concern in concerns(alert(expr), "a")


@pytest.mark.parametrize(
    ("expr", "subject", "about"),
    [
        ('sum(vllm:num_requests_waiting{namespace="b"}) > 5', OURS, False),
        ('sum(vllm:num_requests_waiting{namespace=~"a|b"}) > 5', ELSEWHERE, True),
        ('sum(vllm:num_requests_waiting{namespace=~"("}) > 5', ELSEWHERE, False),
        ("sum(vllm:num_requests_waiting) > 5", ELSEWHERE, True),
        ("histogram_quantile(0.99, rate(etcd_disk_wal_fsync_duration_seconds_bucket[5m])) > 1", ELSEWHERE, False),
        ('up{job="etcd"} == 0', ELSEWHERE, False),
        ("up == 0", ELSEWHERE, True),
        ('rate(istio_requests_total{destination_service="chat.a.svc",response_code=~"5.."}[5m]) > 1', ELSEWHERE, True),
    ],
)
def test_whose_alert_it_is(expr: str, subject: str, about: bool) -> None:
    assert bool(concerns(alert(expr, subject), "a")) is about


def test_a_ratio_of_sums_can_fire_and_one_label_by_label_cannot() -> None:
    assert constant_ratio('rate(x{status=~"5.."}[5m]) / rate(x[5m]) > 0.01')
    assert constant_ratio('(rate(x{code="500"}[5m]) / rate(x[5m])) > 0.01')
    assert constant_ratio('sum by (code) (rate(x{code=~"5.."}[5m])) / sum by (code) (rate(x[5m])) > 0')
    assert not constant_ratio('sum(rate(x{status=~"5.."}[5m])) / sum(rate(x[5m])) > 0.01')
    assert not constant_ratio('rate(x{status="500"}[5m]) / ignoring(status) rate(x[5m]) > 0.01')
    assert not constant_ratio("a / b > 1")


def test_quantiles_need_their_buckets() -> None:
    assert quantile_faults(P99) == []
    assert quantile_faults("histogram_quantile(0.9, rate(x_bucket[5m])) > 1") == []
    assert quantile_faults("histogram_quantile(0.9, sum without (pod) (rate(x_bucket[5m]))) > 1") == []
    assert "without `le`" in quantile_faults("histogram_quantile(0.9, sum by (pod) (rate(x_bucket[5m]))) > 1")[0]
    assert "without `le`" in quantile_faults("histogram_quantile(0.9, sum without (le) (rate(x_bucket[5m]))) > 1")[0]
    assert "nothing" in quantile_faults('avg(x{quantile="0.99"}) > 1')[0]


def test_statistics_and_thresholds() -> None:
    assert statistics(P99) == ["p99"]
    assert statistics('x{quantile="0.5"} > 1') == ["p50"]
    assert statistics("rate(x_sum[5m]) / rate(x_count[5m])") == ["mean"]
    assert [is_tail(each) for each in ("p99", "p99.9", "p95", "p50", "mean", "p?")] == [
        True,
        True,
        True,
        False,
        False,
        False,
    ]
    assert threshold(P99) == 5
    assert threshold("(a > 1.5e3)") == 1500
    assert threshold("a > 14.4 * 0.001") is None
    assert threshold("absent(up)") is None


def test_recording_rules_are_left_out() -> None:
    rules = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "r", "namespace": "a"},
        "spec": {
            "groups": [
                {
                    "name": "g",
                    "rules": [{"record": "x", "expr": "1"}, {"alert": "A", "expr": "up  ==\n 0", "for": "2m"}],
                }
            ]
        },
    }
    (found,) = alerts_of([rules])
    assert (found.name, found.expr, found.for_s, found.subject) == ("A", "up == 0", 120, OURS)


@given(st.text(max_size=200))
def test_hostile_expressions_never_raise(expr: str) -> None:
    concerns(alert(expr), "a")
    constant_ratio(expr)
    quantile_faults(expr)
    threshold(expr)
    statistics(expr)
