from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed


@check(
    title="A request can be followed by its id",
    severity=Severity.LOW,
    needs=("endpoint.target", "endpoint.plain"),
    remediation="Echo X-Request-Id at the gateway or in the server (vLLM: `--enable-request-id-headers`), and log it.",
)
def request_id(snapshot: Snapshot) -> Iterator[Judgement]:
    """When a user complains about one answer, its id is what finds it in the logs of gateway and server."""
    subject, plain = snapshot.fact("endpoint.target").subject, snapshot.fact("endpoint.plain")
    if plain.request_id_echoed is None:
        return
    seen = Evidence("endpoint.plain.request_id_echoed", plain.request_id_echoed, True)
    if plain.request_id_echoed:
        yield passed(subject, "our X-Request-Id came back with the answer", seen)
    elif plain.request_id_header:
        given = Evidence("endpoint.plain.request_id_header", plain.request_id_header, "a request id")
        yield passed(subject, f"the answer carries an id of its own in {plain.request_id_header}", given)
    else:
        yield failed(subject, "our X-Request-Id did not come back, and the answer carries no id of its own", seen)
