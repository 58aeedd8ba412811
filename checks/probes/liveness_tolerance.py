from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed
from inferaudit.probe_timing import read_probe


@check(
    title="The liveness probe is patient with a busy server",
    severity=Severity.MEDIUM,
    needs=("workload.containers",),
    remediation="Set the livenessProbe to `timeoutSeconds: 5` or more and period × failureThreshold to 30 s or more.",
    references=(
        "https://kubernetes.io/docs/tasks/configure-pod-container/configure-liveness-readiness-startup-probes/",
    ),
)
def liveness_tolerance(
    snapshot: Snapshot, *, minimum_window_s: int = 30, minimum_timeout_s: int = 2
) -> Iterator[Judgement]:
    """Under full load a model server answers its health route late: long prefill steps hold it up.

    A probe that gives up after one second restarts it then, and the load moves on to the next replica.
    """
    for container in snapshot.fact("workload.containers"):
        probe = read_probe(container, "livenessProbe")
        if not container["serving"] or probe is None:
            continue
        subject = container["subject"]
        window = Evidence("livenessProbe period × failureThreshold, s", probe.window_s, f">= {minimum_window_s}")
        timeout = Evidence("livenessProbe.timeoutSeconds", probe.timeout_s, f">= {minimum_timeout_s}")
        if probe.window_s < minimum_window_s:
            yield failed(subject, f"a server that is busy for {probe.window_s} s is killed", window, timeout)
        elif probe.timeout_s < minimum_timeout_s:
            yield failed(subject, f"an answer that takes more than {probe.timeout_s} s counts as dead", timeout, window)
        else:
            yield passed(subject, f"it may be busy for {probe.window_s} s", window, timeout)
