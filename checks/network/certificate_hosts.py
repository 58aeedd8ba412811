from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed
from inferaudit.entrypoints import entries_of
from inferaudit.route_hosts import hosts_by_secret
from inferaudit.subjects import object_subject


@check(
    title="Certificates are for the hosts that they serve",
    severity=Severity.HIGH,
    needs=("service.ingresses", "service.routes", "service.gateways"),
    optional=("service.certificates", "service.fronts"),
    remediation="Add the host to `spec.dnsNames` of the Certificate; a wildcard stands for one label only.",
    references=(
        "https://cert-manager.io/docs/usage/certificate/",
        "https://www.rfc-editor.org/rfc/rfc6125#section-6.4.3",
    ),
)
def certificate_hosts(snapshot: Snapshot) -> Iterator[Judgement]:
    """A certificate for another name is refused by every client that looks at it, while it is valid and renewed.

    Judged are cert-manager's Certificates whose Secret an Ingress or a listener of a Gateway serves, against the hosts
    that requests come for. Where several fill one Secret, or a Secret has none of them, nothing is said.
    """
    served = list(hosts_by_secret(*entries_of(snapshot), snapshot.fact("service.gateways")))
    if served:
        snapshot.require_read("service.certificates")
    certificates = defaultdict(list)
    for certificate in snapshot.fact_or("service.certificates", []):
        spec, meta = certificate.get("spec") or {}, certificate.get("metadata") or {}
        certificates[meta.get("namespace"), spec.get("secretName")].append(certificate)
    wanted: dict[str, dict[str, None]] = defaultdict(dict)
    for secrets, host in served:
        behind = [each for secret in secrets for each in certificates[secret]]
        if len(behind) < len(secrets) or any(len(certificates[secret]) > 1 for secret in secrets):
            continue
        # Of several certificates on one listener, one for the host is enough.
        right = next((each for each in behind if _is_for(each, host)), behind[0])
        wanted[object_subject(right)][host] = None
    for found in certificates.values():
        for certificate in found:
            subject = object_subject(certificate)
            hosts = list(wanted.get(subject, ()))
            lost = [host for host in hosts if not _is_for(certificate, host)]
            names = (certificate.get("spec") or {}).get("dnsNames")
            seen = Evidence("spec.dnsNames", names, ", ".join(lost or hosts))
            if lost:
                yield failed(subject, f"is not for {', '.join(lost)}, which it is served to", seen)
            elif hosts:
                yield passed(subject, f"is for {', '.join(hosts)}", seen)


def _is_for(certificate: Mapping[str, Any], host: str) -> bool:
    spec = certificate.get("spec") or {}
    names = {str(name).lower().rstrip(".") for name in (*(spec.get("dnsNames") or ()), spec.get("commonName")) if name}
    # What it may be for besides is not looked into: other kinds of names, and a request that is written as text.
    unseen = any(spec.get(field) for field in ("literalSubject", "otherNames"))
    return unseen or bool(names & {host, f"*.{host.partition('.')[2]}"})
