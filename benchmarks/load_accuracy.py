"""Does the load engine report what the server really did?

    python benchmarks/load_accuracy.py [--streams 100,400,1000,2000] [--idle]

Against the ground-truth server: first token after 200 ms (every 50th request 600 ms), then 99 tokens 20 ms apart,
closed loop over loopback, server and client on a core each (two workers for 2 000 streams). Then an open loop of 200
requests/s against a plain server that freezes for a second: its latency must be that of every request that was due
meanwhile. Both sides of every row come from the same run and the same definition of a percentile. Exit 1 when a row
breaks its bound.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from load_common import BenchmarkError, Cost, cores, fail, inferaudit, machine, table
from support import groundtruth

from inferaudit.latency import percentile

TTFT_US, ITL_US, TOKENS, SLOW_EVERY, SLOW_FACTOR = 200_000, 20_000, 100, 50, 3
REQUESTS = {100: 1_000, 400: 2_000, 1_000: 4_000, 2_000: 8_000}
FIGURES = [("TTFT", "ttft_ms", p) for p in (50, 95, 99)] + [("E2E", "latency_ms", p) for p in (50, 95, 99)]


def bound_ms(figure: str, streams: int, truth: float, idle: bool) -> float | None:
    """What the engine promises: 1 % or 1 ms for TTFT and E2E; 5 % or 1 ms for ITL, 15 % at 1 000 on a busy machine."""
    if figure != "ITL":
        return max(0.01 * truth, 1.0)
    if streams > 1_000:
        return None
    return max((0.05 if streams <= 400 or idle else 0.15) * truth, 1.0)


def measure(streams: int, idle: bool) -> Iterator[tuple[list[str], bool]]:
    workers = 2 if streams > 1_000 else 1
    requests = REQUESTS.get(streams, 4 * streams)
    with groundtruth.start(
        "stream",
        ttft_us=TTFT_US,
        itl_us=ITL_US,
        tokens=TOKENS,
        slow_every=SLOW_EVERY,
        slow_factor=SLOW_FACTOR,
        cpu=int(cores(0)),
    ) as server:
        flags: list[str | int] = ["--api", "openai-chat", "--stream", "--concurrency", streams, "--requests", requests]
        found, cost = inferaudit(
            server.url, *flags, "--output-tokens", TOKENS, "--workers", workers, cpus=cores(1, workers)
        )
    real = server.truth()
    figures = [*FIGURES, ("ITL", "itl_ms", 99)]
    yield from compare(f"{streams}", workers, requests, found, real, cost, figures, idle=idle)


def measure_stall() -> Iterator[tuple[list[str], bool]]:
    with groundtruth.start("plain", delay_us=1_000, stall_at_ms=2_000, stall_ms=1_000, cpu=int(cores(0))) as server:
        flags: list[str | int] = ["--api", "openai-chat", "--no-stream", "--rate", 200, "--arrival", "constant"]
        flags += ["--duration", "6s", "--output-tokens", 1, "--workers", 1]
        found, cost = inferaudit(server.url, *flags, cpus=cores(1))
    figures = [("E2E", "latency_ms", p) for p in (50, 90, 95, 99)]
    yield from compare("200/s, stall", 1, 1_200, found, server.truth(), cost, figures, idle=True)


def compare(
    load: str,
    workers: int,
    requests: int,
    found: dict[str, Any],
    truth: groundtruth.Truth,
    cost: Cost,
    figures: Iterable[tuple[str, str, float]],
    *,
    idle: bool,
) -> Iterator[tuple[list[str], bool]]:
    """A row for each figure, and whether it holds."""
    if len(truth.complete) != requests or found["requests"]["ok"] != requests:
        raise BenchmarkError(
            f"{requests} requests asked for, {found['requests']['ok']} reported, {len(truth.complete)} true"
        )
    real = {"TTFT": sorted(truth.ttft), "E2E": sorted(truth.e2e), "ITL": sorted(truth.itl)}
    client = found["client"]
    lag = (client.get("lag_ms") or {}).get("p99")
    for name, key, p in figures:
        exact = percentile(real[name], p)
        told = found[key][f"p{p}"]
        assert exact is not None
        true_ms = exact / 1e6
        bound = bound_ms(name, int(load) if load.isdigit() else 0, true_ms, idle)
        good = told is not None and (bound is None or abs(told - true_ms) <= bound)
        yield (
            [
                load,
                f"{workers}",
                f"{name} p{p}",
                "none" if told is None else f"{told:.2f}",
                f"{true_ms:.2f}",
                "" if told is None else f"{told - true_ms:+.2f}",
                "no bound" if bound is None else f"±{bound:.2f}",
                "–" if bound is None and good else "PASS" if good else "FAIL",
                found["clock"],
                "?" if lag is None else f"{lag:.2f}",
                "yes" if client["limited"] else "no",
                f"{cost.cpu_s:.1f}",
                f"{cost.peak_mb:.0f}",
            ],
            good,
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", default="100,400,1000,2000")
    parser.add_argument("--idle", action="store_true", help="nothing else runs here: ITL within 5 %% at 1 000 as well")
    options = parser.parse_args()
    rows: list[list[str]] = []
    good = True
    where = machine()
    try:
        runs = [measure(int(streams), options.idle) for streams in options.streams.split(",")]
        for row, met in chain(*runs, measure_stall()):
            rows.append(row)
            good &= met
    except (BenchmarkError, groundtruth.NoGroundTruthError) as error:
        return fail(error)
    header = "load,workers,figure,measured ms,true ms,error ms,bound ms,verdict,clock,lag p99 ms,limited,CPU s,MB"
    print(f"{where}\n\n{table(header.split(','), rows)}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
