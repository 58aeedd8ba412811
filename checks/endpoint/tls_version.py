from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown


@check(
    title="TLS is 1.2 or newer",
    severity=Severity.HIGH,
    needs=("endpoint.target", "endpoint.tls"),
    remediation="Set the gateway's minimum version to TLS 1.2.",
    references=("https://www.rfc-editor.org/rfc/rfc8996",),
    tags=("security",),
)
def tls_version(snapshot: Snapshot) -> Iterator[Judgement]:
    """TLS 1.0 and 1.1 are deprecated: their hashes are broken, and audits and browsers refuse them."""
    answer = snapshot.fact("endpoint.tls")
    if answer is None:
        return
    subject = snapshot.fact("endpoint.target").subject
    seen = Evidence("endpoint.tls.version", answer.version, "TLSv1.2 or TLSv1.3")
    if answer.legacy:
        also = Evidence("endpoint.tls.legacy", answer.legacy, [])
        yield failed(subject, f"the server also accepts {' and '.join(answer.legacy)}", also)
    elif answer.version is None:
        yield unknown(subject, "no session came about, so that its version is not known", seen)
    elif answer.version in ("TLSv1.2", "TLSv1.3"):
        yield passed(subject, f"the session is {answer.version}", seen)
    else:
        yield failed(subject, f"the session is {answer.version}", seen)
