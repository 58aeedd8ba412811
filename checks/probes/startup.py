from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed
from inferaudit.probe_timing import read_probe


@check(
    title="Loading a model is covered by a startup probe",
    severity=Severity.MEDIUM,
    needs=("workload.containers",),
    remediation=(
        "Add a startupProbe on the readiness route with `periodSeconds: 10` and a `failureThreshold` for the load time."
    ),
    references=("https://kubernetes.io/docs/concepts/workloads/pods/probes/#startup-probe",),
)
def startup(snapshot: Snapshot) -> Iterator[Judgement]:
    """Loading weights takes minutes, a hung server should be noticed in seconds: one probe cannot do both.

    A startup probe holds the others back until the first success.
    """
    for container in snapshot.fact("workload.containers"):
        if not container["serving"]:
            continue
        start, live = read_probe(container, "startupProbe"), read_probe(container, "livenessProbe")
        seen = Evidence("startupProbe", container.get("startupProbe"), "set")
        if start:
            yield passed(container["subject"], f"a startupProbe gives it {start.budget_s} s", seen)
        elif "raylet_healthz" in str(container.get("livenessProbe")):
            why = "the livenessProbe asks Ray's own daemon, which answers while the model still loads"
            yield passed(container["subject"], why, seen)
        elif live and live.initial_delay_s:
            why = f"the livenessProbe waits {live.initial_delay_s} s, however fast or slow the start is"
            yield failed(container["subject"], why, seen)
        elif live:
            yield failed(container["subject"], "the livenessProbe counts while the model still loads", seen)
        else:
            yield failed(container["subject"], "nothing tells a slow start from one that failed", seen)
