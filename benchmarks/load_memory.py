"""Does a long load test stay small?

    python benchmarks/load_memory.py [--streams 1000] [--minutes 10] [--workers 1]

A closed loop against the ground-truth server (first token after 200 ms, 99 more 20 ms apart), and the resident memory
of the client and its children, minute by minute, the decoding after the last answer included. Bounds: at most 250 MB
up to 1 000 streams, and flat: the last fifth of the load takes at most 5 % or 10 MB more than the second fifth
(the first fills the backlog, which is bounded). Exit 1 when a bound breaks.
"""

import argparse
import sys
from collections.abc import Sequence

from load_common import BenchmarkError, cores, fail, inferaudit, machine, table
from support import groundtruth

TOKENS, MOST_MB, GROWTH, GROWTH_MB = 100, 250.0, 0.05, 10.0
_AFTER_S = 3_600  # for decoding what was kept, on a busy machine too


def high(memory: Sequence[tuple[float, float]], start: float, end: float) -> float | None:
    """The most memory between two times, MB."""
    return max((mb for at, mb in memory if start <= at < end), default=None)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=1_000)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    where, seconds = machine(), options.minutes * 60
    flags: list[str | int] = ["--api", "openai-chat", "--stream", "--concurrency", options.streams]
    flags += ["--duration", f"{seconds:g}s", "--output-tokens", TOKENS, "--workers", options.workers]
    try:
        with groundtruth.start("stream", ttft_us=200_000, itl_us=20_000, tokens=TOKENS, cpu=int(cores(0))) as server:
            found, cost = inferaudit(server.url, *flags, cpus=cores(1, options.workers), limit_s=seconds + _AFTER_S)
    except (BenchmarkError, groundtruth.NoGroundTruthError) as error:
        return fail(error)
    step = min(60.0, seconds / 5)
    rows = []
    for number in range(int(seconds / step)):
        seen = high(cost.memory, number * step, (number + 1) * step)
        rows.append(
            [f"{number * step / 60:g} – {(number + 1) * step / 60:g}", "none" if seen is None else f"{seen:.0f}"]
        )
    after = high(cost.memory, seconds, float("inf"))
    rows.append(["decoding, report", "none" if after is None else f"{after:.0f}"])
    print(f"{where}\n\n{table(['minutes', 'most memory, MB'], rows)}\n")
    requests, tokens = found["requests"], found["tokens"]["output"] or 0
    took = f"{cost.wall_s:.0f} s, {cost.cpu_s:.0f} s of CPU"
    print(f"{options.streams} streams: {requests['ok']} of {requests['sent']} requests, {tokens:,} tokens, {took}")
    early, late = high(cost.memory, seconds / 5, 2 * seconds / 5), high(cost.memory, 4 * seconds / 5, seconds)
    good = requests["ok"] > 0 and requests["failed"] == 0 and early is not None and late is not None
    if good and early is not None and late is not None:
        flat = late - early <= max(GROWTH * early, GROWTH_MB)
        small = cost.peak_mb <= MOST_MB or options.streams > 1_000
        print(f"- {'PASS' if flat else 'FAIL'}: flat: {early:.0f} MB in the second fifth, {late:.0f} MB in the last")
        bound = f"≤ {MOST_MB:.0f} MB" if options.streams <= 1_000 else "no bound"
        print(f"- {'PASS' if small else 'FAIL'}: peak {cost.peak_mb:.0f} MB ({bound})")
        good = flat and small
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
