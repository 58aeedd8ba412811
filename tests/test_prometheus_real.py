"""Real Prometheus and Alertmanager: rules present, missing, broken, deaf and wrong are told apart by the audit."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.prometheus import REACHES_A_PERSON, REACHES_NOBODY, Monitoring, Page, monitoring

from inferaudit.demo_server import demo_server
from inferaudit.generate_alerts import alert_rules
from inferaudit.generators import DCGM, Service
from inferaudit.rules_file import rules_text
from inferaudit.runtime_registry import runtimes
from inferaudit.slo import parse_objectives

pytestmark = [pytest.mark.xdist_group("prometheus"), pytest.mark.timeout(300)]

NAMESPACE = "llm-prod"
OBJECTIVES = {"e2e_p99": "2s", "ttft_p99": "500ms", "error_rate": "0.1%", "availability": "99.9%"}
LABELS = {"job": "chat", "namespace": NAMESPACE, "pod": "chat-5d9-x", "service": "chat"}
MODEL_DATE = "model_revision_timestamp_seconds"
DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "chat", "namespace": NAMESPACE, "labels": {"app": "chat"}},
    "spec": {
        "replicas": 2,
        "selector": {"matchLabels": {"app": "chat"}},
        "template": {
            "metadata": {"labels": {"app": "chat"}},
            "spec": {
                "containers": [
                    {
                        "name": "server",
                        "image": "vllm/vllm-openai:v0.33.0",
                        "args": ["--model", "m"],
                        "ports": [{"containerPort": 8000}],
                        "resources": {"limits": {"nvidia.com/gpu": "1"}},
                    }
                ]
            },
        },
    },
}
NOT_OF_THE_RULES = {"metrics-business", "metrics-online-quality"}  # no service has them by itself
Rules = dict[str, Any]


def vllm_page(*, waiting: int = 1) -> str:
    """What vLLM shows after a hundred requests, and the exporter's metrics of its GPU."""
    label = 'model_name="m"'
    lines = []
    for name in ("e2e_request_latency_seconds", "time_to_first_token_seconds"):
        lines.append(f"# TYPE vllm:{name} histogram")
        lines += [f'vllm:{name}_bucket{{{label},le="{le}"}} 100' for le in ("0.1", "0.5", "2.0", "+Inf")]
        lines += [f"vllm:{name}_sum{{{label}}} 5", f"vllm:{name}_count{{{label}}} 100"]
    for name, value in (("num_requests_waiting", waiting), ("num_requests_running", 2), ("kv_cache_usage_perc", 0.3)):
        lines += [f"# TYPE vllm:{name} gauge", f"vllm:{name}{{{label}}} {value}"]
    lines += ["# TYPE vllm:request_success_total counter"]
    lines += [
        f'vllm:request_success_total{{{label},finished_reason="{r}"}} {n}' for r, n in (("stop", 100), ("error", 0))
    ]
    lines += ["# TYPE http_requests_total counter", 'http_requests_total{status="2xx"} 100']
    gpu = 'gpu="0",UUID="u",Hostname="n"'
    lines += [f"{name}{{{gpu}}} {0 if 'XID' in name else 50}" for name in DCGM.values()]
    return "\n".join([*lines, f"{MODEL_DATE} 4e9", ""])


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with Page() as served:
        served.text = vllm_page()
        yield served


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with demo_server(tmp_path_factory.mktemp("model")) as url:
        yield url


@pytest.fixture(scope="module")
def servers(page: Page, llama: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitoring]:
    folder = tmp_path_factory.mktemp("monitoring")
    targets = {page.address: LABELS, llama.removeprefix("http://"): {"job": "llama"}}
    with monitoring(folder, targets) as running:
        running.processes.until("both are scraped", lambda: len(running.query("up == 1")) == 2)
        running.processes.until("names are indexed", lambda: bool(running.query("vllm:num_requests_waiting")))
        yield running


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("manifests") / "chat.yaml"
    path.write_text(yaml.safe_dump(DEPLOYMENT))
    return path


