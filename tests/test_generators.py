"""Generated rules and dashboards: valid for promtool, firing on what they name, silent otherwise."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from inferaudit.alert_rules import Alert, concerns, constant_ratio, metric_names, quantile_faults
from inferaudit.errors import UsageError
from inferaudit.generate_alerts import alert_rules
from inferaudit.generate_dashboard import dashboard
from inferaudit.generate_slo import RECORD, error_budget, slo_rules
from inferaudit.generators import DCGM, Service, errors_metric, metric, promql_string
from inferaudit.rules_file import rules_text, runbook_address
from inferaudit.runtime_registry import MetricName, runtimes
from inferaudit.slo import TEMPLATE, parse_objectives

OBJECTIVES = parse_objectives({**TEMPLATE, "e2e_p99": "2s", "e2e_p50": "1s", "ttft_p99": "500ms", "tpot_p99": "50ms"})
DATE = "model_revision_timestamp_seconds"
HOSTILE = 'a"b\\c{{ printf "x" }}\n  - evil: true\x1b[31m\u202e$namespace ${x} #`<script>'
TESTED = ("vllm", "triton", "tgi", "llamacpp")
END = 300  # minutes of series


def service(runtime: str = "vllm", **changes: Any) -> Service:
    settings: dict[str, Any] = {"objectives": OBJECTIVES, "name": "chat", "owner": "team", "freshness_metric": DATE}
    return Service(runtimes()[runtime], **{**settings, **changes})


def text(of: Service, kind: str = "rules") -> str:
    return rules_text(of, "alerts", alert_rules(of), kind, {"release": "prometheus"})


def rules(of: Service) -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(text(of))["groups"] for rule in group["rules"]]


def promtool(*args: object, cwd: Path) -> str:
    program = shutil.which("promtool")
    if program is None:
        pytest.fail("promtool is missing: apt-get install prometheus", pytrace=False)
    run = subprocess.run([program, *map(str, args)], cwd=cwd, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


# --- valid


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"objectives": ()},
        {"namespace": "llm-prod", "job": "chat", "runbook": "https://runbooks.example.com/chat"},
        {"name": HOSTILE, "owner": HOSTILE, "namespace": HOSTILE, "job": HOSTILE},
        {"gpus": False, "freshness_metric": "", "name": "", "owner": ""},
    ],
    ids=["plain", "no-objectives", "narrowed", "hostile", "bare"],
)
def test_rules_of_every_runtime_are_valid(changes: dict[str, Any], tmp_path: Path) -> None:
    for name in runtimes():
        of = service(name, **changes)
        (tmp_path / f"{name}.yaml").write_text(text(of))
        (tmp_path / f"{name}-slo.yaml").write_text(rules_text(of, "slo", slo_rules(of), "rules", {}))
        wrapped = yaml.safe_load(text(of, "PrometheusRule"))
        assert wrapped["kind"] == "PrometheusRule"
        assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", wrapped["metadata"]["name"])
        assert wrapped["spec"] == yaml.safe_load(text(of))
    promtool("check", "rules", *sorted(tmp_path.glob("*.yaml")), cwd=tmp_path)


@pytest.mark.parametrize("namespace", ["", HOSTILE], ids=["plain", "hostile"])
def test_the_queries_of_every_dashboard_are_valid(namespace: str, tmp_path: Path) -> None:
    for name in runtimes():
        panels = json.loads(dashboard(service(name, namespace=namespace, job=namespace)))["panels"]
        queries = [target["expr"] for panel in panels for target in panel.get("targets", ())]
        assert queries or name in {n for n, runtime in runtimes().items() if not runtime.metrics}
        found = [{"record": f"q{i}", "expr": q.replace("$__rate_interval", "5m")} for i, q in enumerate(queries)]
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": found}]}))
    promtool("check", "rules", *sorted(tmp_path.glob("*.yaml")), cwd=tmp_path)


def test_what_a_runtime_does_not_export_is_left_out_and_said() -> None:
    said = text(service("llamacpp"))
    assert "# - error ratio: llama.cpp server does not count failed requests" in said
    assert {rule["alert"] for rule in rules(service("llamacpp", freshness_metric="")) if "alert" in rule} == {
        "InferenceQueueDeep", "InferenceGpuSaturated", "InferenceGpuXidHardware", "InferenceGpuXid",
        "InferenceTargetDown", "InferenceServiceGone", "InferenceTrafficDrop", "InferenceTrafficSurge",
    }  # fmt: skip
    assert "# - tail latency: no objective" in text(service(objectives=()))
    assert "model staleness: no runtime exports" in text(service(freshness_metric=""))
    assert yaml.safe_load(text(service("ollama", gpus=False, freshness_metric="")))["groups"] == []


def test_an_engine_that_preallocates_is_watched_by_its_cache() -> None:
    names = {name: {rule.get("alert") for rule in rules(service(name))} for name in ("vllm", "mlserver")}
    assert "InferenceKvCacheFull" in names["vllm"]
    assert "InferenceGpuMemoryFull" not in names["vllm"]
    assert "InferenceGpuMemoryFull" in names["mlserver"]


@pytest.mark.parametrize("runtime", sorted(runtimes()))
def test_every_alert_carries_what_a_person_needs(runtime: str) -> None:
    of = service(runtime, runbook="https://runbooks.example.com/chat")
    alerts = [rule for rule in rules(of) if "alert" in rule]
    assert len({rule["alert"] for rule in alerts}) == len(alerts)
    for rule in alerts:
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["labels"]["service"] == "chat"
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["runbook_url"] == f"https://runbooks.example.com/chat#{rule['alert'].lower()}"
        assert not quantile_faults(rule["expr"])
        assert not constant_ratio(" ".join(rule["expr"].split()))
        if rule["alert"].startswith("InferenceErrorRatio"):
            assert rule["labels"]["severity"] == "critical"


CONCERN = {
    "InferenceLatencyP99High": "latency", "InferenceTtftP99High": "latency", "InferenceErrorRatioHigh": "errors",
    "InferenceQueueDeep": "queue", "InferenceKvCacheFull": "gpu_memory", "InferenceGpuMemoryFull": "gpu_memory",
    "InferenceGpuSaturated": "gpu_utilization", "InferenceGpuXidHardware": "xid", "InferenceGpuXid": "xid",
    "InferenceTargetDown": "target_down", "InferenceServiceGone": "target_down", "InferenceModelStale": "staleness",
    "InferenceTrafficDrop": "traffic", "InferenceTrafficSurge": "traffic", "InferenceErrorBudgetBurn1h": "burn_rate",
}  # fmt: skip


@pytest.mark.parametrize("namespace", ["", "llm-prod"])
@pytest.mark.parametrize("runtime", ["vllm", "sglang", "tgi", "triton", "ray-serve", "mlserver", "llamacpp"])
def test_our_own_checks_understand_our_own_rules(runtime: str, namespace: str) -> None:
    found = [rule for rule in rules(service(runtime, namespace=namespace)) if rule.get("alert") in CONCERN]
    for rule in found:
        expr = " ".join(rule["expr"].split())
        # A PrometheusRule lies in the namespace of its service; a plain rule lies nowhere.
        where = f"prometheusrule/{namespace}/chat" if namespace else "endpoint/prometheus"
        alert = Alert(rule["alert"], expr, where, "", 0.0, rule["labels"], rule["annotations"])
        assert CONCERN[rule["alert"]] in concerns(alert, "llm-prod"), rule["alert"]
    assert len(found) >= 6


def test_names_on_the_page_win_over_newer_ones() -> None:
    old = frozenset({"vllm:time_per_output_token_seconds_bucket", "vllm:gpu_cache_usage_perc"})
    seen = service(names=old)
    assert metric(seen, "kv_cache_usage", "gauge") == runtimes()["vllm"].metrics["kv_cache_usage"][1]
    assert "vllm:gpu_cache_usage_perc" in text(seen)
    assert "vllm:gpu_cache_usage_perc" not in text(service())
    summary = text(service("triton", names=frozenset({"nv_inference_request_summary_us"})))
    assert (
        'max by (namespace, job, model, version) (nv_inference_request_summary_us{quantile="0.99"}) > 2000000'
        in summary
    )
    assert "nv_inference_request_summary_us{" not in text(service("triton"))


def test_errors_that_any_framework_counts_are_narrowed_or_avoided() -> None:
    assert (found := errors_metric(service())) is not None
    assert found.name == "vllm:request_success_total"
    assert (found := errors_metric(service(job="chat"))) is not None
    assert found.name == "http_requests_total"
    assert 'http_requests_total{job="chat",status=~"5.."}' in text(service(job="chat"))


def test_the_error_budget() -> None:
    def budget(**slo: str) -> float:
        return error_budget(service(objectives=parse_objectives(slo)))[0]

    assert budget(availability="99.95%", error_rate="1%") == pytest.approx(0.0005)
    assert budget(error_rate="1%") == 0.01
    assert budget() == budget(availability="100%") == 0.001
    assert "(14.4 * 0.0005)" in text(service(objectives=parse_objectives({"availability": "99.95%"})))


def test_usage_errors() -> None:
    with pytest.raises(UsageError, match="--kind"):
        text(service(), "Deployment")
    for address in ("javascript:alert(1)", "https://u:p@host/", 'https://host/"x'):
        with pytest.raises(UsageError, match="--runbook"):
            runbook_address(address)


@settings(deadline=None, max_examples=40)
@given(st.text(max_size=40))
def test_any_text_stays_text(name: str) -> None:
    of = service(name=name, owner=name, namespace=name)
    head, _, _ = text(of).partition("\ngroups:")
    assert all(not row or row.startswith("#") for row in head.split("\n"))
    found = rules(of)
    assert [rule.get("alert") for rule in found] == [
        rule.get("alert") for rule in rules(service(namespace="x", name="x" if name else ""))
    ]
    for rule in found:
        for value in (
            (*rule.get("labels", {}).values(), *rule.get("annotations", {}).values()) if "alert" in rule else ()
        ):
            for template in re.findall(r"\{\{(.*?)\}\}", value):
                assert re.match(r'\s*(\$labels\.\w+|\$value|with \$labels|\.|end|"\{\{")', template)
    assert json.loads(dashboard(of))["panels"]
    assert "$" not in promql_string(name)


# --- firing


def series(name: str, labels: dict[str, str], values: str) -> dict[str, str]:
    inner = ",".join(f'{key}="{value}"' for key, value in labels.items())
    return {"series": f"{name}{{{inner}}}", "values": values}


def labelled(name: MetricName, *, selected: bool = False) -> dict[str, str]:
    """Labels as the runtime has them; `selected`: those that make the series an error."""
    wanted = {"5..": "500", "error": "error"} if selected else {"5..": "200", "error": "stop"}
    plain = {"model_name": "m", "model": "m", "version": "1", "finished_reason": "stop"}
    labels = {key: plain.get(key, "x") for key in name.labels}
    return {"job": "chat", "instance": "a:1", **labels, **{k: wanted.get(v, v) for k, v in name.select.items()}}


class World:
    """Series of a service with one request per second; what is changed is the fault."""

    def __init__(self, of: Service) -> None:
        self.of = of
        self.requests, self.failed, self.slow = f"0+60x{END}", f"0+0x{END}", False
        self.gauges = {"waiting": "1", "running": "1", "kv_cache_usage": "0.5"}
        self.gpu = {"utilization": "50", "memory_used": "50", "memory_free": "50", "xid": "0"}
        self.date, self.gone_after = "0", END

    def _constant(self, value: str) -> str:
        return f"{value}+0x{END}"

    def _total(self) -> str:
        """Microseconds that the requests took together."""
        if self.requests.startswith("0+0x"):
            return self.requests
        return f"0+{60 * (5_000_000 if self.slow else 1_000)}x{END}"

    def rows(self) -> Iterator[dict[str, str]]:
        of, gone = self.of, self.gone_after
        yield series("up", {"job": "chat", "instance": "a:1"}, f"1x{gone} 0x{END}")
        yield series("up", {"job": "other", "instance": "b:1"}, f"0x{END}")
        seen: set[str] = set()
        for concept in ("requests", "generated_tokens"):
            counter = metric(of, concept, "counter")  # type: ignore[arg-type]
            if counter is not None:
                seen.add(counter.name)
                yield series(counter.name, labelled(counter), self.requests)
        errors = errors_metric(of)
        if errors is not None:
            if errors.select and errors.name not in seen:
                yield series(errors.name, labelled(errors), self.requests)
            yield series(errors.name, labelled(errors, selected=True), self.failed)
        for concept, value in self.gauges.items():
            gauge = metric(of, concept, "gauge")  # type: ignore[arg-type]
            if gauge is not None:
                yield series(gauge.name, labelled(gauge), f"{value}x{gone} stale")
        for concept in ("request_duration", "ttft", "tpot"):
            yield from self._latency(concept)
        for what, value in self.gpu.items():
            yield series(DCGM[what], {"Hostname": "n", "gpu": "0", "UUID": "u"}, self._constant(value))
        yield series(DATE, {"job": "chat"}, self._constant(self.date))

    def _latency(self, concept: Any) -> Iterator[dict[str, str]]:
        histogram, total = metric(self.of, concept, "histogram"), metric(self.of, concept, "counter")
        if histogram is not None:
            factor = 1000 if histogram.unit == "milliseconds" else 1
            for bound in (0.01, 10.0, float("inf")):
                le = "+Inf" if bound == float("inf") else f"{bound * factor:g}"
                hit = bound > 1 if self.slow else True
                labels = {**labelled(histogram), "le": le}
                yield series(f"{histogram.name}_bucket", labels, f"0+{60 if hit else 0}x{END}")
        elif total is not None:
            assert total.unit == "microseconds"
            yield series(total.name, labelled(total), self._total())


def check_firing(world: World, at: dict[int, set[str]], folder: Path) -> None:
    """promtool evaluates the rules over the world's series; at each minute exactly these alerts fire."""
    (folder / "rules.yaml").write_text(text(world.of))
    tests = [
        {
            "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
            "eval_time": f"{minute}m",
            "exp_samples": [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in sorted(names)],
        }
        for minute, names in at.items()
    ]
    document = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": list(world.rows()), "promql_expr_test": tests}],
    }
    (folder / "test.yaml").write_text(yaml.safe_dump(document))
    promtool("test", "rules", "test.yaml", cwd=folder)


