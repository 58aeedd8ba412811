from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown


@check(
    title="The certificate is for this host",
    severity=Severity.CRITICAL,
    needs=("endpoint.target", "endpoint.tls"),
    remediation="Issue a certificate whose subject alternative names hold the host that clients call.",
    tags=("security",),
)
def tls_host(snapshot: Snapshot) -> Iterator[Judgement]:
    """A certificate for another name is refused by clients, and is what an attack in the middle looks like."""
    answer = snapshot.fact("endpoint.tls")
    if answer is None:
        return
    target = snapshot.fact("endpoint.target")
    seen = Evidence("endpoint.tls.names", answer.names, target.host)
    if answer.host_ok is None:
        yield unknown(target.subject, "the certificate does not verify, so that its name was not checked", seen)
    elif answer.host_ok:
        yield passed(target.subject, f"the certificate is for {target.host}", seen)
    else:
        said = f"the certificate is for {', '.join(answer.names) or answer.subject}"
        if target.loopback:
            yield unknown(target.subject, f"{said}; clients do not call it by a loopback address", seen)
        else:
            yield failed(target.subject, said, seen)
