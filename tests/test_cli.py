"""The command line as scripts use it: exit codes, streams, messages. Every run is a process of its own."""

from __future__ import annotations

import http.server
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from inferaudit.cli.app import VERBS

DEMO = Path(__file__).parent.parent / "templates" / "demo"
QUIET = {**os.environ, "NO_COLOR": "1", "COLUMNS": "120"}


def inferaudit(*args: object, cwd: Path | None = None, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "inferaudit.cli.app", *map(str, args)],
        capture_output=True,
        text=True,
        timeout=90,
        input=stdin,
        cwd=cwd,
        env={**QUIET, **env},
    )


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port on which nobody listens: bound, never accepting."""
    import socket

    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def test_help_teaches_every_verb() -> None:
    said = inferaudit("--help").stdout
    for verb, text in VERBS.items():
        assert verb in said
        assert text.split()[0] in said
    assert "Exit codes" in said


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb: str) -> None:
    run = inferaudit(verb, "--help")
    assert run.returncode == 0, run.stderr
    assert "Usage" in run.stdout


def test_version() -> None:
    assert re.fullmatch(r"inferaudit \d+\.\d+\.\d+\n", inferaudit("--version").stdout)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["run", "--no-such-flag"], "--no-such-flag"),
        (["run"], "nothing to audit"),
        (["run", "-f", "none.yaml"], "none.yaml"),
        (["run", "--manifests", DEMO, "--select", "workload-gpu-limt"], "did you mean workload-gpu-limit"),
        (["run", "--manifests", DEMO, "--scope", "everything"], "scope"),
        (["run", "--manifests", DEMO, "--fail-on", "worst"], "fail_on"),
        (["run", "--manifests", DEMO, "-o", "jsn"], "did you mean json"),
        (["run", "--manifests", DEMO, "-o", "json", "-o", "csv"], "two outputs on stdout"),
        (["run", "--manifests", DEMO, "-o", "json=/dev/stdout", "-o", "csv"], "two outputs on stdout"),
        (["run", "--manifests", DEMO, "-o", "json=a/b", "-o", "csv=a/../a/b"], "two outputs to "),
        (["run", "--manifests", DEMO, "--load", "smoke"], "--url"),
        (["run", "--manifests", DEMO, "--slo", "ttft_p99"], "NAME=VALUE"),
        (["run", "--url", "http://127.0.0.1:9", "--load", "heavy"], "no load profile is called 'heavy'"),
        (["run", "--manifests", "none/"], "none"),
        (["run", "--context", "nowhere", "-n", "x", "--kubeconfig", "none"], "none"),
        (["run", "--url", "http://192.0.2.1", "--load", "smoke"], "--yes"),
        (["run", "--url", "http://127.0.0.1:9", "--header-env", "X"], "NAME=ENVVAR"),
        (["evaluate", "none"], "none"),
        (["render", "none.json"], "none.json"),
        (["checks", "show", "nope"], "no check is called"),
        (["cost", "--hourly", 0, "--gpus", 1, "--rate", 1], "above 0"),
        (["cost", "--hourly", 1e-320, "--gpus", 1, "--rate", 1e300], "beyond any service"),
        (["sample-size", "--baseline", 0.1, "--lift", 0.01], "--relative"),
        (["sample-size", "--baseline", 0.1, "--lift", 0.01, "--relative", "--absolute"], "say either --relative"),
        (["capacity", "--model", "-5B"], "'-5B' is no size of a model"),
        (["capacity", "--model", "8B", "--context", "128kB"], "--context: '128kB' is not a number of tokens"),
        (["capacity", "--model", "8B", "--context", "1e300"], "context must be 1 to 1,000,000,000, not 1e+300"),
        (["capacity", "--model", "8B", "--concurrency", "-1"], "--concurrency: '-1' is not a number"),
        (["generate", "schema", "nope"], "no schema"),
    ],
)
def test_usage_errors_exit_2_with_one_message(args: list[object], said: str, tmp_path: Path) -> None:
    run = inferaudit(*args, cwd=tmp_path)
    assert run.returncode == 2, run.stdout + run.stderr
    assert said in re.sub(r"[\s│]+", " ", run.stderr)
    assert "Traceback" not in run.stdout + run.stderr
    assert run.stdout == ""


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (
            ["run", "--gpuss", "off"],
            "no such option: --gpuss (Possible options: --gpus, --gpus-node) (see `inferaudit run",
        ),
        (["run", "-n"], "option '-n' requires an argument (see `inferaudit run"),
        (["evaluate"], "missing argument 'snapshot' (see `inferaudit evaluate"),
        (
            ["cost", "--hourly", "x"],
            "invalid value for '--hourly': Input should be a valid number (see `inferaudit cost",
        ),
        (["checks", "lst"], "no such command 'lst'. Did you mean 'list'? (see `inferaudit checks"),
        (["--nope"], "no such option: --nope (see `inferaudit"),
    ],
)
def test_a_wrong_flag_is_one_line_and_where_the_flags_are_told(args: list[object], line: str) -> None:
    run = inferaudit(*args)
    assert (run.returncode, run.stdout, run.stderr) == (2, "", f"error: {line} --help`)\n")


def test_counts_as_engineers_write_them(tmp_path: Path) -> None:
    flags = ["--model", "8B", "--context", "128k", "--concurrency", "1k"]
    run = inferaudit("capacity", *flags, "-o", "terminal", "-o", f"json={tmp_path / 'c.json'}")
    plan = json.loads((tmp_path / "c.json").read_text("utf-8"))
    assert (plan["context"], plan["concurrency"]) == (131_072, 1000)
    assert "asked for         1,000 requests at once of 131,072 tokens (128k: k is 1 024)\n" in run.stdout


def test_a_file_that_is_no_manifest(tmp_path: Path) -> None:
    for name, text in {"a.yaml": "<html><body>x</body></html>", "b.yaml": "a: [1,\nb: }", "c.yaml": "\x00\x01"}.items():
        (tmp_path / name).write_text(text)
        run = inferaudit("run", "--manifests", tmp_path / name)
        assert run.returncode == 2
        assert name in run.stderr
        assert "Traceback" not in run.stderr


def test_manifests_of_a_faulty_service_are_no_go_with_every_output(tmp_path: Path) -> None:
    outputs = {f: tmp_path / f"r.{f}" for f in ("json", "html", "markdown", "junit", "sarif", "csv")}
    flags = [word for name, path in outputs.items() for word in ("-o", f"{name}={path}")]
    run = inferaudit("run", "--manifests", DEMO, "--scope", "manifests", *flags)
    assert run.returncode == 1, run.stderr
    assert run.stdout == ""
    assert "NO-GO" in run.stderr.splitlines()[-1]
    assert all(path.stat().st_size for path in outputs.values())
    report = json.loads(outputs["json"].read_text())
    assert report["reasons"][0].startswith("This verdict covers manifests; it does not cover cluster (live)")
    assert len({f["fingerprint"] for f in report["findings"]}) == len(report["findings"])
    again = {f: tmp_path / f"again.{f}" for f in outputs}
    for name, path in again.items():
        assert inferaudit("render", outputs["json"], "-o", f"{name}={path}").returncode == 0
        assert path.read_bytes() == outputs[name].read_bytes(), name


def test_stdin_is_read_as_manifests() -> None:
    text = (DEMO / "service.yaml").read_text()
    run = inferaudit("run", "--manifests", "-", "--scope", "manifests", "-o", "json", stdin=text)
    assert run.returncode == 1
    assert json.loads(run.stdout)["verdict"] == "NO_GO"


def test_an_offline_evaluation_gives_the_same_bytes(tmp_path: Path) -> None:
    flags = ["--gpus", "off", "--select", "workload,sla", "--skip", "workload-owner", "--fail-on", "critical"]
    first = inferaudit("run", "--manifests", DEMO, *flags, "--snapshot", tmp_path / "s", "-o", "json")
    second = inferaudit("evaluate", tmp_path / "s", "-o", "json", TZ="Pacific/Auckland", LC_ALL="C")
    assert first.returncode == second.returncode
    assert first.stdout == second.stdout
    assert {f["group"] for f in json.loads(first.stdout)["findings"]} <= {"workload", "sla", "audit"}


def test_the_policys_path_and_the_default_policy(tmp_path: Path) -> None:
    (tmp_path / "inferaudit.yaml").write_text("scope: [manifests]\ngate: {fail_on: critical}\n")
    run = inferaudit("run", "--manifests", DEMO, "-o", "json", cwd=tmp_path)
    assert "policy: inferaudit.yaml" in run.stderr
    assert json.loads(run.stdout)["scope"] == ["manifests"]


@pytest.mark.parametrize("flags", [("endpoint",), ("endpoint,load", "--load", "smoke")], ids=["look", "load"])
def test_an_endpoint_that_is_down_is_incomplete_and_reported(
    flags: tuple[str, ...], silent_port: int, tmp_path: Path
) -> None:
    url = f"http://127.0.0.1:{silent_port}"
    run = inferaudit("run", "--url", url, "-o", f"json={tmp_path}/r.json", "--scope", *flags)
    assert run.returncode == 3, run.stderr
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["coverage"]["denied"]
    assert any("refused" in reason or "connect" in reason for reason in report["reasons"])


def test_a_certificate_that_does_not_verify_is_incomplete(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "90", "-subj", "/CN=localhost",
         "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Slow)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"https://localhost:{server.server_address[1]}"
    try:
        run = inferaudit("run", "--url", url, "--scope", "endpoint", "-o", f"json={tmp_path}/r.json")
        assert run.returncode == 3, run.stderr
        report = json.loads((tmp_path / "r.json").read_text())
        assert any("--ca FILE" in reason for reason in report["reasons"])
        bench = [
            "bench",
            url,
            "--api",
            "openai-chat",
            "--model",
            "m",
            "--requests",
            2,
            "--concurrency",
            1,
            "--warmup",
            0,
        ]
        assert inferaudit(*bench).returncode == 3
        trusted = inferaudit(*bench, "--ca", certificate)
        assert trusted.returncode == 0, trusted.stdout + trusted.stderr
    finally:
        server.shutdown()
        server.server_close()


def test_a_name_that_does_not_resolve_is_incomplete_and_no_fault_of_the_service(tmp_path: Path) -> None:
    run = inferaudit("run", "--url", "http://chat.invalid", "--scope", "endpoint", "-o", f"json={tmp_path}/r.json")
    assert run.returncode == 3, run.stderr
    assert json.loads((tmp_path / "r.json").read_text())["summary"]["fail"] == 0


class _Slow(http.server.BaseHTTPRequestHandler):
    """An OpenAI-compatible endpoint that takes its time."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def _say(self, body: bytes, kind: str = "application/json") -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self._say(b'{"object":"list","data":[{"id":"m","object":"model","created":1,"owned_by":"x"}]}')

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        time.sleep(0.02)
        if not asked.get("stream"):
            message = {"index": 0, "message": {"role": "assistant", "content": "a"}, "finish_reason": "stop"}
            usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
            answer = {
                "id": "c",
                "object": "chat.completion",
                "created": 1,
                "model": "m",
                "choices": [message],
                "usage": usage,
            }
            self._say(json.dumps(answer).encode())
            return

        def event(choices: list[object], **more: object) -> bytes:
            chunk = {
                "id": "c",
                "object": "chat.completion.chunk",
                "created": 1,
                "model": "m",
                "choices": choices,
                **more,
            }
            return b"data: " + json.dumps(chunk).encode() + b"\n\n"

        tokens = [event([{"index": 0, "delta": {"content": " a"}, "finish_reason": None}]) for _ in range(4)]
        end = [
            event([{"index": 0, "delta": {}, "finish_reason": "length"}]),
            event([], usage={"prompt_tokens": 1, "completion_tokens": 4, "total_tokens": 5}),
            b"data: [DONE]\n\n",
        ]
        self._say(b"".join([*tokens, *end]), "text/event-stream")