@pytest.fixture(params=[*TESTED, "vllm narrowed"])
def world(request: pytest.FixtureRequest) -> World:
    name, _, narrowed = request.param.partition(" ")
    return World(service(name, job="chat" if narrowed else ""))


def alerts(of: Service, *prefixes: str) -> set[str]:
    return {rule["alert"] for rule in rules(of) if rule.get("alert", "").startswith(prefixes)}


def test_a_healthy_service_is_silent(world: World, tmp_path: Path) -> None:
    check_firing(world, {5: set(), 30: set(), 240: set()}, tmp_path)


def test_an_idle_service_is_silent(world: World, tmp_path: Path) -> None:
    world.requests, world.gauges = f"0+0x{END}", {"waiting": "0", "running": "0", "kv_cache_usage": "0"}
    check_firing(world, {30: set(), 240: set()}, tmp_path)


def test_slow_answers(world: World, tmp_path: Path) -> None:
    world.slow = True
    slow = alerts(world.of, "InferenceLatency", "InferenceTtft", "InferenceTpot")
    assert bool(slow) == (world.of.runtime.name != "llamacpp")
    check_firing(world, {3: set(), 20: slow}, tmp_path)


def test_failing_requests(world: World, tmp_path: Path) -> None:
    world.failed = f"0+6x{END}"  # one in ten or eleven
    every = alerts(world.of, "InferenceErrorRatio", "InferenceErrorBudget")
    fast = every & {"InferenceErrorRatioHigh", "InferenceErrorBudgetBurn1h"}
    assert len(every) == (0 if world.of.runtime.name == "llamacpp" else 5)
    check_firing(world, {1: set(), 10: fast, 240: every}, tmp_path)


