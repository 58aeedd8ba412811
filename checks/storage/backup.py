from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, review, unknown
from inferaudit.governance import attestation_valid, attested
from inferaudit.subjects import object_subject

_BROKEN = (
    "Failed",
    "PartiallyFailed",
    "FailedValidation",
    "FinalizingPartiallyFailed",
    "WaitingForPluginOperationsPartiallyFailed",
)
_TAKEN_UP_H = 1.0  # Velero's server validates a schedule within seconds; an hour forgives its restart


@check(
    title="The service can be rebuilt after a disaster",
    severity=Severity.LOW,
    needs=("workload", "service.backups"),
    optional=("process.attestations", "workload.pods"),  # the pods stand for a live cluster: files show no status
    remediation=(
        "Keep the manifests in Git and the weights in a registry or bucket, rehearse the rebuild, and attest it; "
        "or back the namespace up with Velero."
    ),
    references=("https://velero.io/docs/",),
)
def backup(snapshot: Snapshot, *, max_age_h: float = 192) -> Iterator[Judgement]:
    """Clusters are lost by mistake more often than by fire.

    A schedule of backups of the namespace is seen here; a rebuild from Git is as good and must be attested. A
    restore that nobody has tried is a hope. A backup older than eight days (a weekly one that was missed), or one that
    did not complete, is no backup. A schedule that has no status in a live cluster was taken up by no Velero server.
    """
    # What refuses to show its pods is a cluster all the same.
    live = snapshot.error("workload.pods") is None or snapshot.unread("workload.pods") is not None
    workload = snapshot.fact("workload")
    objects = snapshot.fact("service.backups")
    schedules = [o for o in objects if o.get("kind", "Schedule") == "Schedule" and _covers(o, workload.namespace)]
    given = snapshot.fact_or("process.attestations", ())
    attests = [a.evidence for a in attested(given, "disaster") if attestation_valid(a, snapshot.collected_at)]
    for schedule in schedules:
        subject, status, spec = object_subject(schedule), schedule.get("status") or {}, schedule.get("spec") or {}
        seen = Evidence("status.lastBackup", status.get("lastBackup"), "recent")
        if spec.get("paused") or status.get("phase") == "FailedValidation":
            yield failed(subject, "is paused" if spec.get("paused") else "is not valid", seen)
        elif live and not status:
            yield _not_taken_up(schedule, snapshot.collected_at)
        elif status and not status.get("lastBackup"):
            yield failed(subject, "has never made a backup", seen)
        elif (age := _age_h(status.get("lastBackup"), snapshot.collected_at)) is not None and age > max_age_h:
            yield failed(subject, f"its last backup is {age / 24:.0f} days old", seen)
        elif (last := _latest(objects, schedule)) and (last.get("status") or {}).get("phase") in _BROKEN:
            phase = last["status"]["phase"]
            shown = Evidence(f"{object_subject(last)} status.phase", phase, "Completed")
            yield failed(subject, f"its last backup is {phase}", shown)
        else:
            yield passed(subject, f"backs up {workload.namespace} ({spec.get('schedule')})", seen)
    shown = Evidence("attestations", attests or None, "a rehearsed rebuild")
    if not schedules and attests:
        yield passed(workload.subject, "a rebuild is attested", shown)
    elif not schedules:
        yield review(workload.subject, "no backup schedule is in view: how is it rebuilt, and was that tried?", shown)


def _not_taken_up(schedule: Mapping[str, Any], now: str) -> Judgement:
    created = (schedule.get("metadata") or {}).get("creationTimestamp")
    age, seen = _age_h(created, now), Evidence("status", None, "phase: Enabled")
    if age is not None and age > _TAKEN_UP_H:
        text = f"no Velero server has taken it up in {age:.0f} hours: it makes no backups"
        return failed(object_subject(schedule), text, seen)
    return unknown(object_subject(schedule), "has no status yet: no Velero server has taken it up", seen)


def _covers(schedule: Mapping[str, Any], namespace: str) -> bool:
    template = (schedule.get("spec") or {}).get("template") or {}
    included = template.get("includedNamespaces") or ["*"]
    return namespace not in (template.get("excludedNamespaces") or ()) and bool({"*", namespace} & set(included))


def _age_h(stamp: Any, now: str) -> float | None:
    """Hours from one RFC 3339 time to another; None where either is none."""
    try:
        return (datetime.fromisoformat(now) - datetime.fromisoformat(str(stamp))).total_seconds() / 3600
    except (ValueError, TypeError):
        return None


def _latest(objects: Iterable[Mapping[str, Any]], schedule: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The last Backup that a schedule made and that has ended."""
    name = (schedule.get("metadata") or {}).get("name")
    made = [
        o
        for o in objects
        if o.get("kind") == "Backup"
        and ((o.get("metadata") or {}).get("labels") or {}).get("velero.io/schedule-name") == name
        and (o.get("status") or {}).get("phase") in (*_BROKEN, "Completed")
    ]
    return max(made, key=_ended_at, default=None)


def _ended_at(backup: Mapping[str, Any]) -> str:
    """When a backup ended; one that Velero refused has not begun, and counts from its creation."""
    ended = backup["status"].get("completionTimestamp")
    return str(ended or (backup.get("metadata") or {}).get("creationTimestamp") or "")
