from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed
from inferaudit.scaling import scalers_of
from inferaudit.subjects import object_subject

_RAY = "enableInTreeAutoscaling"


@check(
    title="The service scales with its load",
    severity=Severity.LOW,
    needs=("workload", "service.autoscalers"),
    optional=("service.strayautoscalers",),
    remediation="Add an HPA or a ScaledObject on queue depth, once the time to ready is known.",
    references=(
        "https://kubernetes.io/docs/concepts/workloads/autoscaling/horizontal-pod-autoscale/",
        "https://keda.sh/docs/",
    ),
)
def present(snapshot: Snapshot) -> Iterator[Judgement]:
    """A fixed number of replicas is paid for at night and too small at noon.

    It may be meant so, where GPUs are reserved: then waive this. A KServe InferenceService brings its own scaler, so
    may Ray.
    """
    workload = snapshot.fact("workload")
    scalers = scalers_of(snapshot.fact("service.autoscalers"))
    names = [s.subject for s in scalers]
    seen = Evidence("autoscalers", names, "an HPA or a ScaledObject")
    predictor = (workload.object.get("spec") or {}).get("predictor") or {}
    if len(scalers) > 1:
        yield failed(workload.subject, f"{len(scalers)} autoscalers pull at it: {', '.join(names)}", seen)
    elif scalers:
        yield passed(workload.subject, f"scaled by {names[0]}", seen)
    elif workload.kind == "InferenceService" and predictor.get("maxReplicas") != predictor.get("minReplicas", 1):
        yield passed(
            workload.subject, "scaled by KServe", Evidence("spec.predictor.maxReplicas", predictor.get("maxReplicas"))
        )
    elif workload.kind == "RayService" and (workload.object["spec"].get("rayClusterConfig") or {}).get(_RAY):
        yield passed(workload.subject, "scaled by Ray", Evidence(f"spec.rayClusterConfig.{_RAY}", True, "set"))
    else:
        stray = [object_subject(obj) for obj in snapshot.fact_or("service.strayautoscalers", [])]
        cause = ("autoscaling-target", stray[0]) if stray else None
        yield failed(workload.subject, "nothing scales it", seen, cause=cause)