def test_a_few_failures_burn_slowly(world: World, tmp_path: Path) -> None:
    world.failed, world.requests = f"0+1x{END}", f"0+240x{END}"  # 0.4 %: four times the budget
    slow = alerts(world.of, "InferenceErrorRatio", "InferenceErrorBudgetBurn1d", "InferenceErrorBudgetBurn3d")
    check_firing(world, {240: slow}, tmp_path)


def test_requests_that_wait(world: World, tmp_path: Path) -> None:
    world.gauges["waiting"] = "51"
    check_firing(world, {1: set(), 10: {"InferenceQueueDeep"}}, tmp_path)


def test_a_full_cache_or_memory(world: World, tmp_path: Path) -> None:
    world.gauges["kv_cache_usage"], world.gpu["memory_used"], world.gpu["memory_free"] = "0.96", "96", "4"
    check_firing(world, {3: set(), 20: alerts(world.of, "InferenceKvCache", "InferenceGpuMemory")}, tmp_path)


@pytest.mark.parametrize(
    ("xid", "fired"), [("79", {"InferenceGpuXidHardware"}), ("94", {"InferenceGpuXid"}), ("13", set())]
)
def test_xid_errors_by_kind(xid: str, fired: set[str], tmp_path: Path) -> None:
    world = World(service())
    world.gpu["xid"] = xid
    check_firing(world, {10: fired}, tmp_path)


