"""On a machine with a real GPU, in one call: what its driver tells, what that costs, and a whole audit under load.

    python benchmarks/on_a_gpu.py [--out FOLDER] [--url URL --api API --model M] [--busy] [--seconds 10] [-- OPTIONS]

Prints a table of NVML fields, told or refused, for docs/gpus.md; the pace and the CPU time of the sampler over the real
driver, at 1 and 10 Hz; and runs `inferaudit run --gpus local --load sla` against `--url`, or, without one, against the
demo's llama.cpp server, which computes on the CPU: then `--busy` keeps the first GPU at work beside it with matrix
products (it takes PyTorch in `python3`). OPTIONS go to `inferaudit run`, behind its own (`--slo`, `-f`). Reports go to
`--out` as text, HTML and JSON; read them for host names before they are shown to anybody. Exit 1 when no GPU answered,
a reading broke a rule, or the audit did not end with a verdict.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import pairwise
from pathlib import Path

from load_common import BenchmarkError, fail, machine, table

from inferaudit.collect.gpu import collect_gpus
from inferaudit.collect.nvml_process import GpuWatch
from inferaudit.collect.nvml_readings import READINGS
from inferaudit.collect.nvml_sampler import GpuSampler
from inferaudit.demo_server import demo_server
from inferaudit.facts.gpu import Gpu
from inferaudit.plan import GpuPlan

_BUSY = """
import torch
a = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
while True:
    a @ a
    torch.cuda.synchronize()
"""


def fields(gpus: list[Gpu]) -> list[list[str]]:
    """A row a field: the first GPU's answer, whether all GPUs agree, and why where it is not told."""
    rows = []
    for name in (field for reading in READINGS for field in reading.fields):
        told = [getattr(gpu, name) is not None for gpu in gpus]
        if all(told):
            rows.append([name, "told", ""])
        else:
            silent = gpus[told.index(False)]
            kind = "not supported" if name in silent.unsupported else "refused"
            rows.append([name, kind if not any(told) else f"{kind} by {told.count(False)}", silent.reasons[name]])
    return rows


def cost(interval_s: float, seconds: float) -> list[str]:
    """Pace, CPU time and longest silence of the sampler over the real driver."""
    before, started = time.process_time(), time.monotonic()
    with GpuSampler(interval_s=interval_s) as sampler:
        time.sleep(seconds)
    fact = sampler.stop()
    cpu, wall = time.process_time() - before, time.monotonic() - started
    if fact.error is not None:
        raise BenchmarkError(fact.error.reason)
    stamps = [t for t, gpu in zip(fact.value.t_ns, fact.value.gpu, strict=True) if gpu == fact.value.gpu[0]]
    gaps = [b - a for a, b in pairwise(stamps)]
    row = [f"{1 / interval_s:g} Hz", f"{len(fact.value.uuids)}", f"{len(stamps) / wall:.1f}", f"{100 * cpu / wall:.2f}"]
    return [*row, f"{max(gaps, default=0) / 1e6:.0f}", f"{fact.value.missed}"]


@contextmanager
def busy() -> Iterator[None]:
    process = subprocess.Popen(["python3", "-c", _BUSY], stderr=subprocess.PIPE, text=True)
    try:
        time.sleep(10)  # CUDA's start
        if process.poll() is not None:
            said = (process.stderr.read() if process.stderr else "").strip().splitlines() or ["it said nothing"]
            raise BenchmarkError(f"the GPU could not be kept at work: {said[-1]}")
        yield
    finally:
        process.kill()
        process.wait()


def audit(out: Path, url: str, options: argparse.Namespace) -> tuple[int, str]:
    """(exit code, verdict line) of a whole audit under load; its reports lie in `out`."""
    program = Path(sys.executable).with_name("inferaudit")
    command = [
        *(str(program), "run", "--url", url, "--api", options.api, "--model", options.model, "--gpus", "local"),
        *("--load", "sla", "--scope", "gpu,endpoint,load", "--yes", "--no-progress"),
        *(options.extra or ["--slo", "ttft_p99=5s,e2e_p99=30s"]),
        *("-o", f"terminal={out / 'report.txt'}", "-o", f"html={out / 'report.html'}"),
        *("-o", f"json={out / 'report.json'}"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=420, check=False)
    if done.returncode not in (0, 1, 3) or "Traceback" in done.stderr:
        raise BenchmarkError(
            f"the audit ended with {done.returncode}: {(done.stderr.strip().splitlines() or ['?'])[-1]}"
        )
    return done.returncode, (done.stderr.strip().splitlines() or ["?"])[-1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("on-a-gpu"))
    parser.add_argument("--url")
    parser.add_argument("--api", default="openai-chat")
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--busy", action="store_true")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("extra", nargs="*", help="options of inferaudit run, after --")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    print(machine())
    try:
        facts = collect_gpus(GpuPlan(mode="local"))
        if (error := facts["nvml.gpus"].error) is not None:
            raise BenchmarkError(error.reason)
        gpus, driver = facts["nvml.gpus"].value, facts["nvml.driver"].value
        what = ", ".join(sorted({gpu.product or "?" for gpu in gpus}))
        print(f"{len(gpus)} × {what}, driver {driver.driver_version}, CUDA {driver.cuda_version}\n")
        print(table(["field", "driver", "reason"], fields(gpus)))
        log = facts["gpu.kernel_log"].value[0]
        print(f"\nkernel log: {log.error or f'{log.period}, {len(log.events)} XIDs'}\n")
        rows = [cost(interval_s, options.seconds) for interval_s in (1.0, 0.1)]
        print(table(["pace", "GPUs", "moments/s", "% of one core", "longest gap ms", "missed"], rows))
        with GpuWatch() as watch:
            time.sleep(1.0)
        samples, xids = watch.facts()
        told = samples.error.reason if samples.error else f"{len(samples.value.t_ns)} rows"
        print(f"\nfrom a process of its own: {told}; XIDs: {xids.error.reason if xids.error else xids.value.period}\n")
        with tempfile.TemporaryDirectory() as folder:
            server = nullcontext(options.url) if options.url else demo_server(Path(folder))
            with server as url, busy() if options.busy else nullcontext():
                code, said = audit(options.out, str(url), options)
    except (BenchmarkError, subprocess.TimeoutExpired) as error:
        return fail(error)
    report = json.loads((options.out / "report.json").read_text())
    points = ((report["benchmark"] or {}).get("series") or {}).get("gpu") or []
    print(f"audit: exit {code}, {said}; {len(points)} points of the GPUs' timeline; reports in {options.out}")
    asked = {name for reading in READINGS for name in reading.fields}
    untold = [name for gpu in gpus for name in gpu.untold if name in asked]
    print(f"refused, though not called unsupported: {', '.join(sorted(set(untold))) or 'nothing'}")
    return 0 if points and samples.error is None else 1


if __name__ == "__main__":
    sys.exit(main())
