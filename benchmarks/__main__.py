"""``make bench``: every table of this folder, one after the other; ``python -m benchmarks NAME…`` picks some."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
# These build or install heavy parts (aiperf, guidellm; 100 000 pods) or take ten minutes: by name only.
HEAVY = {"load_cost", "load_memory", "collect_scale"}
NEEDS_GPU = {"on_a_gpu"}
SHARED = {"__main__", "load_common", "random_llama"}


def main() -> int:
    """Run the tables; 1 when any breaks its bound."""
    names = [p.stem for p in sorted(HERE.glob("*.py")) if p.stem not in SHARED]
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(f"python -m benchmarks [NAME…]\n\nWithout names: all but {', '.join(sorted(HEAVY | NEEDS_GPU))}.\n")
        print("\n".join(names))
        return 0
    wanted = sys.argv[1:] or [name for name in names if name not in HEAVY | NEEDS_GPU]
    unknown = sorted(set(wanted) - set(names))
    if unknown:
        print(f"no table is called {unknown[0]}; there are {', '.join(names)}", file=sys.stderr)
        return 2
    broken = 0
    for name in wanted:
        print(f"\n## {name}\n", flush=True)
        broken += subprocess.run([sys.executable, str(HERE / f"{name}.py")], check=False).returncode != 0
    left = sorted(HEAVY - set(wanted))
    if left and not sys.argv[1:]:
        print(f"\nNot run, since they install or build heavy parts or take long: python -m benchmarks {' '.join(left)}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
