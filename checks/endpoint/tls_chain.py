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
    subject = snapshot.fact("endpoint.target").subject
    seen = Evidence("endpoint.tls.chain_ok", answer.chain_ok, True)
    if answer.chain_ok is None:
        yield unknown(subject, "whether the chain verifies could not be told", seen)
    elif answer.chain_ok:
        yield passed(subject, f"verified against {answer.trust}, issued by {answer.issuer}", seen)
    else:
        why = answer.error or ("it is signed by itself" if answer.self_signed else "it does not verify")
        yield failed(subject, f"the certificate does not verify against {answer.trust}: {why}", seen)
