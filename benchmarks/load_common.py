"""What the load benchmarks share: running a tool and weighing it, and printing a Markdown table."""

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import timeit
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]  # the ground-truth server is shared with the tests

LIMIT_S = 300


class BenchmarkError(RuntimeError):
    """A tool is missing or failed; one line."""


@dataclass(frozen=True)
class Cost:
    """What a command and all its children took: CPU seconds, wall seconds, and memory of all together in MB.

    `memory` holds (seconds since the start, MB), five times a second.
    """

    cpu_s: float
    wall_s: float
    peak_mb: float
    output: str
    memory: tuple[tuple[float, float], ...] = ()


def cores(first: int, count: int = 1) -> str:
    """A CPU list for taskset: `count` cores from `first`, wrapped around the machine's."""
    have = sorted(os.sched_getaffinity(0))
    return ",".join(str(have[(first + i) % len(have)]) for i in range(count))


def pinned(
    command: Sequence[str | Path], cpus: str | None, fine: Sequence[int] = (0,), limit_s: float = LIMIT_S
) -> Cost:
    """Runs a command on these cores to its end and weighs it. BenchmarkError when missing or its code is not fine."""
    line = [str(part) for part in command]
    if shutil.which(line[0]) is None:
        raise BenchmarkError(f"{line[0]} is not installed")
    if cpus is not None:
        line = ["taskset", "-c", cpus, *line]
    before, started = os.times(), time.monotonic()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(line, stdout=output, stderr=subprocess.STDOUT, cwd=tempfile.gettempdir())
        weigher = _Weigher(process.pid)
        weigher.start()
        try:
            code = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise BenchmarkError(f"{command[0]} took more than {limit_s:g} s") from None
        finally:
            weigher.done.set()
            weigher.join()
        after, wall = os.times(), time.monotonic() - started
        output.seek(0)
        text = output.read()
    if code not in fine:
        raise BenchmarkError(f"{command[0]} ended with {code}: {(text.strip().splitlines() or ['nothing said'])[-1]}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Cost(cpu, wall, weigher.peak_mb, text, tuple(weigher.samples))


def inferaudit(url: str, *flags: str | int, cpus: str | None, limit_s: float = LIMIT_S) -> tuple[dict[str, Any], Cost]:
    """`inferaudit bench` against a server of ours: the benchmark of its JSON, and what it cost."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.json"
        program = Path(sys.executable).with_name("inferaudit")
        command = [program, "bench", url, "--model", "truth", "--warmup", 0, "--timeout", "60s", "--yes", *flags]
        # 3: it says that it was itself the limit. The row shows that; its figures are held against the truth anyway.
        cost = pinned([str(part) for part in [*command, "-o", f"json={path}"]], cpus, fine=(0, 3), limit_s=limit_s)
        return json.loads(path.read_text())["benchmark"], cost


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def machine() -> str:
    """Where this ran. The loop says how fast Python is: builds of it differ, and so do minutes on a shared host."""
    model = next(
        (line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "?"
    )
    load = _lines("/proc/loadavg")[0].split()[0]
    return (
        f"{len(os.sched_getaffinity(0))} cores ({model}), Linux {platform.release()}, "
        f"Python {platform.python_version()} ({_turn_ns():.0f} ns a turn of a plain loop), "
        f"load average {load} before the run"
    )


def _turn_ns() -> float:
    def turns() -> None:
        total, kept = 0, []
        for number in range(10_000):
            kept.append((number, total))
            total += len(kept) & 3

    return min(timeit.repeat(turns, number=1, repeat=20)) * 1e5


def fail(error: Exception) -> int:
    print(f"{Path(sys.argv[0]).name}: {error}", file=sys.stderr)
    return 2


class _Weigher(threading.Thread):
    """Adds up the resident memory of a process and its descendants, five times a second, and keeps the peak."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid, self.peak_mb, self.done = pid, 0.0, threading.Event()
        self.samples: list[tuple[float, float]] = []

    def run(self) -> None:
        started = time.monotonic()
        while not self.done.wait(0.2):
            parents: dict[int, int] = {}
            pages: dict[int, int] = {}
            for entry in Path("/proc").iterdir():
                if entry.name.isdigit():
                    try:
                        fields = (entry / "stat").read_text().rpartition(")")[2].split()
                    except OSError:  # it ended meanwhile
                        continue
                    parents[int(entry.name)], pages[int(entry.name)] = int(fields[1]), int(fields[21])
            ours = sum(size for pid, size in pages.items() if self._descends(pid, parents))
            megabytes = ours * os.sysconf("SC_PAGESIZE") / 1e6
            self.samples.append((time.monotonic() - started, megabytes))
            self.peak_mb = max(self.peak_mb, megabytes)

    def _descends(self, pid: int, parents: dict[int, int]) -> bool:
        while pid > 1:
            if pid == self.pid:
                return True
            pid = parents.get(pid, 0)
        return False


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()
