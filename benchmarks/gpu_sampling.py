"""What does watching GPUs cost? The sampler over eight stand-in GPUs, at 1 Hz, at 10 Hz, and as an audit runs it.

    python benchmarks/gpu_sampling.py [--seconds 20] [--gpus 8]

Our code and pynvml are unchanged; below them the stand-in library answers at once, so that what is weighed is ours:
the time a real driver needs for an answer comes on top, and is spent in the kernel. CPU is that of the sampler's
process, all threads, from before the start to after the stop, less what the same process takes while it does nothing.
The last pace has the watch for XIDs beside it, as an audit under load does.
Bound: under 1 % of one core at 1 Hz. Exit 1 when it breaks, or when moments were missed.
"""

import argparse
import sys
import tempfile
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from load_common import BenchmarkError, fail, machine, table
from support.nvml import gpu, nvml_in_process, script

from inferaudit.collect.nvml_sampler import COLUMNS, GpuSampler
from inferaudit.collect.nvml_watch import XidWatcher
from inferaudit.facts.gpu import GpuSamples

BOUND_PERCENT = 1.0
PACES = ((1.0, False), (0.1, False), (0.1, True))
"""Seconds between moments, and whether XIDs are watched meanwhile."""


@dataclass(frozen=True)
class Run:
    samples: GpuSamples
    cpu_s: float
    wall_s: float

    @property
    def moments(self) -> int:
        return len(self.samples.t_ns) // len(self.samples.uuids)


def idle(seconds: float) -> float:
    """CPU seconds a second of a process of the same shape that samples nothing."""
    before = time.process_time()
    time.sleep(seconds)
    return (time.process_time() - before) / seconds


def measure(interval_s: float, seconds: float, *, xids: bool = False) -> Run:
    before, started = time.process_time(), time.monotonic()
    sampler = GpuSampler(interval_s=interval_s)
    sampler.start()
    with XidWatcher() if xids else nullcontext():
        time.sleep(seconds)
    fact = sampler.stop()
    cpu_s, wall_s = time.process_time() - before, time.monotonic() - started
    if fact.error is not None:
        raise BenchmarkError(fact.error.reason)
    return Run(fact.value, cpu_s, wall_s)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--gpus", type=int, default=8)
    options = parser.parse_args()
    where = machine()
    rows: list[list[str]] = []
    verdicts: list[tuple[bool, str]] = []
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            nvml_in_process(Path(folder), script(*(gpu(number) for number in range(options.gpus)))),
        ):
            measure(1.0, 0.2, xids=True)  # pynvml is imported and the library opened: once a process, not once a sample
            rest = idle(2.0)
            for interval_s, xids in PACES:
                run = measure(interval_s, options.seconds, xids=xids)
                cpu_s = max(run.cpu_s - rest * run.wall_s, 0.0)
                readings = len(run.samples.t_ns) * (len(COLUMNS) - 2)
                wanted = int(options.seconds / interval_s)
                share = 100 * cpu_s / run.wall_s
                rate = f"{1 / interval_s:g} Hz{' and XIDs' if xids else ''}"
                row = [rate, f"{options.gpus}", f"{run.moments} of {wanted}", f"{readings}", f"{cpu_s * 1e3:.0f}"]
                rows.append([*row, f"{cpu_s / readings * 1e6:.0f}", f"{share:.2f}"])
                verdicts.append((run.moments >= 0.9 * wanted, f"{rate}: {run.moments} of {wanted} moments were read"))
                if interval_s == PACES[0][0]:
                    verdicts.append((share < BOUND_PERCENT, f"{rate}: {share:.2f} % of one core, bound 1 %"))
    except (BenchmarkError, RuntimeError) as error:
        return fail(error)
    header = "pace,GPUs,moments,readings,CPU ms,CPU µs/reading,% of one core"
    print(f"{where}\n\n{table(header.split(','), rows)}\n")
    for met, what in verdicts:
        print(f"- {'PASS' if met else 'FAIL'}: {what}")
    return 0 if all(met for met, _ in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
