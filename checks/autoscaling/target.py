from collections.abc import Iterator
from difflib import get_close_matches

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed
from inferaudit.kube.view import name_of
from inferaudit.scaling import scalers_of
from inferaudit.subjects import object_subject

_LIKE = 0.75  # of the letters of two names in common


@check(
    title="The autoscaler's target exists",
    severity=Severity.MEDIUM,
    needs=("workload", "service.autoscalers"),
    optional=("service.strayautoscalers",),
    remediation="Set `scaleTargetRef` to the kind and the name of the workload.",
    references=("https://kubernetes.io/docs/concepts/workloads/autoscaling/horizontal-pod-autoscale/",),
)
def target(snapshot: Snapshot) -> Iterator[Judgement]:
    """An autoscaler with a wrong name in it is accepted, and scales nothing.

    One of the namespace without a target is taken for the service's where nothing else scales it, or where the names
    are alike.
    """
    workload, own = snapshot.fact("workload"), scalers_of(snapshot.fact("service.autoscalers"))
    for scaler in own:
        ref = (scaler.object.get("spec") or {}).get("scaleTargetRef")
        yield passed(scaler.subject, f"scales {workload.subject}", Evidence("spec.scaleTargetRef", ref, "the workload"))
    for obj in snapshot.fact_or("service.strayautoscalers", []):
        ref = (obj.get("spec") or {}).get("scaleTargetRef") or {}
        names = (name_of(obj), str(ref.get("name")))
        if not own or any(get_close_matches(name, [workload.name], 1, _LIKE) for name in names):
            text = f"there is no {ref.get('kind') or 'Deployment'} {ref.get('name')}: it scales nothing"
            yield failed(object_subject(obj), text, Evidence("spec.scaleTargetRef", ref, workload.subject))
    if not own:
        snapshot.require_read("service.strayautoscalers")
