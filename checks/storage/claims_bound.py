from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown
from inferaudit.subjects import object_subject


@check(
    title="Volume claims are bound",
    severity=Severity.HIGH,
    needs=("service.claims", "workload.pods"),
    remediation=(
        "Look at `kubectl describe pvc`: a storage class that does not exist, or no volume of that size and mode."
    ),
    references=("https://kubernetes.io/docs/concepts/storage/persistent-volumes/",),
)
def claims_bound(snapshot: Snapshot) -> Iterator[Judgement]:
    """A pod whose claim is not bound does not start, and a lost volume takes the weights with it.

    A class that waits for its first pod leaves a claim pending on purpose.
    """
    pods = snapshot.fact("workload.pods")
    for claim in snapshot.fact("service.claims"):
        subject = object_subject(claim)
        phase = (claim.get("status") or {}).get("phase")
        seen = Evidence("status.phase", phase, "Bound")
        if phase == "Bound":
            yield passed(subject, "is bound", seen)
        elif phase == "Pending" and not pods:
            yield unknown(subject, "is pending, and there is no pod yet that it may wait for", seen)
        elif phase in ("Pending", "Lost"):
            yield failed(subject, f"is {phase.lower()}", seen)
        else:
            yield unknown(subject, "shows no status", seen)
