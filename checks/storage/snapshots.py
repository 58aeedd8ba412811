from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown
from inferaudit.subjects import object_subject


@check(
    title="Snapshots of volumes are fresh and can be used",
    severity=Severity.LOW,
    needs=("workload", "service.claims", "service.snapshots"),
    remediation=(
        "Look at `kubectl describe volumesnapshot` and its VolumeSnapshotContent; take them on a schedule, and try a "
        "claim with the snapshot as its `dataSource`."
    ),
    references=("https://kubernetes.io/docs/concepts/storage/volume-snapshots/",),
)
def snapshots(snapshot: Snapshot, *, max_age_h: float = 192) -> Iterator[Judgement]:
    """A snapshot that failed, or the last of which is months old, is taken for a backup until the day it is needed.

    Judged are the claims of which there are snapshots, by the newest that can be used. Weights that come from a
    registry need none; objects and Secrets are in no snapshot: a plan to rebuild the service is asked for elsewhere.
    """
    claims = {str((c.get("metadata") or {}).get("name")): object_subject(c) for c in snapshot.fact("service.claims")}
    taken: dict[str, list[Mapping[str, Any]]] = {}
    for each in snapshot.fact("service.snapshots"):
        source = str(((each.get("spec") or {}).get("source") or {}).get("persistentVolumeClaimName"))
        taken.setdefault(source, []).append(each)
    if not taken:
        none = Evidence("VolumeSnapshots", None, "of its claims")
        yield not_applicable(snapshot.fact("workload").subject, "there are no snapshots of its volumes", none)
    for name, found in sorted(taken.items()):
        subject = claims.get(name, object_subject(found[0]))
        newest = max(found, key=_made_at)
        error = ((newest.get("status") or {}).get("error") or {}).get("message")
        usable = [each for each in found if (each.get("status") or {}).get("readyToUse")]
        last = max(usable, key=_made_at, default=None)
        age = _age_h(_made_at(last), snapshot.collected_at) if last else None
        seen = Evidence("status.creationTime", _made_at(last) if last else None, f"within {max_age_h:g} h")
        if last is None and error:
            shown = Evidence(f"{object_subject(newest)} status.error", error, "readyToUse: true")
            yield failed(subject, f"no snapshot of it can be used: {str(error)[:200]}", shown)
        elif last is None and not any(each.get("status") for each in found):
            yield unknown(subject, "its snapshots show no status: has a controller taken them up?", seen)
        elif last is None:
            yield failed(subject, f"none of {len(found)} snapshots of it can be used", seen)
        elif age is None:
            yield unknown(subject, "its snapshots show no date", seen)
        elif age > max_age_h:
            yield failed(subject, f"its last snapshot is {age / 24:.0f} days old", seen)
        elif error and newest is not last:
            shown = Evidence(f"{object_subject(newest)} status.error", error, "readyToUse: true")
            yield failed(subject, f"its last snapshot failed: {str(error)[:200]}", shown)
        else:
            yield passed(subject, f"its last snapshot is {age:.0f} hours old", seen)


def _made_at(snapshot: Mapping[str, Any]) -> str:
    status, metadata = snapshot.get("status") or {}, snapshot.get("metadata") or {}
    return str(status.get("creationTime") or metadata.get("creationTimestamp") or "")


def _age_h(stamp: str, now: str) -> float | None:
    try:
        return (datetime.fromisoformat(now) - datetime.fromisoformat(stamp)).total_seconds() / 3600
    except (ValueError, TypeError):
        return None