def good_rules(**changes: Any) -> Rules:
    """What `generate alerts` writes for the service, evaluated every second so that the test need not wait."""
    settings: dict[str, Any] = {
        "objectives": parse_objectives(OBJECTIVES), "name": "chat", "namespace": NAMESPACE, "job": "chat",
        "runbook": "https://runbooks.example.com/chat", "freshness_metric": MODEL_DATE,
    }  # fmt: skip
    service = Service(runtimes()["vllm"], **{**settings, **changes})
    document: Rules = yaml.safe_load(rules_text(service, "alerts", alert_rules(service), "rules", {}))
    for group in document["groups"]:
        group["interval"] = "1s"
    return document


def alert(rules: Rules, name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(r for g in rules["groups"] for r in g["rules"] if r.get("alert") == name)
    return found


def audit(servers: Monitoring, folder: Path, manifest: Path | None, *skip: str) -> dict[str, set[str]]:
    """Check ids by outcome, of those that judge monitoring and are not skipped; without a manifest of metrics alone."""
    out, policy = folder / "report.json", folder / "inferaudit.yaml"
    target = {"target": {"namespace": NAMESPACE}} if manifest else {}  # a namespace is one to look at in a cluster
    policy.write_text(yaml.safe_dump({"slo": OBJECTIVES, **target}))
    command = [
        sys.executable, "-m", "inferaudit.cli.app", "run", "-f", policy,
        *(["--manifests", manifest, "--scope", "cluster,metrics"] if manifest else ["--scope", "metrics"]),
        "--prometheus", servers.prometheus, "--alertmanager", servers.alertmanager,
        "-o", f"json={out}", "--no-progress", *(f"--skip={name}" for name in skip),
    ]  # fmt: skip
    run = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=120, check=False)
    assert out.exists(), run.stderr
    found: dict[str, set[str]] = {}
    for finding in json.loads(out.read_text())["findings"]:
        if finding["check"].startswith(("metrics-", "observability-alert")):
            found.setdefault(finding["outcome"], set()).add(finding["check"])
    return found


def deaf(rules: Rules) -> None:
    """A name of an earlier version."""
    rule = alert(rules, "InferenceKvCacheFull")
    rule["expr"] = rule["expr"].replace("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc")


def without(*prefixes: str) -> Callable[[Rules], None]:
    def drop(rules: Rules) -> None:
        for group in rules["groups"]:
            group["rules"] = [r for r in group["rules"] if not r.get("alert", "").startswith(prefixes)]

    return drop


def broken(rules: Rules) -> None:
    """Valid, and not to be evaluated: several series match one."""
    rules["groups"][0]["rules"].append({"alert": "Broken", "expr": "vllm:request_success_total / on (job) up > 1"})


def too_late(rules: Rules) -> None:
    rule = alert(rules, "InferenceLatencyP99High")
    rule["expr"] = rule["expr"].replace("> 2", "> 20")


def no_le(rules: Rules) -> None:
    rule = alert(rules, "InferenceLatencyP99High")
    rule["expr"] = rule["expr"].replace("by (le, namespace, job, model_name, version)", "by (model_name)")


def always_one(rules: Rules) -> None:
    series = f'http_requests_total{{namespace="{NAMESPACE}",status=~"5.."}}'
    alert(rules, "InferenceErrorRatioHigh")["expr"] = (
        f"sum by (status) (rate({series}[5m])) / sum by (status) (rate(http_requests_total[5m])) > 0.001"
    )


