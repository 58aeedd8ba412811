"""``inferaudit bench`` as a user has it: options, exit codes, files, Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support import groundtruth
from support.faulty import FaultyServer
from support.replay import Replay

from inferaudit.benchmark import benchmark_section
from inferaudit.case_records import records_from_groups
from inferaudit.cli.bench_verdict import judge
from inferaudit.facts.load import LoadResult, LoadStage
from inferaudit.records import from_npz


def bench(*args: object, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "inferaudit.cli.app", "bench", *map(str, args)]
    environment = {**os.environ, "COLUMNS": "160", "NO_COLOR": "1"}
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=90,
        stdin=subprocess.DEVNULL,
        env=environment,
        check=False,
        **options,
    )


def small(url: str, *more: object) -> tuple[object, ...]:
    return (url, "--model", "m", "--concurrency", 2, "--requests", 10, "--output-tokens", 4, *more)


@pytest.mark.parametrize("url", ["http://a:invented@h.example", "http://a:invented@h:99999/x"])
def test_credentials_in_a_url_are_shown_to_nobody(url: str) -> None:
    ran = bench(url, "--model", "m", "--dry-run")
    assert ran.returncode == 2
    assert "may hold no credentials" in ran.stderr
    assert "invented" not in ran.stdout + ran.stderr


def test_json_and_records_agree(tmp_path: Path) -> None:
    with groundtruth.start("stream", ttft_us=5_000, itl_us=1_000, tokens=4) as server:
        ran = bench(*small(server.url, "--seed", 3, "--records", tmp_path / "r.npz", "-o", f"json={tmp_path}/a.json"))
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == ""
    again = bench("--from", tmp_path / "r.npz", "-o", "json")
    assert again.returncode == 0, again.stderr
    first, second = json.loads((tmp_path / "a.json").read_text()), json.loads(again.stdout)
    assert first["schema"] == "inferaudit.bench/v1"
    assert first["benchmark"].pop("token_records").startswith("sha256:")
    second["benchmark"].pop("token_records")
    assert first == second
    table = from_npz((tmp_path / "r.npz").read_bytes())
    assert len(table) == 10
    assert len(table.tokens) == 40
    assert list(table.tokens[:4]) == sorted(table.tokens[:4])
    assert first["benchmark"]["seed"] == 3


@pytest.mark.parametrize("flag", ["--records", "-o"])
def test_what_cannot_be_written_is_said_before_any_load(tmp_path: Path, flag: str) -> None:
    (tmp_path / "file").write_text("kept")
    (tmp_path / "folder").mkdir()
    places = {"folder": "Is a directory", "file/r": "Not a directory", "n" * 300: "File name too long"}
    with Replay({}) as server:
        for name, reason in places.items():
            ran = bench(*small(server.url, flag, f"{'json=' if flag == '-o' else ''}{tmp_path / name}"))
            assert (ran.returncode, ran.stderr) == (2, f"error: cannot write {tmp_path / name}: {reason}\n")
        assert server.seen == []
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]


def test_a_full_disk_takes_no_more_than_what_was_meant_for_it(tmp_path: Path) -> None:
    kept = tmp_path / "kept.json"
    with groundtruth.start("stream", ttft_us=1_000, itl_us=1_000, tokens=4) as server:
        report = bench(*small(server.url, "-o", "json=/dev/full", "-o", f"json={kept}", "-o", "terminal"))
        records = bench(*small(server.url, "--records", "/dev/full"))
    assert report.returncode == records.returncode == 2
    assert report.stderr.endswith("error: cannot write /dev/full: No space left on device\n")
    assert json.loads(kept.read_text())["benchmark"]["requests"]["ok"] == 10
    assert records.stderr.endswith("error: cannot write /dev/full: the records are lost, the figures are not\n")
    assert "10 ok" in report.stdout
    assert "10 ok" in records.stdout


def test_a_metrics_page_that_is_not_there_is_said() -> None:
    with groundtruth.start("stream", ttft_us=1_000, itl_us=1_000, tokens=4) as server, Replay({}) as other:
        ran = bench(*small(server.url, "--metrics-url", f"{other.url}/metrics"))
    assert ran.returncode == 0, ran.stderr
    assert f"the server's metrics page could not be read: {other.url}/metrics answered 404" in ran.stdout


def test_numpy_reads_the_records_without_us(tmp_path: Path) -> None:
    numpy = pytest.importorskip("numpy", reason="numpy is an optional part of the demo")
    with groundtruth.start("plain") as server:
        assert bench(*small(server.url, "--no-stream", "--records", tmp_path / "r.npz")).returncode in (0, 3)
    with numpy.load(tmp_path / "r.npz") as columns:
        latency = columns["end_ns"] - columns["sent_ns"]
    assert latency.shape == (10,)
    assert (latency > 0).all()


@pytest.mark.parametrize(
    ("slo", "code", "outcome"),
    [
        ("e2e_p50=10s", 0, "pass"),
        ("e2e_p50=1us", 1, "fail"),
        ("e2e_p99=10s", 3, "unknown"),  # ten samples bound no P99
        ("error_rate=50%", 0, "pass"),
        ("throughput=0.001/s", 0, "pass"),
        ("throughput=1000000/s", 1, "fail"),
    ],
)
def test_exit_codes_follow_the_objectives(tmp_path: Path, slo: str, code: int, outcome: str) -> None:
    with groundtruth.start("plain", delay_us=2_000) as server:
        ran = bench(*small(server.url, "--no-stream", "--slo", slo, "-o", f"json={tmp_path}/b.json"))
    assert ran.returncode == code, ran.stderr
    assert [row["outcome"] for row in json.loads((tmp_path / "b.json").read_text())["objectives"]] == [outcome]


def test_nothing_succeeded_is_3_and_no_number_is_zero(tmp_path: Path) -> None:
    with FaultyServer() as server:
        ran = bench(*small(server.url("status_503"), "--slo", "e2e_p99=1s", "-o", f"json={tmp_path}/b.json"))
    found = json.loads((tmp_path / "b.json").read_text())["benchmark"]
    assert ran.returncode == 3
    assert found["errors"]["http_503"]["count"] == 10
    assert found["latency_ms"]["p99"] is found["ttft_ms"]["p50"] is found["request_rate"] is None
    assert found["first_request_ms"] is None


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((), "which endpoint"),
        (("http://127.0.0.1:1", "--rate", "1/s", "--concurrency", "2"), "exclude each other"),
        (("http://127.0.0.1:1", "--api", "nothing"), "known are"),
        (("http://127.0.0.1:1", "--arrival", "never", "--rate", "1"), "known are"),
        (("http://127.0.0.1:1", "--profile", "huge"), "known are"),
        (("http://127.0.0.1:1",), "--model"),
        (("http://127.0.0.1:1", "--model", "m", "--output-tokens", "many"), "--output-tokens"),
        (("http://127.0.0.1:1", "--model", "m", "--dataset", "/no/such/file"), "cannot read"),
        (("http://127.0.0.1:1", "--model", "m", "--requests", "0"), "above 0"),
        (("http://127.0.0.1:1", "--model", "m", "--concurrency", "0"), "above 0"),
        (("http://127.0.0.1:1", "--model", "m", "--warmup", "-1"), "0 or more"),
        (("http://127.0.0.1:1", "--model", "m", "--timeout", "0s"), "above 0"),
        (("http://127.0.0.1:1", "--model", "m", "--slo", "e2e_p99=1s,e2e_p99=2s"), "given twice"),
        (("http://127.0.0.1:1", "--model", "m", "--slo", "e2e_p99=1s,latency_p99=2s"), "are one objective"),
        (("http://127.0.0.1:1", "--model", "m", "--timeout", "1e300"), "24h"),
        (("http://127.0.0.1:1", "--model", "m", "--workers", "AUTO"), "--workers: 'AUTO'"),
        (("http://127.0.0.1:1", "--model", "m", "--profile", "smoke", "--rate", "9/s"), "does not go by --rate"),
        (("http://127.0.0.1:1", "--model", "m", "--profile", "sla", "--concurrency", "0"), "above 0"),
        (("http://127.0.0.1:1", "--model", "m", "--arrival", "trace", "--concurrency", "2"), "--concurrency"),
        (("http://127.0.0.1:1", "--model", "m", "--dry-run", "--dataset", "/no/such/file"), "cannot read"),
        (("http://127.0.0.1:1", "--model", "m", "--until-decided"), "needs --slo"),
        (("http://127.0.0.1:1", "--model", "m", "--arrival", "burst"), "needs --rate"),
        (("http://127.0.0.1:1", "--model", "m", "--rate", "1/s", "--burst", "9"), "--arrival burst only"),
        (("http://127.0.0.1:1", "--model", "m", "--profile", "sla", "--find-knee"), "does not go with --find-knee"),
        (("http://127.0.0.1:1", "--model", "m", "--find-knee", "--requests", "9"), "does not go with --requests"),
        (("http://127.0.0.1:1", "--model", "m", "--api", "tei", "--stream"), "does not stream"),
        (("http://127.0.0.1:1", "--model", "m", "-o", "xml"), "terminal or json"),
        (("http://127.0.0.1:1", "--model", "m", "--rate", "200/s", "--limit-rate", "50/s"), "limits.rate"),
        (("http://192.0.2.1:1", "--model", "m"), "--yes"),
        (("--from", "/no/such/file"), "cannot read"),
        (("http://127.0.0.1:1", "--from", "r.npz"), "sends nothing"),
        (("http://127.0.0.1:1", "--model", "m", "--records", "x.npz", "-o", "json=./x.npz"), "two outputs to"),
        (("http://127.0.0.1:1", "--model", "m", "--header-env", "X"), "NAME=ENVVAR"),
    ],
)
def test_usage_errors_are_one_line_and_2(args: tuple[str, ...], said: str) -> None:
    ran = bench(*args)
    assert ran.returncode == 2, ran.stderr
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_dry_run_sends_nothing() -> None:
    with FaultyServer() as server:
        ran = bench(server.url("ok"), "--model", "m", "--profile", "full", "--rate", "5/s", "--dry-run")
        assert server.connections == 0
    assert ran.returncode == 0
    for stage in ("cold", "warmup", "step-1", "knee", "sustained", "burst", "overload", "mixed", "repeat", "soak"):
        assert stage in ran.stdout


def test_a_dry_run_counts_the_warm_up_and_the_trace(tmp_path: Path) -> None:
    (tmp_path / "trace.csv").write_text("0\n0.5\n2\n")
    ran = bench("http://127.0.0.1:1", "--model", "m", "--arrival", "trace", "--trace", tmp_path / "trace.csv",
                "--warmup", 5, "--dry-run")  # fmt: skip
    assert re.search(r"warmup .* 5 requests, about 960 tokens", ran.stdout)
    assert re.search(r"sustained .* at most 2 s, 3 requests, about 576 tokens", ran.stdout)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_signal_ends_it_with_what_was_measured(
    tmp_path: Path, number: signal.Signals, code: int, workers: int
) -> None:
    with groundtruth.start("plain", delay_us=5_000) as server:
        command = [sys.executable, "-m", "inferaudit.cli.app", "bench", server.url, "--model", "m", "--no-stream",
                   "--concurrency", "4", "--duration", "60s", "--workers", str(workers), "-o",
                   f"json={tmp_path}/b.json"]  # fmt: skip
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
        assert process.stderr is not None
        assert any(re.search(r"\b[1-9]\d* answered", line) for line in process.stderr)  # it is under way
        os.killpg(process.pid, number)  # as a terminal does, and a service manager: its workers get it too
        _, said = process.communicate(timeout=60)
    assert process.returncode == code, said
    found = json.loads((tmp_path / "b.json").read_text())["benchmark"]
    assert found["interrupted"] is True
    assert found["requests"]["ok"] > 0
    assert "Traceback" not in said


def test_the_open_inference_protocol_learns_its_inputs() -> None:
    """The model's metadata says what it takes; the request is built from that."""
    import http.server
    import threading

    bodies: list[Any] = []
    paths: list[str] = []

    class Server(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            return

        def _answer(self, value: Any) -> None:
            content = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_GET(self) -> None:  # the library's name
            inputs = [
                {"name": "x", "datatype": "FP32", "shape": [-1, 4]},
                {"name": "s", "datatype": "BYTES", "shape": [1]},
            ]
            paths.append(self.path)
            self._answer({"name": "double", "inputs": inputs})

        def do_POST(self) -> None:  # the library's name
            bodies.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            output = {"name": "y", "shape": [1], "datatype": "FP32", "data": [1.0]}
            self._answer({"model_name": "double", "outputs": [output]})

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/v2"
        ran = bench(url, "--api", "oip-v2", "--model", "a/double of", "--concurrency", 1, "--requests", 5)
        server.shutdown()
    assert "5 ok" in ran.stdout, ran.stderr
    assert paths == ["/v2/models/a%2Fdouble%20of"]
    assert bodies[0]["inputs"][0] == {"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [0.5] * 4}
    assert bodies[0]["inputs"][1]["data"] == ["text"]


@pytest.mark.parametrize(("every_ms", "e2e_ms", "outcome"), [(52.0, 30.0, "unknown"), (49.0, 30.0, "pass")])
def test_a_service_that_answers_all_that_came_in_breaks_no_rate(every_ms: float, e2e_ms: float, outcome: str) -> None:
    """Arrivals at random are now fewer than the objective and now more; that is no fault of the service."""
    records = records_from_groups({"groups": [{"count": 100, "every_ms": every_ms, "e2e_ms": e2e_ms}]})
    stage = LoadStage(name="sustained", measured=True, rate=20.0, duration_s=5.0)
    result = LoadResult(profile="bench", url="", api="openai-chat", model="m", stream=False, seed=0, run_id="",
                        clock="kernel", stages=(stage,), timeout_s=30.0)  # fmt: skip
    section = benchmark_section(result, records, {"throughput": 20.0})
    assert [row["outcome"] for row in judge(section, {"throughput": 20.0}, result, records)] == [outcome]
