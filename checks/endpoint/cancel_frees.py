from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown


@check(
    title="A cancelled stream stops costing",
    severity=Severity.MEDIUM,
    needs=("endpoint.target", "endpoint.active"),
    active=True,
    remediation="Let the gateway close the upstream when the client leaves, and the server abort the generation.",
)
def cancel_frees(snapshot: Snapshot) -> Iterator[Judgement]:
    """Users close tabs. A generation that goes on for nobody holds its batch slot and KV cache from everyone else."""
    subject = snapshot.fact("endpoint.target").subject
    for probe in snapshot.fact("endpoint.active"):
        if probe.kind != "cancelled":
            continue
        seen = Evidence("endpoint.active[cancelled].freed", probe.freed, True)
        if probe.freed is None:
            yield unknown(subject, probe.detail or "whether the request was freed could not be seen", seen)
        elif probe.freed:
            yield passed(subject, f"a stream that its client left is ended ({probe.detail})", seen)
        else:
            yield failed(subject, f"a stream that its client left goes on ({probe.detail})", seen)