def test_generated_rules_pass_every_check(servers: Monitoring, manifest: Path, tmp_path: Path) -> None:
    servers.load(yaml.safe_dump(good_rules()), wired=True)
    servers.route(REACHES_A_PERSON)
    outcomes = audit(servers, tmp_path, manifest)
    assert outcomes["fail"] == NOT_OF_THE_RULES
    assert {
        "metrics-rule-health", "metrics-alert-can-fire", "metrics-receiver", "metrics-alertmanager-wired",
        "metrics-target-up", "observability-alert-latency", "observability-alert-errors", "observability-alert-queue",
        "observability-alert-burn-rate", "observability-alert-target-down", "observability-alert-threshold",
        "observability-alert-quantile", "observability-alert-ratio", "observability-alert-traffic",
        "observability-alert-xid", "observability-alert-staleness",
    } <= outcomes["pass"]  # fmt: skip


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (without("InferenceLatency", "InferenceTtft"), {"observability-alert-latency"}),
        (
            without("InferenceErrorRatio", "InferenceErrorBudget"),
            {"observability-alert-errors", "observability-alert-burn-rate"},
        ),
        (without("InferenceQueue"), {"observability-alert-queue"}),
        (without("InferenceTargetDown", "InferenceServiceGone"), {"observability-alert-target-down"}),
        (without("InferenceTraffic"), {"observability-alert-traffic"}),
        (broken, {"metrics-rule-health"}),
        (deaf, {"metrics-alert-can-fire"}),
        (too_late, {"observability-alert-threshold"}),
        (no_le, {"observability-alert-quantile"}),
        (always_one, {"observability-alert-ratio"}),
    ],
    ids=["no-latency", "no-errors", "no-queue", "no-target-down", "no-traffic", "broken", "never-fires", "threshold",
         "no-le", "always-one"],
)  # fmt: skip
def test_each_fault_of_the_rules_is_told_apart(
    fault: Callable[[Rules], None], told: set[str], servers: Monitoring, manifest: Path, tmp_path: Path
) -> None:
    rules = good_rules()
    fault(rules)
    servers.load(yaml.safe_dump(rules))
    servers.route(REACHES_A_PERSON)
    outcomes = audit(servers, tmp_path, manifest, "metrics-alertmanager-wired")
    assert outcomes["fail"] - NOT_OF_THE_RULES == told


def test_alerts_that_reach_nobody(servers: Monitoring, manifest: Path, tmp_path: Path) -> None:
    servers.load(yaml.safe_dump(good_rules()), alertmanagers=False)
    servers.route(REACHES_NOBODY)
    outcomes = audit(servers, tmp_path, manifest)
    assert outcomes["fail"] - NOT_OF_THE_RULES == {"metrics-receiver", "metrics-alertmanager-wired"}


def test_metrics_alone_tell_what_is_deaf_broken_and_heard_by_nobody(servers: Monitoring, tmp_path: Path) -> None:
    """Without a workload or a namespace all rules over what model servers export are looked at."""
    rules = good_rules()
    deaf(rules)
    broken(rules)
    servers.load(yaml.safe_dump(rules))
    servers.route(REACHES_NOBODY)
    outcomes = audit(servers, tmp_path, None, "metrics-alertmanager-wired")
    told = {"metrics-alert-can-fire", "metrics-rule-health", "metrics-receiver"}
    assert outcomes["fail"] - NOT_OF_THE_RULES == told
    assert "metrics-scrape-interval" in outcomes["pass"]


def test_no_rules_at_all(servers: Monitoring, manifest: Path, tmp_path: Path) -> None:
    servers.load("groups: []\n")
    outcomes = audit(servers, tmp_path, manifest)
    assert {"observability-alerts", "observability-alert-latency", "observability-alert-errors"} <= outcomes["fail"]
    assert "metrics-rule-health" not in outcomes.get("pass", set())


def test_generated_rules_fire_in_a_real_prometheus(servers: Monitoring, page: Page) -> None:
    rules = good_rules()
    for group in rules["groups"]:
        for rule in group["rules"]:
            if "alert" in rule:
                rule["for"] = "0s"
    servers.load(yaml.safe_dump(rules))
    assert servers.firing() == set()
    try:
        page.text = vllm_page(waiting=51)
        servers.processes.until("the queue's alert fires", lambda: servers.firing() == {"InferenceQueueDeep"})
    finally:
        page.text = vllm_page()
    servers.processes.until("it is over", lambda: servers.firing() == set())


def test_rules_for_a_running_server_read_what_it_exports(servers: Monitoring, llama: str, tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    command = [sys.executable, "-m", "inferaudit.cli.app", "generate", "alerts", "--url", llama, "--job", "llama",
               "--gpus", "off", "-o", str(path)]  # fmt: skip
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    assert "llama.cpp" in run.stderr
    text = path.read_text()
    servers.load(text)
    for rule in servers.rules():
        assert rule["health"] == "ok", rule
    (depth,) = servers.query("llamacpp:requests_deferred")
    assert depth["metric"]["job"] == "llama"
    assert 'llamacpp:requests_deferred{job="llama"}' in text
