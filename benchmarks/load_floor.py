"""What can this machine do at all? The engine beside the barest loop that reads the same streams.

    python benchmarks/load_floor.py [--streams 100,1000]

The bare loop is one epoll, one `recvmsg_into` a token, the kernel's stamp and the bytes put into a list: no framing, no
errors, no open loop, no naps, nothing decoded. What it takes for a token, and how far the ITL it would report is off,
is the floor of the machine at that hour; the engine's figures stand beside it, from a run right after it. A tail of ITL
that the bare loop cannot tell either is the machine's. Nothing is bounded here: exit 0.
"""

import argparse
import gc
import os
import select
import socket
import sys
import time
from contextlib import AbstractContextManager
from itertools import pairwise
from multiprocessing import get_context
from multiprocessing.connection import Connection

from load_common import BenchmarkError, cores, fail, inferaudit, machine, table
from support import groundtruth

from inferaudit.bench.clock import ANCILLARY_BYTES, STAMP, enable_kernel_stamps
from inferaudit.latency import percentile

TOKENS, ROUNDS = 100, 3
BODY = b'{"model":"truth","messages":[{"role":"user","content":"hello"}],"max_tokens":100,"stream":true}'
REQUEST = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: truth\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
)

Row = tuple[float, float, float, float]
"""CPU in µs a token, lag P99, ITL P99 as told, ITL P99 as it was (ms)."""


def bare(port: int, streams: int, requests: int, cpu: int, tell: Connection) -> None:
    """In a process of its own, on one core: (CPU µs a token, lag P99 in ms, ITL P99 in ms)."""
    os.sched_setaffinity(0, {cpu})
    poller, open_ = select.epoll(), {}
    for _ in range(streams):
        sock = socket.create_connection(("127.0.0.1", port))
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        enable_kernel_stamps(sock)
        poller.register(sock.fileno(), select.EPOLLIN)
        open_[sock.fileno()] = (sock, [])
    buffer = bytearray(262_144)
    view, lags, gaps, unpack = memoryview(buffer), [], [], STAMP.unpack
    sent = done = 0
    gc.disable()
    before = time.thread_time()
    for sock, _ in open_.values():
        sent += sock.send(REQUEST) > 0
    while done < requests:
        for fd, _ in poller.poll(1.0):
            sock, reads = open_[fd]
            size, ancillary, _, _ = sock.recvmsg_into([buffer], ANCILLARY_BYTES)
            now = time.time_ns()
            seconds, stamp = unpack(ancillary[0][2]) if ancillary else (0, now)
            stamp += seconds * 1_000_000_000
            lags.append(now - stamp)
            data = bytes(view[:size])
            reads.append((stamp, data))
            if data.endswith(b"0\r\n\r\n"):
                done += 1
                gaps.append([at for at, _ in reads])
                reads.clear()
                if sent < requests:
                    sent += sock.send(REQUEST) > 0
    cpu_s = time.thread_time() - before
    itl = sorted(b - a for stamps in gaps for a, b in pairwise(stamps))
    tell.send((cpu_s / (requests * TOKENS) * 1e6, _ms(percentile(sorted(lags), 99)), _ms(percentile(itl, 99))))


def bare_loop(streams: int) -> Row:
    with _server() as server:
        here, there = get_context("spawn").Pipe()
        process = get_context("spawn").Process(
            target=bare, args=(server.port, streams, ROUNDS * streams, int(cores(1)), there)
        )
        process.start()
        if not here.poll(120):
            process.kill()
            raise BenchmarkError("the bare loop did not end")
        cpu, lag, itl = here.recv()
        process.join()
    return cpu, lag, itl, _ms(percentile(sorted(server.truth().itl), 99))


def engine(streams: int) -> Row:
    flags: list[str | int] = ["--api", "openai-chat", "--stream", "--concurrency", streams, "--workers", 1]
    flags += ["--requests", ROUNDS * streams, "--output-tokens", TOKENS]
    with _server() as server:
        found, _ = inferaudit(server.url, *flags, cpus=cores(1))
    client = found["client"]
    used = client["cpu_share"] * sum(stage["duration_s"] or 0 for stage in found["stages"])
    true = _ms(percentile(sorted(server.truth().itl), 99))
    return used / (ROUNDS * streams * TOKENS) * 1e6, client["lag_ms"]["p99"], found["itl_ms"]["p99"], true


def _server() -> AbstractContextManager[groundtruth.GroundTruth]:
    times = {"ttft_us": 200_000, "itl_us": 20_000, "tokens": TOKENS}
    return groundtruth.start("stream", **times, slow_every=50, slow_factor=3, cpu=int(cores(0)))


def _ms(ns: float | None) -> float:
    return float("nan") if ns is None else ns / 1e6


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", default="100,1000")
    options = parser.parse_args()
    print(machine())
    rows = []
    try:
        for streams in (int(text) for text in options.streams.split(",")):
            for name, run in (("bare loop", bare_loop), ("engine", engine)):
                rows.append([streams, name, *(f"{figure:.1f}" for figure in run(streams))])
    except (BenchmarkError, groundtruth.NoGroundTruthError, ValueError) as error:
        return fail(error)
    print(table(["streams", "", "CPU µs a token", "lag P99 ms", "ITL P99 told ms", "true ms"], rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
