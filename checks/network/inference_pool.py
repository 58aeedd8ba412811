from collections.abc import Iterator, Mapping
from typing import Any

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, review
from inferaudit.engine_args import engine_port, serving_engines
from inferaudit.subjects import object_subject


@check(
    title="The inference pool is accepted and survives its endpoint picker",
    severity=Severity.MEDIUM,
    needs=("service.inferencepools",),
    optional=("workload.containers", "service.straypools"),
    remediation=(
        "Give the pool the labels and the port of the pods; run two replicas of the endpoint picker, or set "
        "`endpointPickerRef.failureMode: FailOpen`."
    ),
    references=("https://gateway-api-inference-extension.sigs.k8s.io/",),
)
def inference_pool(snapshot: Snapshot) -> Iterator[Judgement]:
    """With FailClose, the default, every request fails while the endpoint picker is down.

    A pool that its gateway refused routes nothing at all, and neither does one whose selector no pod of its namespace
    has: both are valid objects.
    """
    strays = snapshot.fact_or("service.straypools", [])
    for pool in strays:
        selector = (pool.get("spec") or {}).get("selector") or {}
        seen = Evidence("spec.selector", selector.get("matchLabels", selector), "labels of pods that are there")
        yield failed(object_subject(pool), "selects no pod of its namespace", seen)
    if not snapshot.fact("service.inferencepools"):
        snapshot.require_read("service.straypools")
    containers = snapshot.fact_or("workload.containers", [])
    serving = [c for c in containers if c["serving"]]
    opened = {p["containerPort"] for c in serving for p in c.get("ports") or () if "containerPort" in p}
    opened |= {port for _, engine in serving_engines(serving) if (port := engine_port(engine)) is not None}
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
        lost = [number for number in _ports(spec) if opened and number not in opened]
        if bad:
            yield failed(subject, "; ".join(bad), Evidence("status.parents", bad, "Accepted, ResolvedRefs"))
        elif lost:
            shown = Evidence("spec.targetPorts", lost, f"one of {sorted(opened)}")
            yield failed(subject, f"leads to port {lost[0]}; the server opens {min(opened)}", shown)
        elif mode == "FailOpen":
            yield passed(subject, "requests go on while the endpoint picker is down", seen)
        else:
            picker = (spec.get("endpointPickerRef") or {}).get("name")
            yield review(subject, f"every request needs the endpoint picker {picker}: has it two replicas?", seen)


def _ports(spec: Mapping[str, Any]) -> list[int]:
    """v1 has a list, the alpha before it one number."""
    numbers = [each.get("number") for each in spec.get("targetPorts") or ()] or [spec.get("targetPortNumber")]
    return [number for number in numbers if isinstance(number, int)]
