"""How many of the corpus' single faults an audit finds, and what else it complains about.

    python benchmarks/corpus_recall.py

Each fault of tests/corpus/faults is put alone into the complete, correct service of tests/fixtures/service; the dump
of that cluster is audited as `run --manifests` would. Found = the expected check fails on the expected object. False
alarm = any other check that starts to fail and is not explained by another finding. Prints a Markdown table by area,
and what was overlooked or raised in vain.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from corpus import corpus  # noqa: E402  # tests/ is no package


def main() -> None:
    """Print the table."""
    started = time.perf_counter()
    rows: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])  # faults, found, false alarms
    remarks = []
    with tempfile.TemporaryDirectory(prefix="inferaudit-corpus-") as name:
        folder = Path(name) / "faults"
        folder.mkdir()
        right = [f for f in corpus.audit(corpus.dump(), folder, {}) if corpus.troubling(f)]
        remarks += [f"- the right service: {corpus.describe(finding)}" for finding in right]
        for fault in corpus.faults():
            said = corpus.diagnose(fault, folder)
            row = rows[fault.area]
            row[0] += 1
            row[1] += not said.overlooked
            row[2] += len(said.false_alarms)
            remarks += [f"- {fault.name}: overlooked: {what}" for what in said.overlooked]
            remarks += [f"- {fault.name}: false alarm: {what}" for what in said.false_alarms]
    took = time.perf_counter() - started
    total = [sum(row[i] for row in rows.values()) for i in range(3)]
    print("| area | faults | found | recall | false alarms |\n|---|---:|---:|---:|---:|")
    for area, row in [*sorted(rows.items()), ("**all**", total)]:
        print(f"| {area} | {row[0]} | {row[1]} | {row[1] / row[0]:.1%} | {row[2]} |")
    print(f"\nFindings at medium or above on the right service: {len(right)}.", end=" ")
    print(f"{total[0]} audits with a fault in {took:.1f} s.")
    if remarks:
        print("\n" + "\n".join(remarks))


if __name__ == "__main__":
    main()
