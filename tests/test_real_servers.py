"""Real model servers under audit and load: what they are, what is wrong with them, and that our counts are theirs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import servers
from support.llamacpp import loading_llamacpp, start_llamacpp
from support.servers import ModelServer, ask

from inferaudit.bench.runner import MIN_FOR_ERROR_STOP
from inferaudit.collect.endpoint import collect_endpoint
from inferaudit.plan import EndpointPlan

pytestmark = [pytest.mark.xdist_group("servers"), pytest.mark.timeout(120)]

REQUESTS = 40
ROWS = '{"instances": [[1.0, 2.0, {{index}}], [0, 1, 2], [3, 4, 5]]}'
STREAMED_ROWS = ROWS.replace("]]}", ']], "stream": true}')
PROMPT = '{"prompt": "{{prompt}}"}'


@pytest.fixture(scope="module", params=list(servers.LIGHT))
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    with servers.start(request.param, tmp_path_factory.mktemp(request.param)) as running:
        yield running


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    with servers.start("triton", tmp_path_factory.mktemp("triton-alone")) as running:
        yield running


def inferaudit(*args: object, env: dict[str, str] | None = None) -> tuple[int, dict[str, Any]]:
    """Exit code and JSON of a command line."""
    command = [sys.executable, "-m", "inferaudit.cli.app", *map(str, args), "-o", "json", "--no-progress"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, env={**os.environ, **(env or {})}, check=False
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def audit(url: str, *args: object, **options: Any) -> dict[str, Any]:
    return inferaudit("run", "--url", url, "--scope", "endpoint", *args, **options)[1]


def bench(url: str, *args: object, concurrency: int = 4, requests: int = REQUESTS) -> dict[str, Any]:
    return dict(inferaudit("bench", url, *args, "--concurrency", concurrency, "--requests", requests)[1]["benchmark"])


def outcomes(report: dict[str, Any], outcome: str) -> dict[str, str]:
    """Check → message of the endpoint's and the metrics' findings with `outcome`."""
    mine = [f for f in report["findings"] if f["check"].startswith(("endpoint-", "metrics-"))]
    return {f["check"]: f["message"] for f in mine if f["outcome"] == outcome}


# --- what it is, and what is wrong with it

NAMES = {"triton": ("triton", "2.51.0"), "mlserver": ("mlserver", "1.7.1"), "kserve": ("kserve", "0.21.0"),
         "bentoml": ("bentoml", None), "fastapi": ("unknown", None)}  # fmt: skip
FAULTS = {
    # generous to nobody: these are faults of the servers as they come
    "triton": {"endpoint-bad-shape", "endpoint-malformed", "metrics-request-duration"},
    "mlserver": {"endpoint-bad-shape", "metrics-queue-depth"},
    "kserve": {"endpoint-bad-shape", "metrics-errors", "metrics-queue-depth"},
    "bentoml": {"metrics-queue-depth"},
    "fastapi": {"endpoint-readiness-proves-model", "endpoint-request-id", "metrics-model-label"},
}

RPC_FAULTS = {
    "triton": set(),
    "mlserver": {"endpoint-bad-shape", "endpoint-empty-body"},
    "kserve": {"endpoint-bad-shape", "endpoint-empty-body"},
}


def test_each_is_recognised_and_none_taken_for_another(server: ModelServer) -> None:
    runtime = audit(server.url)["target"]["runtime"]
    assert (runtime["name"], runtime["version"]) == NAMES[server.name]
    assert runtime["evidence"]
    assert runtime["confidence"] >= 0.9 or runtime["name"] == "unknown"


def test_its_faults_are_found_and_no_others(server: ModelServer, tmp_path: Path) -> None:
    flags: list[object] = ["--active", "--metrics-url", server.metrics]
    url = server.url
    if server.name in ("bentoml", "fastapi"):  # what they take nobody can know: a golden request says it
        golden = {"name": "a row", "body": {"instances": [[1, 2, 3]]}, "expect": {"contains": "-2"}}
        (tmp_path / "golden.jsonl").write_text(json.dumps(golden))
        flags += ["--api", "custom", "--golden", tmp_path / "golden.jsonl"]
        url += "/predict"
    report = audit(url, *flags)
    passed = outcomes(report, "pass")
    assert set(outcomes(report, "fail")) == FAULTS[server.name]
    assert {"endpoint-plain-answer", "endpoint-ready", "endpoint-unknown-model"} - set(passed) <= (
        set() if "--golden" not in flags else {"endpoint-unknown-model"}
    )
    if "--golden" in flags:
        assert "endpoint-golden" in passed
    else:
        assert server.models[0] in passed["endpoint-model-served"]
        assert "endpoint-readiness-proves-model" in passed


def test_over_grpc_it_is_the_same_server(server: ModelServer) -> None:
    if not server.grpc:
        return  # it has no such port
    report = audit(server.grpc, "--model", server.models[0], "--active", "--metrics-url", server.metrics)
    runtime = report["target"]["runtime"]
    assert (runtime["name"], runtime["version"]) == NAMES[server.name]
    passed, failed = outcomes(report, "pass"), outcomes(report, "fail")
    assert {"endpoint-live", "endpoint-ready", "endpoint-plain-answer", "endpoint-readiness-proves-model"} <= set(
        passed
    )
    assert "endpoint-unknown-model" in passed
    assert {"endpoint-bad-shape", "endpoint-empty-body"} & set(failed) == RPC_FAULTS[server.name]
    assert "endpoint-malformed" not in failed
    assert report["target"]["api"] == "oip-v2-grpc"


def test_binary_tensors_are_proven_by_one_request(server: ModelServer) -> None:
    if not server.grpc:
        return  # it speaks no Open Inference Protocol
    report = audit(server.url, "--api", "oip-v2-binary", "--model", server.models[0])
    found = outcomes(report, "fail" if server.name == "mlserver" else "pass")
    assert "endpoint-plain-answer" in found


# --- load, with its own API

LOADS = [
    ("triton", "", ["--api", "oip-v2", "--model", "double"], "", None),
    ("triton", "", ["--api", "triton-generate", "--model", "words", "--output-tokens", "5"], "", 5),
    ("mlserver", "", ["--api", "oip-v2", "--model", "tiny"], "", None),
    ("mlserver", "/v2/models/tiny/infer_stream", ["--api", "custom", "--stream"],
     '{"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, {{index}}]}]}', 3),
    ("kserve", "", ["--api", "oip-v2", "--model", "tiny"], "", None),
    ("kserve", "", ["--api", "kserve-v1", "--model", "tiny"], '{"instances": [[1, 2, {{index}}]]}', None),
    ("bentoml", "/predict", ["--api", "custom"], ROWS, None),
    ("bentoml", "/generate", ["--api", "custom", "--stream"], PROMPT, 3),
    ("fastapi", "/predict", ["--api", "custom"], ROWS, None),
    ("fastapi", "/predict", ["--api", "custom", "--stream"], STREAMED_ROWS, 3),
]  # fmt: skip
COUNTERS = {
    "triton": ("nv_inference_request_success", "model"),
    "mlserver": ("model_infer_request_success_total", "model"),
    "kserve": ("request_predict_seconds_count", "model_name"),
    "bentoml": ("bentoml_service_request_total", "endpoint"),
    "fastapi": ("http_requests_total", "handler"),
}


# The parts that each server's own metrics tell, joined with our stamps.
PARTS = {
    "triton": {"queue", "preprocess", "inference", "postprocess", "network"},
    "mlserver": {"inference"},
    "kserve": {"preprocess", "inference", "postprocess"},
    "bentoml": {"network"},
    "fastapi": {"network"},
}


def test_requests_and_tokens_are_those_that_the_server_counts(server: ModelServer, tmp_path: Path) -> None:
    counter, label = COUNTERS[server.name]
    for name, route, flags, template, tokens in LOADS:
        if name != server.name:
            continue
        if template:
            (tmp_path / "body.json").write_text(template)
            flags = [*flags, "--template", tmp_path / "body.json"]
        model = flags[flags.index("--model") + 1] if "--model" in flags else "tiny"
        labels = {label: route if label in ("endpoint", "handler") else str(model)}
        before = server.counted(counter, **labels)
        result = bench(server.url + route, *flags, "--metrics-url", server.metrics)
        what = f"{name} {route} {flags}: {result['errors']}"
        assert result["requests"] == {
            "scheduled": REQUESTS, "sent": REQUESTS, "ok": REQUESTS, "failed": 0, "cancelled": 0
        }, what  # fmt: skip
        assert server.counted(counter, **labels) - before == REQUESTS, what
        assert result["latency_ms"]["count"] == REQUESTS, what
        budget = result["latency_budget"]
        known = {part["part"] for part in budget["parts"] if part["per_request_ms"] is not None}
        wanted = PARTS[server.name] - (
            {"network"} if "triton-generate" in flags else set()
        )  # it times its clean-up too
        assert known >= (wanted if "infer_stream" not in route else set()), f"{what}: {budget}"
        assert budget["sum_ms"] + budget["unexplained_ms"] == pytest.approx(budget["whole_ms"])
        if tokens is None:
            assert result["tokens"]["output"] is None, what
        else:
            assert result["tokens"]["output"] == REQUESTS * tokens, what
            assert result["ttft_ms"]["count"] == REQUESTS, what


@pytest.mark.parametrize("api", ["oip-v2-grpc", "oip-v2-binary"])
def test_calls_and_binary_tensors_are_those_that_the_server_counts(server: ModelServer, api: str) -> None:
    if not server.grpc:
        return  # it speaks neither
    counter, label = COUNTERS[server.name]
    model = server.models[0]
    before = server.counted(counter, **{label: model})
    url = server.grpc if api == "oip-v2-grpc" else server.url
    if (server.name, api) == ("mlserver", "oip-v2-binary"):  # it does not know the extension, and says so
        few = MIN_FOR_ERROR_STOP - 1  # from there on failures may end the stage before all were sent
        result = bench(url, "--api", api, "--model", model, requests=few)
        assert {kind: error["count"] for kind, error in result["errors"].items()} == {"http_4xx": few}
        assert result["requests"]["scheduled"] == few
        return
    result = bench(url, "--api", api, "--model", model)
    assert result["requests"]["ok"] == REQUESTS, result["errors"]
    assert server.counted(counter, **{label: model}) - before == REQUESTS
    assert result["latency_ms"]["count"] == REQUESTS


# --- Triton


def test_triton_batches_and_both_count_the_same(triton: ModelServer) -> None:
    before = triton.counted("nv_inference_exec_count", model="double")
    served = triton.counted("nv_inference_count", model="double")
    result = bench(triton.url, "--api", "oip-v2", "--model", "double", concurrency=8, requests=160)
    executions = triton.counted("nv_inference_exec_count", model="double") - before
    assert result["requests"]["ok"] == 160 == triton.counted("nv_inference_count", model="double") - served
    assert executions < 160


def test_a_decoupled_model_refuses_to_answer_whole_with_status_200(triton: ModelServer) -> None:
    result = bench(triton.url, "--api", "triton-generate", "--model", "words", "--no-stream", requests=10)
    assert result["requests"]["ok"] == 0
    assert set(result["errors"]) == {"error_in_body"}


def test_a_server_that_is_ready_does_not_serve_a_model_that_is_not(triton: ModelServer) -> None:
    assert triton.post("/v2/repository/models/double/unload")[0] == 200
    try:
        servers.until("the model is gone", lambda: triton.get("/v2/health/ready")[0] == 200)  # 400 while it unloads
        report = audit(triton.url, "--model", "double")
        failed = outcomes(report, "fail")
        assert "double is not served; the server lists words" in failed["endpoint-model-served"]
        assert "endpoint-ready" in failed
        assert report["verdict"] != "GO"
    finally:
        assert triton.post("/v2/repository/models/double/load")[0] == 200
    assert "endpoint-ready" in outcomes(audit(triton.url, "--model", "double"), "pass")


# --- loading and overload


def test_a_service_that_is_live_and_not_ready(tmp_path: Path) -> None:
    with servers.start("fastapi", tmp_path, LOAD_SECONDS="600") as server:
        report = audit(server.url)
        assert "endpoint-ready" in outcomes(report, "fail")
        assert "endpoint-live" in outcomes(report, "pass")
        (tmp_path / "body.json").write_text(ROWS)
        flags = ["--api", "custom", "--template", tmp_path / "body.json"]
        assert set(bench(f"{server.url}/predict", *flags)["errors"]) == {"http_503"}


def test_an_open_port_where_nothing_is_answered_is_one_cause(tmp_path: Path) -> None:
    with servers.start("bentoml", tmp_path, loading=True, LOAD_SECONDS="600") as server:
        facts = collect_endpoint(EndpointPlan(url=server.url, timeout_s=1.0), environ={})
    reasons = {fact.error.reason for name, fact in facts.items() if fact.error is not None}
    assert len(reasons) == 1
    assert "answers nothing within 1 s" in reasons.pop()


def test_refusals_under_overload_are_refusals(tmp_path: Path) -> None:
    with servers.start("bentoml", tmp_path) as server:  # takes four at a time
        (tmp_path / "body.json").write_text('{"seconds": 0.3}')
        flags = ["--api", "custom", "--template", tmp_path / "body.json"]
        result = bench(f"{server.url}/slow", *flags, concurrency=8)
        answered, refused = result["requests"]["ok"], result["requests"]["failed"]
        assert set(result["errors"]) == {"http_429"}
        assert result["errors"]["http_429"]["count"] == refused > 0
        assert server.counted("bentoml_service_request_total", endpoint="/slow", http_response_code="200") == answered


# --- llama.cpp


def test_llamacpp_from_loading_to_ready(tmp_path: Path) -> None:
    with loading_llamacpp(tmp_path) as (url, finish):
        loading = audit(url)
        assert loading["target"]["runtime"]["name"] == "llamacpp"
        assert "503" in outcomes(loading, "fail")["endpoint-ready"]
        assert loading["verdict"] != "GO"
        assert set(bench(url, "--model", "tiny", requests=10)["errors"]) == {"http_503"}
        finish()
        ready = audit(url)
    assert {"endpoint-ready", "endpoint-plain-answer", "endpoint-stream"} <= set(outcomes(ready, "pass"))
    assert ready["target"]["runtime"]["name"] == "llamacpp"


def test_llamacpp_with_all_slots_taken_is_healthy_and_makes_wait(tmp_path: Path) -> None:
    with start_llamacpp(tmp_path, slots=1) as url:
        page = ModelServer("llamacpp", url, f"{url}/metrics", ("tiny",), tmp_path)
        deferred, health, stop = [0.0], set(), threading.Event()

        def watch() -> None:
            while not stop.wait(0.02):
                deferred.append(page.counted("llamacpp:requests_deferred"))
                health.add(page.get("/health")[0])

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            before = page.counted("llamacpp:tokens_predicted_total")
            result = bench(url, "--model", "tiny", "--output-tokens", 64, "--metrics-url", page.metrics, concurrency=8)
            after = page.counted("llamacpp:tokens_predicted_total")
        finally:
            stop.set()
            watcher.join(20)
    assert result["requests"]["ok"] == REQUESTS
    assert result["tokens"]["output"] == after - before == 64 * REQUESTS
    parts = {part["part"]: part["per_request_ms"] for part in result["latency_budget"]["parts"]}
    assert parts["prefill"] > 0
    assert parts["decode"] > 0
    assert parts["queue"] is None  # it is not exported: unknown, and not nought
    assert result["latency_budget"]["unexplained_ms"] > 0  # it is there that seven of eight wait
    assert max(deferred) > 0
    assert health == {200}


@pytest.fixture(scope="module")
def llamacpp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    folder = tmp_path_factory.mktemp("llamacpp")
    with start_llamacpp(folder) as url:
        yield ModelServer("llamacpp", url, f"{url}/metrics", ("tiny",), folder)


def spent(page: ModelServer) -> tuple[float, float, float]:
    """Prompt tokens read, prompt tokens taken from the cache, tokens made: as llama.cpp counts them."""
    names = ("prompt_tokens_total", "prompt_tokens_cached_total", "tokens_predicted_total")
    read, cached, made = (page.counted(f"llamacpp:{name}") for name in names)
    return read, cached, made


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("api", ["openai-chat", "openai-completions", "llama.cpp"])
def test_llamacpp_tokens_under_bench_are_its_own(llamacpp: ModelServer, api: str, stream: bool) -> None:
    before = spent(llamacpp)
    result = bench(llamacpp.url, "--api", api, "--model", "tiny", "--output-tokens", 7,
                   "--stream" if stream else "--no-stream", "--metrics-url", llamacpp.metrics)  # fmt: skip
    read, cached, made = (after - was for after, was in zip(spent(llamacpp), before, strict=True))
    assert (result["requests"]["ok"], result["errors"]) == (REQUESTS, {})
    assert result["tokens"]["source"] == "usage"
    assert result["tokens"]["output"] == made == 7 * REQUESTS
    assert result["tokens"]["input"] == read + cached
    assert (result["tokens"]["cached"] or 0) == cached
    assert (result["ttft_ms"]["count"], result["stream"]) == ((REQUESTS, True) if stream else (0, False))


def test_llamacpp_tokens_of_embeddings_under_bench_are_its_own(tmp_path: Path) -> None:
    with start_llamacpp(tmp_path, embedding=True) as url:
        page = ModelServer("llamacpp", url, f"{url}/metrics", ("tiny",), tmp_path)
        before = spent(page)
        result = bench(url, "--api", "openai-embeddings", "--model", "tiny", "--metrics-url", page.metrics,
                       "--input-tokens", 20)  # fmt: skip  # longer texts than its batch get a 500
        read, cached, made = (after - was for after, was in zip(spent(page), before, strict=True))
    assert (result["requests"]["ok"], result["errors"]) == (REQUESTS, {})
    assert result["tokens"]["input"] == read + cached > 0
    assert made == 0
    assert (result["tokens"]["output"], result["token_rate"], result["ttft_ms"]["p50"]) == (None, None, None)


def test_llamacpp_with_a_key(tmp_path: Path) -> None:
    key = "an-invented-key"
    with start_llamacpp(tmp_path, api_key=key) as url:
        assert ask("GET", f"{url}/v1/models")[0] == 401
        locked = audit(url)
        opened = audit(url, "--api-key-env", "SERVER_KEY", "--active", env={"SERVER_KEY": key})
    assert locked["target"]["runtime"]["name"] == opened["target"]["runtime"]["name"] == "llamacpp"
    assert "--api-key-env" in json.dumps(outcomes(locked, "unknown"))
    assert locked["verdict"] == "INCOMPLETE"
    assert {"endpoint-plain-answer", "endpoint-stream", "endpoint-cancel-frees"} <= set(outcomes(opened, "pass"))
    assert key not in json.dumps([locked, opened])


# --- the servers themselves


def test_a_server_that_is_not_installed_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with (
        pytest.raises(servers.MissingServerError, match=r"^the model server kserve is not installed: make servers$"),
        servers.start("kserve", tmp_path),
    ):
        pass
