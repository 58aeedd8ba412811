from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown


@check(
    title="A new connection costs little",
    severity=Severity.LOW,
    needs=("endpoint.target", "endpoint.connection"),
    remediation="Shorten the name's search path, end TLS near to the callers, resume sessions, and let clients keep "
    "connections open.",
    references=("https://www.rfc-editor.org/rfc/rfc8446#section-2.2",),
)
def cold_connection(snapshot: Snapshot, *, max_ms: float = 300.0) -> Iterator[Judgement]:
    """Callers that open a connection for each request (functions, short jobs) pay for name, TCP and TLS every time."""
    answer, subject = snapshot.fact("endpoint.connection"), snapshot.fact("endpoint.target").subject
    parts = {"dns": answer.dns_ms, "tcp": answer.connect_ms, "tls": answer.tls_ms}
    known = {name: ms for name, ms in parts.items() if ms is not None}
    seen = Evidence("endpoint.connection", {name: round(ms, 2) for name, ms in known.items()}, f"<= {max_ms:g} ms")
    if answer.connect_ms is None:
        yield unknown(subject, "what a connection costs was not measured", seen)
        return
    whole = sum(known.values())
    said = f"a new connection costs {whole:.3g} ms ({', '.join(f'{n} {ms:.3g}' for n, ms in known.items())})"
    yield (failed if whole > max_ms else passed)(subject, said, seen)