@pytest.fixture
def endpoint() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Slow)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_a_healthy_endpoint_that_meets_its_slo_is_go_for_what_was_asked(endpoint: str, tmp_path: Path) -> None:
    flags = ["--url", endpoint, "--load", "sla", "--slo", "ttft_p99=5s", "--scope", "endpoint,load"]
    run = inferaudit("run", *flags, "-o", f"json={tmp_path}/r.json", "-o", "terminal")
    assert run.returncode == 0, run.stdout[:3000]
    assert run.stdout.startswith("This verdict covers endpoint, load; it does not cover cluster, gpu, metrics.")
    (row,) = [o for o in json.loads((tmp_path / "r.json").read_text())["sla"]["objectives"] if o["target"]]
    assert row["outcome"] == "pass"
    assert row["samples"] >= 368  # fewer have no upper bound of a P99
    whole = inferaudit("run", *flags[:2], "--load", "smoke", *flags[4:6], "-o", "json")
    assert (whole.returncode, json.loads(whole.stdout)["verdict"]) == (3, "INCOMPLETE")
    broken = inferaudit(
        "run", *flags[:2], "--load", "sla", "--slo", "ttft_p99=1ms", "--scope", "endpoint,load", "-o", "json"
    )
    assert (broken.returncode, json.loads(broken.stdout)["verdict"]) == (1, "NO_GO")


