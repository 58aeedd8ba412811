"""How fast is the load engine, and does it stay truthful at full speed?

    python benchmarks/load_speed.py [--seconds 3] [--connections 64] [--rounds 11]

Small JSON answers from the ground-truth server, no delay, server and client on a core each; wrk (Debian package
`wrk`) and inferaudit take short turns against the same server, with the same bytes, many of them: how fast a shared
host is changes from one second to the next. Bounds: at least 80 % of wrk's rate, and a median within 50 µs of the
server's truth while doing so. Exit 1 when a bound breaks.
"""

import argparse
import re
import sys
import tempfile
from pathlib import Path
from statistics import median

from load_common import BenchmarkError, cores, fail, inferaudit, machine, pinned, table
from support import groundtruth

from inferaudit.bench.endpoint import resolve
from inferaudit.bench.protocols import protocol
from inferaudit.bench.requests import builder
from inferaudit.bench.tokens import parse_distribution
from inferaudit.latency import percentile
from inferaudit.plan import HttpAuth

SHARE, MEDIAN_US, WORDS = 0.80, 50.0, "128"


def script(url: str) -> str:
    """wrk's script: it sends, over and over, the bytes of a request that inferaudit sends (wrk adds the length)."""
    build = builder(
        resolve(url, "openai-chat", HttpAuth()),
        protocol("openai-chat"),
        model="truth",
        stream=False,
        headers={},
        run_id="0123456789abcdef",
        seed=1,
        nonce=1,
        lengths=(parse_distribution(WORDS), parse_distribution("1")),
    )
    head, _, body = build(1_000_000).decode().partition("\r\n\r\n")
    lines = ['wrk.method = "POST"', f"wrk.body = [==[{body}]==]"]
    for line in head.split("\r\n")[1:]:
        name, _, value = line.partition(": ")
        if name != "Content-Length":
            lines.append(f'wrk.headers["{name}"] = "{value}"')
    return "\n".join(lines)


def by_wrk(connections: int, seconds: int) -> tuple[float, float, float, float]:
    """Requests a second, wrk's own median, the true one, and CPU a request, the last three in µs."""
    with (
        tempfile.NamedTemporaryFile("w", suffix=".lua") as file,
        groundtruth.start("plain", cpu=int(cores(0))) as server,
    ):
        file.write(script(server.url))
        file.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", file.name]
        cost = pinned([*command, f"{server.url}/v1/chat/completions"], cores(1))
        told = cost.output
    rate, half = re.search(r"Requests/sec:\s*([\d.]+)", told), re.search(r"50%\s*([\d.]+)(us|ms)", told)
    sent = re.search(r"(\d+) requests in", told)
    if not rate or not half or not sent:
        raise BenchmarkError("wrk's output has changed: no rate or median in it")
    half_us = float(half[1]) * (1000 if half[2] == "ms" else 1)
    return float(rate[1]), half_us, true_median_us(server), cost.cpu_s / int(sent[1]) * 1e6


def by_inferaudit(connections: int, seconds: int) -> tuple[float, float, float, float, str, bool]:
    """The same (CPU of the loop, without start-up and report), the clock, and whether the client was limited."""
    with groundtruth.start("plain", cpu=int(cores(0))) as server:
        flags: list[str | int] = [
            "--api",
            "openai-chat",
            "--no-stream",
            "--concurrency",
            connections,
            "--duration",
            f"{seconds}s",
        ]
        flags += ["--input-tokens", WORDS, "--output-tokens", 1, "--workers", 1]
        found, _ = inferaudit(server.url, *flags, cpus=cores(1))
    if found["requests"]["failed"] or found["request_rate"] is None:
        raise BenchmarkError(f"inferaudit: {found['requests']}, {found['errors']}")
    told = found["latency_ms"]["p50"] * 1000
    client, rate = found["client"], found["request_rate"]
    return rate, told, true_median_us(server), client["cpu_share"] / rate * 1e6, found["clock"], client["limited"]


def true_median_us(server: groundtruth.GroundTruth) -> float:
    found = percentile(sorted(server.truth().e2e), 50)
    if found is None:
        raise BenchmarkError("the server saw no request")
    return found / 1000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=11)
    options = parser.parse_args()
    where, rows, good = machine(), [], True
    shares, gaps = [], []
    try:
        for turn in range(1, options.rounds + 1):
            rate, told, true, cpu = by_wrk(options.connections, options.seconds)
            figures = [f"{rate:,.0f}", "", f"{told:.0f}", f"{true:.0f}", f"{told - true:+.0f}", f"{cpu:.1f}"]
            rows.append([turn, "wrk", *figures, "", ""])
            ours, told, true, cpu, clock, limited = by_inferaudit(options.connections, options.seconds)
            shares.append(ours / rate)
            gaps.append(abs(told - true))
            figures = [f"{ours:,.0f}", f"{ours / rate:.0%}", f"{told:.0f}", f"{true:.0f}", f"{told - true:+.0f}"]
            figures.append(f"{cpu:.1f}")
            rows.append([turn, "inferaudit", *figures, clock, "yes" if limited else "no"])
    except (BenchmarkError, groundtruth.NoGroundTruthError) as error:
        return fail(error)
    header = "round,tool,requests/s,of wrk,p50 µs told,p50 µs true,error µs,CPU µs/request,clock,limited"
    print(f"{where}, {Path(__file__).name}\n\n{table(header.split(','), rows)}\n")
    for what, value, met in (
        (f"rate ≥ {SHARE:.0%} of wrk's (median of rounds)", f"{median(shares):.0%}", median(shares) >= SHARE),
        (f"p50 within {MEDIAN_US:.0f} µs of the truth", f"{median(gaps):.0f} µs", median(gaps) <= MEDIAN_US),
    ):
        print(f"- {'PASS' if met else 'FAIL'}: {what}: {value}")
        good &= met
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
