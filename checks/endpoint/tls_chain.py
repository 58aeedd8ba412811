from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown


@check(
    title="The certificate is signed by a trusted authority",
    severity=Severity.CRITICAL,
    needs=("endpoint.target", "endpoint.tls"),
    remediation="Serve the whole chain, renewed; for a private authority give its certificate with --ca FILE.",
    tags=("security",),
)
def tls_chain(snapshot: Snapshot) -> Iterator[Judgement]:
    """A certificate that does not verify stops every careful client, and teaches the others to switch checks off."""
    answer = snapshot.fact("endpoint.tls")
    if answer is None:
        return
    target = snapshot.fact("endpoint.target")
    subject = target.subject
    seen = Evidence("endpoint.tls.chain_ok", answer.chain_ok, True)
    if answer.chain_ok is None:
        yield unknown(subject, "whether the chain verifies could not be told", seen)
    elif answer.chain_ok:
        yield passed(subject, f"verified against {answer.trust}, issued by {answer.issuer}", seen)
    else:
        why = answer.error or ("it is signed by itself" if answer.self_signed else "it does not verify")
        said = f"the certificate does not verify against {answer.trust}: {why}"
        if target.loopback:
            yield unknown(subject, f"{said}; on loopback that may be meant, and is not what clients meet", seen)
        else:
            yield failed(subject, said, seen)