@pytest.mark.parametrize(
    ("load", "said"),
    [("dataset: nowhere.jsonl", "cannot read nowhere.jsonl"), ("limits: {tokens: 100}", "limits.tokens"),
     ("workers: 0", "--workers")],
)  # fmt: skip
def test_load_that_cannot_be_run_is_refused_before_anything_is_asked(tmp_path: Path, load: str, said: str) -> None:
    (tmp_path / "p.yaml").write_text(
        f"target: {{url: 'http://127.0.0.1:1', api: openai-chat}}\nscope: [load]\nload: {{profile: smoke, {load}}}\n"
    )
    run = inferaudit("run", "-f", str(tmp_path / "p.yaml"))
    assert (run.returncode, run.stdout) == (2, "")
    assert said in run.stderr
    assert "connecting to" not in run.stderr


def test_credentials_in_a_url_are_refused_before_the_load_is_announced() -> None:
    run = inferaudit("run", "--url", "http://ann:s3cret@127.0.0.1:1", "--load", "smoke", "--scope", "load")
    assert (run.returncode, "s3cret" in run.stderr + run.stdout) == (2, False)
    assert "credentials" in run.stderr


def test_ctrl_c_during_the_load_keeps_what_was_measured(endpoint: str, tmp_path: Path) -> None:
    policy = tmp_path / "p.yaml"
    policy.write_text("load: {profile: sla, concurrency: 2, duration: 60s}\nslo: {ttft_p99: 5s}\n")
    run = subprocess.Popen(
        [sys.executable, "-m", "inferaudit.cli.app", "run", "-f", str(policy), "--url", endpoint,
         "--scope", "endpoint,load",
         "-o", f"json={tmp_path}/r.json", "--snapshot", str(tmp_path / "s")],
        stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=QUIET,
    )  # fmt: skip
    assert run.stderr is not None
    for line in run.stderr:
        if "load: profile" in line:
            break
    time.sleep(2)
    run.send_signal(signal.SIGINT)
    _, said = run.communicate(timeout=60)
    assert run.returncode == 130, said
    assert "Traceback" not in said
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["interrupted"]
    assert report["verdict"] != "GO"
    assert any(f["check"].startswith("endpoint-") and f["outcome"] == "pass" for f in report["findings"])
    assert (tmp_path / "s").exists()


