from collections.abc import Iterator, Mapping
from typing import Any

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, review
from inferaudit.governance import attestation_valid, attested
from inferaudit.subjects import object_subject


@check(
    title="The service can be rebuilt after a disaster",
    severity=Severity.LOW,
    needs=("workload", "service.backups"),
    optional=("process.attestations",),
    remediation=(
        "Keep the manifests in Git and the weights in a registry or bucket, rehearse the rebuild, and attest it; "
        "or back the namespace up with Velero."
    ),
    references=("https://velero.io/docs/",),
)
def backup(snapshot: Snapshot) -> Iterator[Judgement]:
    """Clusters are lost by mistake more often than by fire.

    A schedule of backups of the namespace is seen here; a rebuild from Git is as good and must be attested. A
    restore that nobody has tried is a hope.
    """
    workload = snapshot.fact("workload")
    schedules = [s for s in snapshot.fact("service.backups") if _covers(s, workload.namespace)]
    given = snapshot.fact("process.attestations") if snapshot.error("process.attestations") is None else ()
    attests = [a.evidence for a in attested(given, "disaster") if attestation_valid(a, snapshot.collected_at)]
    for schedule in schedules:
        subject, status, spec = object_subject(schedule), schedule.get("status") or {}, schedule.get("spec") or {}
        seen = Evidence("status.lastBackup", status.get("lastBackup"), "recent")
        if spec.get("paused") or status.get("phase") == "FailedValidation":
            yield failed(subject, "is paused" if spec.get("paused") else "is not valid", seen)
        elif status and not status.get("lastBackup"):
            yield failed(subject, "has never made a backup", seen)
        else:
            yield passed(subject, f"backs up {workload.namespace} ({spec.get('schedule')})", seen)
    shown = Evidence("attestations", attests or None, "a rehearsed rebuild")
    if not schedules and attests:
        yield passed(workload.subject, "a rebuild is attested", shown)
    elif not schedules:
        yield review(workload.subject, "no backup schedule is in view: how is it rebuilt, and was that tried?", shown)


def _covers(schedule: Mapping[str, Any], namespace: str) -> bool:
    template = (schedule.get("spec") or {}).get("template") or {}
    included = template.get("includedNamespaces") or ["*"]
    return namespace not in (template.get("excludedNamespaces") or ()) and bool({"*", namespace} & set(included))
