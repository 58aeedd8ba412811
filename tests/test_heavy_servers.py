"""vLLM, Ollama, TorchServe, Ray Serve and transformers serve, for real: ``make test-servers``.

Each is recognised as itself, says what it is while it loads where it can, is put under load with its own API, and
counts what we count.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import servers
from support.servers import ModelServer, ask

from inferaudit.runtime_registry import runtimes

pytestmark = [pytest.mark.servers, pytest.mark.xdist_group("heavy-servers"), pytest.mark.timeout(600)]

REQUESTS = 24
ROWS = '{"instances": [[1.0, 2.0, {{index}}], [0, 1, 2], [3, 4, 5]]}'
STREAMED_ROWS = ROWS.replace("]]}", ']], "stream": true}')


@pytest.fixture(scope="module", params=list(servers.HEAVY))
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    with servers.start(request.param, tmp_path_factory.mktemp(request.param)) as running:
        yield running


def inferaudit(*args: object, env: dict[str, str] | None = None) -> tuple[int, dict[str, Any]]:
    """Exit code and JSON of a command line."""
    command = [sys.executable, "-m", "inferaudit.cli.app", *map(str, args), "-o", "json", "--no-progress"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=240, env={**os.environ, **(env or {})}, check=False
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def audit(url: str, *args: object) -> dict[str, Any]:
    return inferaudit("run", "--url", url, "--scope", "endpoint", *args)[1]


def outcomes(report: dict[str, Any], outcome: str) -> dict[str, str]:
    return {f["check"]: f["message"] for f in report["findings"] if f["outcome"] == outcome}


def bench(url: str, *args: object, requests: int = REQUESTS, concurrency: int = 4) -> dict[str, Any]:
    flags = ["--concurrency", concurrency, "--requests", requests, "--timeout", "60s"]
    return dict(inferaudit("bench", url, *args, *flags)[1]["benchmark"])


def test_each_is_recognised_and_none_taken_for_another(server: ModelServer) -> None:
    runtime = audit(server.url)["target"]["runtime"]
    assert runtime["name"] == server.name, runtime
    assert runtime["confidence"] >= 0.9
    assert runtime["evidence"]
    assert runtimes()[server.name].evidence == "recorded"


# What each puts under load: API, flags, body, tokens of an answer (None = it has none), streamed or not.
CHAT = ["--api", "openai-chat", "--input-tokens", "8", "--output-tokens", "12"]
LOADS: dict[str, list[tuple[str, list[str], str, int | None]]] = {
    "vllm": [
        ("", [*CHAT, "--model", "tiny"], "", 12),
        ("", [*CHAT, "--model", "tiny", "--no-stream"], "", 12),
        ("", ["--api", "openai-completions", "--model", "tiny", "--input-tokens", "8", "--output-tokens", "7"], "", 7),
    ],
    "ollama": [
        ("", ["--api", "ollama", "--model", "tiny", "--input-tokens", "8", "--output-tokens", "12"], "", 0),
        ("", [*CHAT, "--model", "tiny"], "", 0),
        ("", [*CHAT, "--model", "tiny", "--no-stream"], "", 0),
    ],
    "torchserve": [
        ("", ["--api", "torchserve", "--model", "tiny"], ROWS, None),
        ("", ["--api", "torchserve", "--model", "tiny", "--stream"], STREAMED_ROWS, None),
    ],
    "ray-serve": [
        ("/tiny", ["--api", "custom"], ROWS, None),
        ("/tiny", ["--api", "custom", "--stream"], STREAMED_ROWS, 3),
    ],
    "transformers-serve": [
        ("", [*CHAT, "--model", "./tinyllama"], "", 0),
        ("", [*CHAT, "--model", "./tinyllama", "--no-stream"], "", 0),
    ],
}
# Metrics that count requests and generated tokens, where there are any.
COUNTERS = {
    "vllm": ("vllm:request_success_total", "vllm:generation_tokens_total"),
    "torchserve": ("ts_inference_requests_total", ""),
}
PARTS = {
    "vllm": {"network", "queue", "preprocess", "prefill", "decode", "postprocess"},
    "torchserve": {"queue"},
    "ray-serve": set(),
}


def test_requests_and_tokens_are_those_that_the_server_counts(server: ModelServer, tmp_path: Path) -> None:
    requests, generated = COUNTERS.get(server.name, ("", ""))
    for route, given, template, tokens in LOADS[server.name]:
        flags: list[object] = list(given)
        if template:
            (tmp_path / "body.json").write_text(template)
            flags += ["--template", tmp_path / "body.json"]
        if server.metrics:
            flags += ["--metrics-url", server.metrics]
        before = server.counted(requests) if requests else 0.0, server.counted(generated) if generated else 0.0
        result = bench(server.url + route, *flags)
        what = f"{server.name} {flags}: {result['errors']} {result['warnings']}"
        assert (result["requests"]["ok"], result["requests"]["failed"]) == (REQUESTS, 0), what
        streamed = "--no-stream" not in flags and (tokens is not None or "--stream" in flags)
        assert result["ttft_ms"]["count"] == (REQUESTS if streamed else 0), what
        if requests:
            servers.until("all are counted", lambda b=before: server.counted(requests) - b[0] >= REQUESTS)
            assert server.counted(requests) - before[0] == REQUESTS, what
        if generated:
            assert result["tokens"] == {**result["tokens"], "output": server.counted(generated) - before[1]}, what
            assert result["tokens"]["source"] == "usage", what
        if tokens:
            assert result["tokens"]["output"] == REQUESTS * tokens, what
        elif tokens == 0:  # what it generates ends where it likes; what it states is what we count
            assert 0 < result["tokens"]["output"] <= REQUESTS * 12, what
            assert result["tokens"]["source"] == "usage", what
        parts = {part["part"] for part in result["latency_budget"]["parts"] if part["per_request_ms"] is not None}
        if "--no-stream" not in flags:
            assert parts >= PARTS.get(server.name, set()), f"{what}: {result['latency_budget']}"


# What an audit of the endpoint alone concludes, and the facts for want of which it is incomplete.
CONCLUDED = {
    "vllm": ("GO", set()),
    "ollama": ("GO", set()),
    "transformers-serve": ("INCOMPLETE", {"endpoint.models", "endpoint.plain"}),  # it lists what it has downloaded
    "torchserve": ("INCOMPLETE", {"endpoint.models", "endpoint.plain"}),  # inference has no list of models
    "ray-serve": ("INCOMPLETE", {"endpoint.models", "endpoint.plain"}),  # nothing tells what the application takes
}


def test_an_audit_that_is_told_the_address_alone(server: ModelServer) -> None:
    report = audit(server.url)
    verdict, unknown = CONCLUDED[server.name]
    gating = [f for f in report["findings"] if f["gates"] and f["outcome"] != "pass"]
    assert {(f["outcome"], f["subject"].removeprefix("fact/")) for f in gating} == {
        ("unknown", fact) for fact in unknown
    }
    assert report["verdict"] == verdict


# vLLM alone tells both what it counts and how long its parts took.
@pytest.mark.parametrize("server", ["vllm"], indirect=True)
def test_the_audit_under_load_joins_with_the_servers_own_metrics(server: ModelServer, tmp_path: Path) -> None:
    policy = tmp_path / "inferaudit.yaml"  # a prompt of the usual length is longer than this model's context
    policy.write_text("load: {profile: smoke, input_tokens: '8', output_tokens: '12'}\n")
    flags = ["--scope", "endpoint,load", "--model", "tiny", "--slo", "e2e_p99=60s", "--yes"]
    report = inferaudit("run", "-f", policy, "--url", server.url, *flags)[1]
    passed = outcomes(report, "pass")
    assert {"metrics-counters-move", "metrics-tokens-agree", "metrics-latency-agrees"} <= set(passed), report[
        "findings"
    ]
    assert report["benchmark"]["latency_budget"]["server"] is None


# --- readiness, and how it lies


def test_vllm_listens_only_when_it_is_ready(tmp_path: Path) -> None:
    port = servers.free_port()
    code, report = inferaudit("run", "--url", f"http://127.0.0.1:{port}", "--scope", "endpoint")
    assert code == 3
    assert "no connection" in json.dumps(report["findings"])


def test_torchserve_says_healthy_while_it_loads(tmp_path: Path) -> None:
    with servers.start("torchserve", tmp_path, loading=True, LOAD_SECONDS="120") as server:
        servers.until("the frontend answers", lambda: servers.is_ready(f"{server.url}/ping"), timeout_s=60)
        report = audit(server.url, "--model", "tiny", "--api", "torchserve")
        assert json.loads(ask("GET", f"{server.url}/ping")[1])["status"] == "Healthy"
        assert report["target"]["runtime"]["name"] == "torchserve"
        assert report["verdict"] != "GO"
        assert "endpoint-plain-answer" not in outcomes(report, "pass")


def test_ray_serve_says_success_while_it_loads(tmp_path: Path) -> None:
    with servers.start("ray-serve", tmp_path, loading=True, LOAD_SECONDS="300") as server:
        servers.until("the proxy answers", lambda: servers.is_ready(f"{server.url}/-/healthz"), timeout_s=120)
        report = audit(server.url)
        assert report["target"]["runtime"]["name"] == "ray-serve"
        assert report["verdict"] != "GO"
        assert "endpoint-readiness-proves-model" not in outcomes(report, "pass")
