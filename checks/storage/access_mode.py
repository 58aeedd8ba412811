from collections.abc import Iterator, Mapping
from typing import Any

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed
from inferaudit.kube.types import Workload
from inferaudit.scaling import scalers_of
from inferaudit.subjects import object_subject


@check(
    title="Every replica may mount the volume",
    severity=Severity.HIGH,
    needs=("workload", "service.claims"),
    optional=("service.autoscalers",),
    remediation=(
        "Use ReadOnlyMany or ReadWriteMany for weights that replicas share, or a claim for each replica (a "
        "StatefulSet)."
    ),
    references=("https://kubernetes.io/docs/concepts/storage/persistent-volumes/#access-modes",),
)
def access_mode(snapshot: Snapshot) -> Iterator[Judgement]:
    """A ReadWriteOnce volume is mounted on one node: the second replica waits for ever on another, or is forced onto
    the same.

    It shows at the first scale-up, or in the first update.
    """
    workload = snapshot.fact("workload")
    scalers = scalers_of(snapshot.fact_or("service.autoscalers", []))
    most = max([workload.replicas or 1, *(s.maximum for s in scalers)])
    for claim in snapshot.fact("service.claims"):
        subject, modes = object_subject(claim), (claim.get("spec") or {}).get("accessModes") or []
        shared = any(mode.endswith("Many") for mode in modes)
        seen = Evidence("spec.accessModes", modes, f"ReadOnlyMany or ReadWriteMany for up to {most} replicas")
        if workload.kind == "StatefulSet" and _own(claim, workload):
            yield passed(subject, "each replica has a claim of its own", seen)
        elif most < 2:
            snapshot.require_read("service.autoscalers")
            yield passed(subject, "one replica mounts it", seen)
        elif shared:
            yield passed(subject, f"{' and '.join(modes)}: all replicas mount it", seen)
        else:
            yield failed(subject, f"{' and '.join(modes) or 'no mode'} for up to {most} replicas", seen)


def _own(claim: Mapping[str, Any], workload: Workload) -> bool:
    """Whether it is of a template: one claim for each replica. Files hold the template itself."""
    templates = (workload.object.get("spec") or {}).get("volumeClaimTemplates") or ()
    names = [(t.get("metadata") or {}).get("name") for t in templates]
    own = str((claim.get("metadata") or {}).get("name", ""))
    return own in names or any(own.startswith(f"{name}-{workload.name}-") for name in names)
