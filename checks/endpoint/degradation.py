from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown
from inferaudit.degradation import loss


@check(
    title="The loss of one replica is survived",
    severity=Severity.HIGH,
    needs=("endpoint.degradation",),
    active=True,
    remediation="Let a pod that ends finish what it has (preStop sleep, the server's drain, a grace period above the "
    "longest request), give the Service readiness probes that follow the server, and let clients retry once.",
    references=(
        "https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination",
        "https://kubernetes.io/docs/tutorials/services/pods-and-endpoint-termination-flow/",
    ),
    tags=("layer:outcome",),
)
def degradation(snapshot: Snapshot, *, max_error_ratio: float = 0.05, min_requests: int = 10) -> Iterator[Judgement]:
    """A node is drained, a GPU is lost, a pod is evicted: it will happen, and the others must carry on.

    With `--chaos`, and only of a workload that the policy names, one pod is deleted while small requests go to the
    endpoint, each on a new connection. Judged are the share of them that failed, and whether as many pods were ready
    again within the time that the policy gives.
    """
    seen = snapshot.fact("endpoint.degradation")
    found, subject = loss(seen), seen.subject
    recovery = Evidence("endpoint.degradation.recovery_s", seen.recovery_s, f"at most {seen.limit_s:g} s")
    errors = Evidence("endpoint.degradation.requests[].error", found.ratio, f"at most {max_error_ratio:g}")
    times = Evidence(
        "endpoint.degradation.requests[].ms",
        {"p50 before": found.p50_before_ms, "p50 after": found.p50_ms, "max after": found.max_ms},
    )
    if seen.recovery_s is not None:
        text = f"{seen.ready} pods were ready again {seen.recovery_s:.1f} s after {seen.pod} was deleted"
        yield passed(subject, text, recovery, key="recovery")
    elif seen.interrupted:
        yield unknown(subject, "interrupted before the recovery was seen", recovery, key="recovery")
    elif seen.unseen:
        yield unknown(subject, f"the recovery could not be seen: {seen.unseen}", recovery, key="recovery")
    else:
        text = f"{seen.limit_s:g} s after {seen.pod} was deleted there were not {seen.ready} ready pods again"
        yield failed(subject, text, recovery, key="recovery")
    told = f"{found.errors} of {found.sent} requests failed"
    if found.sent < min_requests:
        yield unknown(subject, f"only {found.sent} requests were sent after the deletion", errors, key="errors")
    elif found.ratio is not None and found.ratio > max_error_ratio:
        last = f", the last of them {found.last_error_s:.1f} s after the deletion"
        yield failed(subject, f"{told} ({found.worst}){last}", errors, times, key="errors")
    elif seen.interrupted:
        yield unknown(subject, f"{told} until the watch was interrupted", errors, times, key="errors")
    elif seen.skipped:
        text = f"{told}, and {seen.skipped} could not be sent because others were still open"
        yield unknown(subject, text, errors, times, key="errors")
    else:
        yield passed(subject, f"{told} while one of {seen.ready} pods was gone", errors, times, key="errors")
