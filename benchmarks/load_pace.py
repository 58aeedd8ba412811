"""Are the arrivals of an open loop kept?

    python benchmarks/load_pace.py [--rate 2000] [--seconds 10] [--arrival constant,poisson]

Plain requests that the ground-truth server answers after 1 ms, server and client on a core each. Lateness is counted
twice: as the client says (sent − due), and as the server's kernel saw it (the n-th arrival − the n-th due time), which
the client cannot gloss over. Bound: both at most 1 ms at P99. Exit 1 when it breaks. The first row is a timer that
does nothing at its ticks: what it is late by is the machine's, and nobody can keep a schedule better there.
"""

import argparse
import os
import select
import sys
import tempfile
import time
from pathlib import Path

from load_common import BenchmarkError, cores, fail, inferaudit, machine, table
from support import groundtruth

from inferaudit.bench.clock import Timer
from inferaudit.latency import percentile
from inferaudit.records import from_npz

BOUND_MS = 1.0


def a_timer_alone(rate: int, seconds: float) -> list[str]:
    """On the client's core, as often as requests would be due."""
    before, timer, late = os.sched_getaffinity(0), Timer(), []
    os.sched_setaffinity(0, {int(cores(1))})
    try:
        with select.epoll() as poller:
            poller.register(timer.fd, select.EPOLLIN)
            start = time.monotonic_ns()
            for tick in range(1, int(rate * seconds) + 1):
                due = start + tick * 1_000_000_000 // rate
                timer.arm(due)
                poller.poll(1.0)
                timer.clear()
                late.append(time.monotonic_ns() - due)
    finally:
        timer.close()
        os.sched_setaffinity(0, before)
    told = ["none" if (found := percentile(sorted(late), p)) is None else f"{found / 1e6:.3f}" for p in (50, 99)]
    return ["a timer alone", f"{rate}", "", *told, "", "", "", "", ""]


def measure(arrival: str, rate: int, seconds: float) -> tuple[list[str], bool]:
    with (
        tempfile.TemporaryDirectory() as folder,
        groundtruth.start("plain", delay_us=1_000, cpu=int(cores(0))) as server,
    ):
        kept = Path(folder) / "records.npz"
        flags: list[str | int] = ["--api", "openai-chat", "--no-stream", "--rate", rate, "--arrival", arrival]
        flags += ["--duration", f"{seconds:g}s", "--output-tokens", 1, "--workers", 1, "--records", str(kept)]
        found, cost = inferaudit(server.url, *flags, cpus=cores(1))
        columns = from_npz(kept.read_bytes()).columns
    arrived = sorted(request.arrival for request in server.truth().requests)
    if len(arrived) != len(columns["scheduled_ns"]):
        raise BenchmarkError(f"{len(columns['scheduled_ns'])} requests in the records, {len(arrived)} at the server")
    told = sorted(s - d for s, d in zip(columns["sent_ns"], columns["scheduled_ns"], strict=True))
    true = sorted(a - d for a, d in zip(arrived, sorted(columns["scheduled_ns"]), strict=True))
    figures = [percentile(side, p) for side in (told, true) for p in (50, 99)]
    if None in figures:
        raise BenchmarkError("no request was sent")
    late = [f"{(figure or 0) / 1e6:.3f}" for figure in figures]
    good = max(figures[1] or 0, figures[3] or 0) <= BOUND_MS * 1e6
    reached = f"{found['request_rate']:,.0f}" if found["request_rate"] else "none"
    limited = "yes" if found["client"]["limited"] else "no"
    return [arrival, f"{rate}", reached, *late, limited, f"{cost.cpu_s:.1f}", "PASS" if good else "FAIL"], good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=2_000)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--arrival", default="constant,poisson")
    options = parser.parse_args()
    where = machine()
    try:
        floor = a_timer_alone(options.rate, options.seconds)
        rows = [measure(arrival, options.rate, options.seconds) for arrival in options.arrival.split(",")]
    except (BenchmarkError, groundtruth.NoGroundTruthError) as error:
        return fail(error)
    header = "arrivals,asked /s,answered /s,told p50 ms,told p99,at the server p50,p99,limited,CPU s,verdict"
    print(f"{where}\n\n{table(header.split(','), [floor, *(row for row, _ in rows)])}")
    return 0 if all(good for _, good in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
