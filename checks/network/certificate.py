from collections.abc import Iterator
from typing import Any

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown
from inferaudit.pod_state import condition, seconds_between
from inferaudit.subjects import object_subject


@check(
    title="Certificates are valid for weeks to come",
    severity=Severity.HIGH,
    needs=("service.certificates", "workload.pods"),
    optional=("service.ingresses", "service.gateways"),
    remediation=(
        "Find out why cert-manager does not renew: `kubectl describe certificate` and its CertificateRequest."
    ),
    references=("https://cert-manager.io/docs/troubleshooting/",),
)
def certificate(snapshot: Snapshot, *, minimum_days: float = 14) -> Iterator[Judgement]:
    """An expired certificate takes the whole service down at a known minute.

    Judged are cert-manager's Certificates of the namespace that an entry uses, or all where none can be told.
    """
    now = snapshot.collected_at
    used = set()
    for obj in (*_read(snapshot, "service.ingresses"), *_read(snapshot, "service.gateways")):
        spec = obj.get("spec") or {}
        used |= {tls.get("secretName") for tls in spec.get("tls") or ()}
        listeners = [each.get("tls") or {} for each in spec.get("listeners") or ()]
        used |= {ref.get("name") for tls in listeners for ref in tls.get("certificateRefs") or ()}
    certificates = snapshot.fact("service.certificates")
    chosen = [c for c in certificates if (c.get("spec") or {}).get("secretName") in used]
    if not chosen:
        snapshot.require_read("service.ingresses", "service.gateways")
        chosen = certificates
    for certificate in chosen:
        subject, status = object_subject(certificate), certificate.get("status") or {}
        left = seconds_between(now, status.get("notAfter"))
        ready = condition(certificate, "Ready") or {}
        seen = Evidence("status.notAfter", status.get("notAfter"), f"{minimum_days:g} days or more from {now[:10]}")
        if left is not None and left <= 0:
            yield failed(subject, f"expired {-left / 86400:.0f} days ago", seen)
        elif ready.get("status") == "False":
            why = f"{ready.get('reason')}: {ready.get('message', '')}"
            yield failed(subject, f"is not ready: {why}", Evidence("status.conditions[Ready]", "False", "True"))
        elif left is None:
            yield unknown(subject, "shows no date", seen)
        elif left < minimum_days * 86400:
            yield failed(subject, f"expires in {left / 86400:.0f} days and is not renewed", seen)
        else:
            yield passed(subject, f"valid for {left / 86400:.0f} days", seen)


def _read(snapshot: Snapshot, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = snapshot.fact_or(name, [])
    return found
