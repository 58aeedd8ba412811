"""Does watching GPUs move what the load engine measures?

    python benchmarks/gpu_load_accuracy.py [--streams 100] [--requests 1000] [--rounds 2] [--gpus 8]

`inferaudit run --load` against the ground-truth server, as an audit does it, the load on one core and the server on
another: without GPUs, and with the readings of eight stand-in GPUs ten times a second and the watch for XIDs beside
it, in turns. Every percentile is held against what the server really did, in the same run. With GPUs watched each
figure must lie within 1 % or 1 ms of the truth (ITL 5 % or 1 ms), as load_accuracy.py demands without; where a busy
machine breaks that without GPUs too, within that error. Exit 1 when a figure breaks its bound, or GPUs were read less
often.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from load_common import BenchmarkError, cores, fail, machine, pinned, table
from support import groundtruth
from support.nvml import gpu, nvml_environment, script

from inferaudit.latency import percentile

TTFT_US, ITL_US, TOKENS, SLOW_EVERY, SLOW_FACTOR = 200_000, 20_000, 100, 50, 3
FIGURES = (
    *(("TTFT", "ttft_ms", p) for p in (50, 95, 99)),
    *(("E2E", "latency_ms", p) for p in (50, 95, 99)),
    *(("ITL", "itl_ms", p) for p in (50, 99)),
)
_PACE = 0.8
"""The least share of ten moments a second that must have been read: reading eight GPUs takes part of the time."""


@contextmanager
def environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def policy(streams: int, requests: int) -> str:
    stage = {"name": "sustained", "concurrency": streams, "requests": requests}
    load = {"profile": "own", "output_tokens": str(TOKENS), "timeout": "60s", "profiles": {"own": [stage]}}
    return json.dumps({"load": load})  # JSON is YAML


def measure(streams: int, requests: int, gpus: int) -> tuple[dict[str, float], float]:
    """Figure → measured minus true, in ms, and the moments of GPU readings a second (0 without GPUs)."""
    options = {"ttft_us": TTFT_US, "itl_us": ITL_US, "tokens": TOKENS, "slow_every": SLOW_EVERY}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "inferaudit.yaml").write_text(policy(streams, requests))
        values = nvml_environment(folder, script(*(gpu(number) for number in range(gpus)))) if gpus else {}
        with groundtruth.start("stream", **options, slow_factor=SLOW_FACTOR, cpu=int(cores(0))) as server:
            program, report = Path(sys.executable).with_name("inferaudit"), folder / "report.json"
            with environment(values):
                pinned(
                    [
                        *(str(program), "run", "-f", str(folder / "inferaudit.yaml"), "--url", server.url),
                        *("--api", "openai-chat", "--model", "truth", "--scope", "endpoint,load", "--load", "own"),
                        *("--gpus", "local" if gpus else "off", "--yes", "--no-progress", "-o", f"json={report}"),
                    ],
                    cores(1),
                    fine=(0, 1, 3),
                )
        benchmark = json.loads(report.read_text())["benchmark"]
    if benchmark is None or benchmark["requests"]["ok"] != requests:
        raise BenchmarkError(f"{requests} requests asked for, {benchmark and benchmark['requests']['ok']} served")
    # The audit itself asks before the load begins; those requests are not the load's.
    truth = groundtruth.Truth(tuple(server.truth().complete[-requests:]))
    real = {"TTFT": sorted(truth.ttft), "E2E": sorted(truth.e2e), "ITL": sorted(truth.itl)}
    errors = {f"{name} p{p}": error(benchmark, key, p, real[name]) for name, key, p in FIGURES}
    return errors, pace(benchmark["series"]["gpu"], gpus) if gpus else 0.0


def error(benchmark: dict[str, Any], key: str, p: float, real: list[int]) -> float:
    told, exact = benchmark[key][f"p{p}"], percentile(real, p)
    if told is None or exact is None:
        raise BenchmarkError(f"{key} p{p} was not measured")
    return float(told) - exact / 1e6


def pace(points: list[dict[str, Any]], gpus: int) -> float:
    """Moments a second; BenchmarkError where a point lacks a GPU."""
    if len(points) < 2 or any(len(point["value"]) != gpus for point in points):
        raise BenchmarkError(f"the report's timeline of {gpus} GPUs has {len(points)} points, or one lacks a GPU")
    return (len(points) - 1) / float(points[-1]["t_s"] - points[0]["t_s"])


def bound_ms(figure: str) -> float:
    """1 % or 1 ms, 5 % or 1 ms for ITL, of what the server is set to."""
    name, _, p = figure.partition(" ")
    if name == "ITL":
        return max(0.05 * ITL_US / 1e3, 1.0)
    slow = SLOW_FACTOR if p == "p99" else 1
    return max(0.01 * (TTFT_US * slow / 1e3 + (ITL_US * (TOKENS - 1) / 1e3 if name == "E2E" else 0.0)), 1.0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--gpus", type=int, default=8)
    options = parser.parse_args()
    where, without, watched, paces = machine(), [], [], []
    try:
        for _ in range(options.rounds):
            without.append(measure(options.streams, options.requests, 0)[0])
            errors, moments = measure(options.streams, options.requests, options.gpus)
            watched.append(errors)
            paces.append(moments)
    except (BenchmarkError, groundtruth.NoGroundTruthError) as problem:
        return fail(problem)
    rows, good = [], min(paces) >= 10 * _PACE
    for figure in without[0]:
        plain, seen = (max((each[figure] for each in runs), key=abs) for runs in (without, watched))
        bound = max(bound_ms(figure), abs(plain))
        met = abs(seen) <= bound
        good &= met
        rows.append([figure, f"{plain:+.3f}", f"{seen:+.3f}", f"±{bound:.2f}", "PASS" if met else "FAIL"])
    print(f"{where}\n\n{options.streams} streams, {options.requests} requests, {options.rounds} runs of each, worst:\n")
    print(table(["figure", "error without ms", f"error with {options.gpus} GPUs ms", "bound ms", "verdict"], rows))
    print(f"\n- {'PASS' if min(paces) >= 10 * _PACE else 'FAIL'}: {min(paces):.1f} moments a second were read")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