def test_a_gpu_that_never_rests_and_a_stale_model(tmp_path: Path) -> None:
    world = World(service())
    world.gpu["utilization"], world.date = "99", "-90000"
    check_firing(world, {10: {"InferenceModelStale"}, 30: {"InferenceModelStale", "InferenceGpuSaturated"}}, tmp_path)


def test_a_target_that_is_gone(world: World, tmp_path: Path) -> None:
    world.gone_after, world.requests = 60, f"0+0x{END}"
    # The job's `up` stays: Prometheus still has the target. Without a job the metric's absence tells.
    gone = {"InferenceTargetDown"} if world.of.job else {"InferenceTargetDown", "InferenceServiceGone"}
    check_firing(world, {50: set(), 80: gone}, tmp_path)


@pytest.mark.parametrize(("rate", "fired"), [("1", "InferenceTrafficDrop"), ("600", "InferenceTrafficSurge")])
def test_traffic_that_changes_suddenly(world: World, rate: str, fired: str, tmp_path: Path) -> None:
    world.requests = f"0+60x120 {120 * 60}+{rate}x{END}"
    check_firing(world, {110: set(), 140: {fired}, 240: set()}, tmp_path)


# --- dashboards


@pytest.mark.parametrize("runtime", sorted(runtimes()))
@pytest.mark.parametrize("namespace", ["", "llm-prod"])
def test_dashboards_show_only_metrics_that_exist(runtime: str, namespace: str) -> None:
    of = service(runtime, namespace=namespace)
    document = json.loads(dashboard(of))
    known = {m.name for names in of.runtime.metrics.values() for m in names}
    known |= {f"{name}{suffix}" for name in known for suffix in ("_bucket", "_sum", "_count")} | set(DCGM.values())
    ids = [panel["id"] for panel in document["panels"]]
    assert len(set(ids)) == len(ids)
    cells = [tuple(panel["gridPos"].values()) for panel in document["panels"]]
    assert len(set(cells)) == len(cells)
    for panel in document["panels"][1:]:
        assert panel["targets"]
        for target in panel["targets"]:
            found = metric_names(target["expr"])
            assert found, target["expr"]
            assert found <= known, found - known
            assert ('namespace="llm-prod"' in target["expr"]) == bool(namespace)


