import re
from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, unknown

_METRIC = re.compile(r"add (DCGM_\w+) to its counters file")


@check(
    title="The exporter tells what the driver would",
    severity=Severity.CRITICAL,
    needs=("nvml.gpus",),
    remediation=(
        "Add the named metrics to the exporter's counters file (`DCGM_EXPORTER_COLLECTORS`), or let the driver itself "
        "be asked: `--gpus local` on the node, or `--gpus pods`."
    ),
    references=("https://github.com/NVIDIA/dcgm-exporter#changing-metrics",),
    tags=("never-passes", "never-fails"),
)
def exporter_fields(snapshot: Snapshot) -> Iterator[Judgement]:
    """A DCGM exporter prints what its counters file lists: by default neither ECC counters nor fabric nor throttling.

    What it leaves out is unknown, and some of it (processes, compute mode, single links) no exporter tells. One finding
    for each node that an exporter alone spoke for explains all of those.
    """
    gpus = [gpu for gpu in snapshot.fact("nvml.gpus") if gpu.sources == ("DCGM",)]
    for node in sorted({gpu.node for gpu in gpus}):
        untold = {name: why for gpu in gpus if gpu.node == node for name, why in gpu.untold.items()}
        metrics = sorted({found[1] for why in untold.values() if (found := _METRIC.search(why))})
        never = sorted(name for name, why in untold.items() if not _METRIC.search(why))
        said = f"an exporter alone spoke for it, and {len(untold)} fields are not told"
        if metrics:
            shown = ", ".join(metrics[:12]) + (f" and {len(metrics) - 12} more" if len(metrics) > 12 else "")
            said += f"; not in its counters file: {shown}"
        yield unknown(f"node/{node}", said, Evidence("nvml.gpus.reasons", {"add": metrics, "other": never}, "all told"))
