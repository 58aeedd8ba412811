from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, review
from inferaudit.subjects import object_subject


@check(
    title="The inference pool is accepted and survives its endpoint picker",
    severity=Severity.MEDIUM,
    needs=("service.inferencepools",),
    remediation="Run two replicas of the endpoint picker, or set `endpointPickerRef.failureMode: FailOpen`.",
    references=("https://gateway-api-inference-extension.sigs.k8s.io/",),
)
def inference_pool(snapshot: Snapshot) -> Iterator[Judgement]:
    """With FailClose, the default, every request fails while the endpoint picker is down.

    A pool that its gateway refused routes nothing at all.
    """
    for pool in snapshot.fact("service.inferencepools"):
        subject, spec = object_subject(pool), pool.get("spec") or {}
        parents = (pool.get("status") or {}).get("parents") or ()
        conditions = [c for parent in parents for c in parent.get("conditions") or ()]
        bad = [
            f"{c['type']}: {c.get('reason')}"
            for c in conditions
            if c.get("status") == "False" and c["type"] != "Exported"
        ]
        mode = (spec.get("endpointPickerRef") or {}).get("failureMode") or "FailClose"
        seen = Evidence("spec.endpointPickerRef.failureMode", mode, "FailOpen, or two replicas of the picker")
        if bad:
            yield failed(subject, "; ".join(bad), Evidence("status.parents", bad, "Accepted, ResolvedRefs"))
        elif mode == "FailOpen":
            yield passed(subject, "requests go on while the endpoint picker is down", seen)
        else:
            picker = (spec.get("endpointPickerRef") or {}).get("name")
            yield review(subject, f"every request needs the endpoint picker {picker}: has it two replicas?", seen)
