from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown
from inferaudit.log_lines import lines_of


@check(
    title="The servers log to standard output",
    severity=Severity.MEDIUM,
    needs=("workload.containers", "workload.logs"),
    remediation=(
        "Let the server log to standard output, and let the auditor read `pods/log` (`inferaudit generate rbac` "
        "prints the optional Role)."
    ),
    references=("https://kubernetes.io/docs/concepts/cluster-administration/logging/",),
)
def log_output(snapshot: Snapshot) -> Iterator[Judgement]:
    """What is written to a file inside the container is gone with it, and no collector ever sees it.

    Without the right to read logs an audit cannot tell a GPU that ran out of memory from a quiet day.
    """
    logs = snapshot.fact("workload.logs")
    for container in snapshot.fact("workload.containers"):
        if not container["serving"]:
            continue
        mine = [sample for sample in logs if sample.container == container["name"]]
        count = len(lines_of(logs, container["name"]))
        seen = Evidence("log", f"{count} lines of {len(mine)} pods", "lines")
        if count:
            yield passed(container["subject"], f"{count} lines of {len(mine)} pods were read", seen)
        elif mine:
            yield failed(container["subject"], "writes nothing to standard output", seen)
        else:
            yield unknown(container["subject"], "no pod of it has a log that could be read", seen)
