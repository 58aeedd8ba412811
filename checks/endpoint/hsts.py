from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed


@check(
    title="Browsers are told to stay on TLS",
    severity=Severity.LOW,
    needs=("endpoint.target", "endpoint.tls"),
    remediation="Send `Strict-Transport-Security: max-age=31536000` from the gateway.",
    references=("https://www.rfc-editor.org/rfc/rfc6797",),
    tags=("security",),
)
def hsts(snapshot: Snapshot, *, min_seconds: int = 15552000) -> Iterator[Judgement]:
    """Without it the first request of a browser may go out in the clear, with its cookies and keys.

    Not judged where the certificate does not hold, for its chain or for the host: then nothing was asked.
    """
    answer = snapshot.fact("endpoint.tls")
    if answer is None or not answer.chain_ok or answer.host_ok is False:
        return
    target = snapshot.fact("endpoint.target")
    subject = target.subject
    if target.api.endswith("-grpc"):
        called = Evidence("endpoint.target.api", target.api)
        yield not_applicable(subject, "no browser calls gRPC, and no header of HTTP binds its clients", called)
        return
    seen = Evidence("endpoint.tls.hsts_s", answer.hsts_s, f">= {min_seconds}")
    if answer.hsts_s is None:
        yield failed(subject, "no answer carries Strict-Transport-Security", seen)
    elif answer.hsts_s < min_seconds:
        yield failed(subject, f"Strict-Transport-Security holds for {answer.hsts_s} s only", seen)
    else:
        yield passed(subject, f"Strict-Transport-Security holds for {answer.hsts_s // 86400} days", seen)