def test_the_objective_is_drawn_and_hostile_names_stay_text() -> None:
    document = json.loads(dashboard(service(name=HOSTILE, runbook="https://runbooks.example.com/chat")))
    panels = {panel["title"]: panel for panel in document["panels"]}
    steps = panels["Latency"]["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert [step["value"] for step in steps] == [None, 2.0]
    said = panels[""]["options"]["content"]
    assert "$" not in said
    assert "<script" not in said
    assert "\x1b" not in json.dumps(document)
    assert "\\u202e" not in json.dumps(document).replace("\\\\u202e", "")
    assert document["links"][0]["url"] == "https://runbooks.example.com/chat"


def test_recording_rules_have_the_names_that_the_alerts_read() -> None:
    found = rules(service())
    records = {rule["record"] for rule in found if "record" in rule}
    read = {name for rule in found if "alert" in rule for name in re.findall(r"inference:[\w:]+", rule["expr"])}
    assert read == records
    assert len([name for name in records if name.startswith(RECORD)]) == 7


@pytest.mark.parametrize(
    ("expr", "names"),
    [
        (
            "sum by (le, job) (rate(a:b_bucket[5m] offset 1h)) / on (job) group_left (x) max without (y) (c) > 1e3",
            {"a:b_bucket", "c"},
        ),
        ('{__name__=":tf:request_count", status!~"OK"} > bool 2 and on () vector(1) or d', {":tf:request_count", "d"}),
        ("histogram_quantile(0.99, sum(rate(e[5m])) by (le)) > +Inf unless f{x='g(h)'} @ 1609746000", {"e", "f"}),
        ('count({__name__=~"vllm:.*"}) > 0', set()),
        ("avg_over_time(g[1h:1m]) * 1.5 > NaN", {"g"}),
    ],
)
def test_the_metrics_that_an_expression_reads(expr: str, names: set[str]) -> None:
    assert metric_names(expr) == names


# --- command line


def generate(*args: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "inferaudit.cli.app", "generate", *map(str, args)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)


def test_policy_and_flags_reach_the_rules(tmp_path: Path) -> None:
    (tmp_path / "inferaudit.yaml").write_text(
        "service: {name: chat, owner: team-chat}\n"
        "target: {namespace: llm-prod}\n"
        "slo: {ttft_p99: 500ms, error_rate: 1%}\n"
    )
    flags = ["--slo", "ttft_p99=250ms", "--kind", "PrometheusRule", "--label", "release=prometheus"]
    run = generate("alerts", "--runtime", "vllm", *flags, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    document = yaml.safe_load(run.stdout)
    assert document["metadata"] == {
        "name": "chat-alerts", "namespace": "llm-prod", "labels": {"release": "prometheus"},
    }  # fmt: skip
    found = {r["alert"]: r for g in document["spec"]["groups"] for r in g["rules"] if "alert" in r}
    assert found["InferenceTtftP99High"]["expr"].endswith("> 0.25")
    assert found["InferenceErrorRatioHigh"]["expr"].endswith("> 0.01")
    assert found["InferenceTtftP99High"]["labels"] == {"severity": "critical", "service": "chat", "team": "team-chat"}
    assert run.stderr == "inferaudit: policy: inferaudit.yaml\n"


def test_slo_and_dashboard_are_written_to_a_file(tmp_path: Path) -> None:
    for verb, name in (("slo", "slo.yaml"), ("dashboard", "dashboard.json")):
        run = generate(verb, "--runtime", "triton", "-o", tmp_path / name, cwd=tmp_path)
        assert (run.returncode, run.stdout) == (0, ""), run.stderr
    promtool("check", "rules", "slo.yaml", cwd=tmp_path)
    assert json.loads((tmp_path / "dashboard.json").read_text())["title"] == "Inference: NVIDIA Triton Inference Server"


def test_the_attestations_that_a_report_waits_for(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    row = {
        "id": "operations.rollback", "title": "Rollback is rehearsed", "status": "unknown", "phase": "before",
        "priority": "high", "ask": "a link", "origins": [], "attestation": None, "message": "nobody said",
    }  # fmt: skip
    checklist = {"id": "operations", "title": "Operations", "items": [row]}
    data = {"schema": "inferaudit.report/v1", "collected_at": "2026-01-01T00:00:00Z", "checklists": [checklist]}
    report.write_text(json.dumps({**data, "verdict": "INCOMPLETE", "findings": []}))
    run = generate("attestation", report, "--valid-days", 30, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    (entry,) = yaml.safe_load(run.stdout)["attestations"]
    assert (entry["item"], entry["evidence"], entry["expires"]) == ("operations.rollback", "", "2026-01-31")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["alerts"], "--runtime NAME"),
        (["alerts", "--runtime", "nope"], "no runtime is called 'nope'"),
        (["alerts", "--url", "http://127.0.0.1:9"], "does not answer"),
        (["alerts", "--runtime", "vllm", "--kind", "Deployment"], "--kind"),
        (["alerts", "--runtime", "vllm", "--label", "release"], "KEY=VALUE"),
        (["alerts", "--runtime", "vllm", "--gpus", "amd"], "--gpus"),
        (["alerts", "--runtime", "vllm", "--runbook", "javascript:x"], "--runbook"),
        (["alerts", "--runtime", "vllm", "--freshness-metric", "a b"], "--freshness-metric"),
        (["slo", "--runtime", "vllm", "--slo", "nope=1"], "no objective is called"),
        (["attestation", "none.json"], "none.json"),
    ],
)
def test_usage_errors_of_the_command_line(args: list[str], said: str, tmp_path: Path) -> None:
    run = generate(*args, cwd=tmp_path)
    assert (run.returncode, run.stdout) == (2, ""), run.stdout + run.stderr
    assert said in run.stderr
    assert "Traceback" not in run.stderr
