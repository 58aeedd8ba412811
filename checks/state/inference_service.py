from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown
from inferaudit.pod_state import condition
from inferaudit.subjects import object_subject


@check(
    title="KServe says that the service is ready",
    severity=Severity.HIGH,
    needs=("service.rollouts", "workload.pods"),  # the pods stand for a live cluster: files show no status
    remediation="Look at the condition that is named: `kubectl describe inferenceservice`, then the predictor's pods.",
    references=("https://kserve.github.io/website/docs/concepts/resources/inferenceservice",),
)
def inference_service(snapshot: Snapshot) -> Iterator[Judgement]:
    """Pods may be ready while KServe has not routed to them: an ingress that failed, a model that did not load, a
    revision that is not the latest. Its conditions say so, and clients meet a 404.
    """
    for obj in snapshot.fact("service.rollouts"):
        if obj.get("kind") != "InferenceService":
            continue
        subject, status = object_subject(obj), obj.get("status") or {}
        conditions = status.get("conditions") or ()
        bad = [
            f"{c.get('type')} is {c.get('status')} ({c.get('reason', '')}: {c.get('message', '')})"
            for c in conditions
            if c.get("status") != "True" and c.get("severity") not in ("Info", "Warning")
        ]
        failure = (status.get("modelStatus") or {}).get("lastFailureInfo")
        seen = Evidence("status.conditions", bad or [c.get("type") for c in conditions], "all True")
        ready = condition(obj, "Ready")
        if ready is None:
            yield unknown(subject, "shows no condition Ready", seen)
        elif ready.get("status") != "True":
            more = f"; {failure.get('reason')}: {failure.get('message')}" if failure else ""
            yield failed(subject, f"{'; '.join(bad)}{more}", seen)
        else:
            yield passed(subject, "is ready", seen)
