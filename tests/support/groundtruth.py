"""Builds, starts and reads the server whose true latencies are known (`benchmarks/groundtruth/server.c`)."""

import hashlib
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "benchmarks" / "groundtruth" / "server.c"
CACHE = Path(__file__).parents[2] / ".cache" / "groundtruth"
MAGIC = b"IATRUTH1"
SLOW, CUT, NO_STAMP = 1, 2, 4
_RECORD = struct.Struct("<qqqIIII")


class NoGroundTruthError(RuntimeError):
    """The ground-truth server cannot be built or started here; the message says why in one line."""


@dataclass(frozen=True)
class TrueRequest:
    """What the server did for one request: CLOCK_REALTIME nanoseconds; `tokens` holds when each was handed over."""

    arrival: int
    first_byte: int
    end: int
    port: int
    number: int
    flags: int
    tokens: tuple[int, ...]

    @property
    def complete(self) -> bool:
        return not self.flags & CUT

    @property
    def slow(self) -> bool:
        return bool(self.flags & SLOW)

    @property
    def stamped(self) -> bool:
        return not self.flags & NO_STAMP


@dataclass(frozen=True)
class Truth:
    """All requests in order of arrival, and the latencies of the complete ones, in nanoseconds."""

    requests: tuple[TrueRequest, ...]

    @property
    def complete(self) -> list[TrueRequest]:
        return [r for r in self.requests if r.complete]

    @property
    def ttft(self) -> list[int]:
        return [r.tokens[0] - r.arrival for r in self.complete if r.tokens]

    @property
    def e2e(self) -> list[int]:
        return [r.end - r.arrival for r in self.complete]

    @property
    def itl(self) -> list[int]:
        return [b - a for r in self.complete for a, b in zip(r.tokens, r.tokens[1:], strict=False)]


@dataclass
class GroundTruth:
    """A running server; `truth()` may be asked once it is stopped."""

    port: int
    process: "subprocess.Popen[str]"
    truth_file: Path
    _truth: Truth | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        if self.process.stdout:
            self.process.stdout.close()

    def truth(self) -> Truth:
        if self.process.poll() is None:
            raise RuntimeError("the truth is written when the server stops")
        if self._truth is None:
            self._truth = read_truth(self.truth_file.read_bytes())
        return self._truth


def build() -> Path:
    """The server's binary, compiled once for each version of its source."""
    if not sys.platform.startswith("linux"):
        raise NoGroundTruthError("the ground-truth server needs Linux (epoll, SO_TIMESTAMPNS)")
    binary = CACHE / hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:16] / "server"
    if binary.exists():
        return binary
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        raise NoGroundTruthError("no C compiler: install gcc or clang, or set CC")
    binary.parent.mkdir(parents=True, exist_ok=True)
    fresh = binary.with_name(f"server.{os.getpid()}")
    done = subprocess.run(
        [compiler, "-O2", "-Wall", "-Wextra", "-Wshadow", "-Werror", "-o", str(fresh), str(SOURCE)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode:
        raise NoGroundTruthError(f"{compiler} failed: {(done.stderr.splitlines() or ['?'])[0]}")
    fresh.replace(binary)  # atomic: two test processes may build at once
    return binary


@contextmanager
def start(mode: str = "stream", **options: int | float) -> Iterator[GroundTruth]:
    """Runs the server until the block ends.

    Options, underscores for dashes: `port ttft_us itl_us tokens slow_every slow_factor role usage delay_us
    stall_at_ms stall_ms cpu backlog`. The stall counts from the arrival of the first request.
    """
    with tempfile.TemporaryDirectory(prefix="groundtruth-") as folder:
        truth_file = Path(folder) / "truth"
        flags = [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", str(value))]
        process = subprocess.Popen(
            [str(build()), "--mode", mode, "--truth", str(truth_file), *flags], stdout=subprocess.PIPE, text=True
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line.strip().isdigit():
                raise NoGroundTruthError(f"the ground-truth server did not start (exit {process.wait(5)})")
            server = GroundTruth(int(line), process, truth_file)
            yield server
            server.stop()
            server.truth()  # read before its folder goes
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            if process.stdout:
                process.stdout.close()


def read_truth(data: bytes) -> Truth:
    """Decodes a truth file; the layout stands at the top of `server.c`."""
    if not data.startswith(MAGIC):
        raise ValueError("this is no truth file")
    at, requests = len(MAGIC), []
    while at < len(data):
        arrival, first, end, port, flags, count, number = _RECORD.unpack_from(data, at)
        at += _RECORD.size
        tokens = struct.unpack_from(f"<{count}q", data, at)
        at += 8 * count
        requests.append(TrueRequest(arrival, first, end, port, number, flags, tokens))
    return Truth(tuple(requests))