def test_a_closed_pipe_is_silent() -> None:
    run = subprocess.Popen(
        [sys.executable, "-m", "inferaudit.cli.app", "checks", "list"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=QUIET,
    )  # fmt: skip
    assert run.stdout is not None
    assert run.stderr is not None
    run.stdout.close()
    said = run.stderr.read()
    run.stderr.close()
    run.wait(timeout=60)
    assert said == ""  # whoever closed the pipe has seen enough; nobody is told of a broken pipe


def test_checks_show_list_and_test(tmp_path: Path) -> None:
    assert "workload-gpu-limit" in inferaudit("checks", "list").stdout
    assert "## What to do" in inferaudit("checks", "show", "workload-gpu-limit").stdout
    assert json.loads(inferaudit("checks", "show", "workload-gpu-limit", "-o", "json").stdout)["severity"] == "critical"
    mine = tmp_path / "checks" / "mine"
    mine.mkdir(parents=True)
    (mine / "headless.yaml").write_text(
        "title: t\nseverity: low\nfor_each: service.services\nassert: object.spec.clusterIP == 'None'\n"
        "message: m\nrationale: r\nremediation: r.\n"
    )
    cases = tmp_path / "tests" / "checks" / "mine-headless"
    cases.mkdir(parents=True)
    (cases / "pass-none.yaml").write_text("facts: {service.services: [{spec: {clusterIP: None}}]}\n")
    assert "1 cases, 0 problems" in inferaudit("checks", "test", "--checks", tmp_path / "checks").stdout
    (cases / "fail-other.yaml").write_text("facts: {service.services: [{spec: {clusterIP: None}}]}\n")
    run = inferaudit("checks", "test", "--checks", tmp_path / "checks")
    assert run.returncode == 1
    assert "expected fail, got pass" in run.stdout


def test_the_calculators_reproduce_the_sources_figures(tmp_path: Path) -> None:
    for hourly, gpus, rate, per_request, per_million, monthly in (
        (1.01, 2, 500, "0.000001", "1.12", "1475"),
        (3.67, 4, 10, "0.000408", "407.78", "10716"),
        (1.10, 4, 10, "0.000122", "122.22", "3212"),
    ):
        said = json.loads(inferaudit("cost", "--hourly", hourly, "--gpus", gpus, "--rate", rate, "-o", "json").stdout)
        assert f"{said['per_request_usd']:.6f}" == per_request
        assert f"{said['per_million_usd']:.2f}" == per_million
        assert f"{said['monthly_usd']:.0f}" == monthly
    flags = ["--baseline", 0.1, "--lift", 0.01]
    relative = json.loads(inferaudit("sample-size", *flags, "--relative", "-o", "json").stdout)
    absolute = json.loads(inferaudit("sample-size", *flags, "--absolute", "-o", "json").stdout)
    assert 1_400_000 < relative["per_arm"] < 1_430_000
    assert absolute["per_arm"] < 20_000


def test_init_writes_a_policy_that_is_read_back(tmp_path: Path) -> None:
    run = inferaudit("init", "--manifests", DEMO, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert 'workload: "deployment/chat"' in (tmp_path / "inferaudit.yaml").read_text()
    assert "ttft_p99" in (tmp_path / "inferaudit.yaml").read_text()
    assert inferaudit("init", cwd=tmp_path).returncode == 2
    run = inferaudit("run", "--manifests", DEMO, "--scope", "manifests", "-o", "json", cwd=tmp_path)
    assert run.returncode == 1, run.stderr
