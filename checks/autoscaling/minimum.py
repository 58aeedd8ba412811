from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed
from inferaudit.scaling import scalers_of


@check(
    title="The autoscaler never goes to zero",
    severity=Severity.MEDIUM,
    needs=("workload", "service.autoscalers"),
    remediation="Set the minimum to 2, or at least to 1 where a cold start of minutes is acceptable to nobody.",
    references=(
        "https://keda.sh/docs/latest/reference/scaledobject-spec/",
        "https://kubernetes.io/docs/concepts/workloads/autoscaling/horizontal-pod-autoscale/",
    ),
)
def minimum(snapshot: Snapshot, *, allow_zero: bool = False) -> Iterator[Judgement]:
    """From zero, the first user waits for a node, an image, the weights and the warm-up: minutes, mostly longer than
    any client waits.

    For a service whose callers can wait, set the parameter `allow_zero`. KServe's own scaler counts as one.
    """
    workload = snapshot.fact("workload")
    scalers = scalers_of(snapshot.fact("service.autoscalers"))
    predictor = (workload.object.get("spec") or {}).get("predictor") or {}
    if not scalers and workload.kind == "InferenceService" and predictor.get("minReplicas") == 0:
        seen = Evidence("spec.predictor.minReplicas", 0, ">= 1")
        if allow_zero:
            yield passed(workload.subject, "may go to zero", seen)
        else:
            text = "goes to zero: the next user waits for a cold start"
            yield failed(workload.subject, text, seen, cause=("availability-replicas", workload.subject))
    elif not scalers:
        yield not_applicable(
            workload.subject, "nothing scales it", Evidence("autoscalers", [], "an HPA or a ScaledObject")
        )
    for scaler in scalers:
        floor = scaler.minimum if scaler.idle is None else min(scaler.minimum, scaler.idle)
        seen = Evidence("minimum", floor, ">= 1")
        if floor < 1 and not allow_zero:
            # A minimum of nothing is also less than two replicas, which is the graver finding.
            graver = ("availability-replicas", scaler.subject) if scaler.minimum < 1 else None
            text = "goes to zero: the next user waits for a cold start"
            yield failed(scaler.subject, text, seen, cause=graver)
        elif scaler.minimum >= scaler.maximum:
            yield failed(scaler.subject, f"cannot scale: between {scaler.minimum} and {scaler.maximum}", seen)
        else:
            yield passed(scaler.subject, f"between {floor} and {scaler.maximum} replicas", seen)
