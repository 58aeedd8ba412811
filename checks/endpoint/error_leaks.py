from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed


@check(
    title="Errors give nothing away",
    severity=Severity.MEDIUM,
    needs=("endpoint.target", "endpoint.active"),
    active=True,
    remediation="Switch debug answers off (MLServer: `debug: false`), and answer errors with a short JSON message.",
    tags=("security",),
)
def error_leaks(snapshot: Snapshot) -> Iterator[Judgement]:
    """A traceback in an answer shows paths, versions and code to whoever provokes it."""
    subject = snapshot.fact("endpoint.target").subject
    answered = [p for p in snapshot.fact("endpoint.active") if p.status is not None and p.kind != "cancelled"]
    leaking = {p.kind: p.leak for p in answered if p.leak}
    seen = Evidence("endpoint.active[].leak", leaking, "none")
    if leaking:
        words = ", ".join(f"{leak} ({kind})" for kind, leak in leaking.items())
        yield failed(subject, f"the answers to bad requests hold {words}", seen)
    elif answered:
        yield passed(subject, f"{len(answered)} bad requests were answered without a traceback or a path", seen)
