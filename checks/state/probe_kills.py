from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed
from inferaudit.pod_state import killed_by_probe
from inferaudit.probe_timing import startup_budget


@check(
    title="No probe kills the server",
    severity=Severity.HIGH,
    needs=("workload", "workload.containers", "workload.events"),
    remediation=(
        "Give the startupProbe a longer budget, or make the livenessProbe more patient, by the probe that is named."
    ),
    references=("https://kubernetes.io/docs/concepts/workloads/pods/probes/",),
)
def probe_kills(snapshot: Snapshot) -> Iterator[Judgement]:
    """The kubelet ends a container whose probe failed too often, whether it was hung or only busy.

    On a model server that is minutes of loading, after which the same load meets it again.
    """
    workload = snapshot.fact("workload")
    events = snapshot.fact("workload.events")
    containers = {c["name"]: c for c in snapshot.fact("workload.containers")}
    found = killed_by_probe(events)
    for (name, probe), pods in sorted(found.items()):
        subject = f"{workload.subject}/{name}"
        budget = startup_budget(containers.get(name) or {})
        short = probe == "startup" and workload.uses_gpu and budget is not None and budget[1] < 300
        cause = ("probes-startup-budget", subject) if short else None
        seen = Evidence("events[Killing]", sorted(set(pods))[:5], "none")
        yield failed(subject, f"killed by its {probe} probe {len(pods)} times", seen, key=probe, cause=cause)
    if not found:
        seen = Evidence("events[Killing]", 0, f"none among {len(events)} events")
        yield passed(workload.subject, "no event tells of a container killed by a probe", seen)
