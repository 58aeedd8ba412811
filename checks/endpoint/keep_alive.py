from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown


@check(
    title="Connections are kept open between requests",
    severity=Severity.MEDIUM,
    needs=("endpoint.target", "endpoint.connection"),
    remediation="Switch keep-alive on in server and gateway, with an idle time-out longer than the client's.",
)
def keep_alive(snapshot: Snapshot) -> Iterator[Judgement]:
    """A new connection for every request costs a TCP and a TLS handshake each time, and runs ports out under load."""
    subject, seen_of = snapshot.fact("endpoint.target").subject, snapshot.fact("endpoint.connection")
    seen = Evidence("endpoint.connection.reused", seen_of.reused, True)
    if seen_of.reused is None:
        yield unknown(subject, "whether a connection is kept could not be seen", seen)
    elif seen_of.reused:
        yield passed(subject, "two requests in a row shared a connection", seen)
    else:
        cost = (seen_of.connect_ms or 0.0) + (seen_of.tls_ms or 0.0)
        yield failed(subject, f"the server closes after each answer: {cost:.1f} ms more for every request", seen)
