from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed
from inferaudit.pod_state import measured_start_s
from inferaudit.probe_timing import startup_budget
from inferaudit.scaling import scalers_of


@check(
    title="Replicas are not removed before they have paid off",
    severity=Severity.MEDIUM,
    needs=("workload", "workload.containers", "service.autoscalers"),
    optional=("workload.pods",),
    remediation="Set `behavior.scaleDown.stabilizationWindowSeconds` above the time a replica takes to load.",
    references=(
        "https://kubernetes.io/docs/concepts/workloads/autoscaling/horizontal-pod-autoscale/#stabilization-window",
    ),
)
def stabilization(snapshot: Snapshot) -> Iterator[Judgement]:
    """A replica that took five minutes to load must not go after the first quiet minute: the next peak loads it again.

    Held against the slowest start that was seen; where none was, five minutes, which is the default.
    """
    workload = snapshot.fact("workload")
    scalers = scalers_of(snapshot.fact("service.autoscalers"))
    if not scalers:
        yield not_applicable(
            workload.subject, "nothing scales it", Evidence("autoscalers", [], "an HPA or a ScaledObject")
        )
    pods = snapshot.fact("workload.pods") if snapshot.error("workload.pods") is None else []
    names = [c for c in snapshot.fact("workload.containers") if c["serving"]]
    budgets = {c["name"]: (startup_budget(c) or (None, None))[1] for c in names}
    starts = [s for c in names if (s := measured_start_s(pods, c["name"], budgets[c["name"]]))]
    if scalers and not starts:
        snapshot.require_read("workload.pods")
    for scaler in scalers:
        needed, source = max(starts) if starts else (300.0, "no start was measured")
        needed = max(needed, 0.0)
        seen = Evidence("scaleDown.stabilizationWindowSeconds", scaler.down_s, f">= {needed:g} ({source})")
        if scaler.down_s < needed:
            yield failed(
                scaler.subject, f"removes replicas after {scaler.down_s} s; loading one took {needed:g} s", seen
            )
        else:
            yield passed(scaler.subject, f"waits {scaler.down_s} s before it removes replicas", seen)
