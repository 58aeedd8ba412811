"""How long the command line takes: `--help`, and an offline `evaluate`, as whole processes; medians in seconds."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
RUNS = 9
BOUNDS = {"inferaudit --help": 0.4, "inferaudit evaluate (a service of 51 objects)": 1.5}


def median_s(command: list[str]) -> float:
    """The median wall time of whole processes, after one that warms the disk's cache."""
    times = []
    for _ in range(RUNS + 1):
        begun = time.perf_counter()
        subprocess.run(command, capture_output=True, check=False)
        times.append(time.perf_counter() - begun)
    return statistics.median(times[1:])


def main() -> int:
    """Print the table; 1 when a bound is broken."""
    base = [sys.executable, "-m", "inferaudit.cli.app"]
    with tempfile.TemporaryDirectory() as folder:
        snapshot, report = Path(folder) / "s", Path(folder) / "r.json"
        service = str(ROOT / "tests" / "fixtures" / "service")
        collect = [*base, "collect", "--manifests", service, "-n", "llm-prod", "--workload", "deployment/chat"]
        subprocess.run([*collect, "--snapshot", str(snapshot)], capture_output=True, check=True)
        commands = {
            "inferaudit --help": [*base, "--help"],
            "inferaudit evaluate (a service of 51 objects)": [*base, "evaluate", str(snapshot), "-o", f"json={report}"],
        }
        print("| command | median s | bound s | |\n|---|---|---|---|")
        broken = 0
        for name, command in commands.items():
            took = median_s(command)
            ok = took <= BOUNDS[name]
            broken += not ok
            print(f"| `{name}` | {took:.2f} | {BOUNDS[name]} | {'PASS' if ok else 'FAIL'} |")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
