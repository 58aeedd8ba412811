from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown


@check(
    title="A routed receiver reaches a person",
    severity=Severity.HIGH,
    needs=("alertmanager.receivers", "alertmanager.status"),
    remediation="Give the default route a receiver with an integration (pager, chat, mail), and send a test alert.",
    references=("https://prometheus.io/docs/alerting/latest/configuration/#route",),
)
def receiver(snapshot: Snapshot) -> Iterator[Judgement]:
    """The default receiver takes every alert that no route claims; one without an integration drops them all."""
    receivers, status = snapshot.fact("alertmanager.receivers"), snapshot.fact("alertmanager.status")
    routed = {r.name: r.integrations for r in receivers if r.routed}
    seen = Evidence("alertmanager.receivers[routed].integrations", routed, "at least 1 for the default receiver")
    default = next((r for r in receivers if r.name == status.default_receiver), None)
    subject = "endpoint/alertmanager"
    if default is None or default.integrations is None:
        yield unknown(subject, "which receiver the default route has could not be read", seen)
    elif default.integrations == 0:
        others = [name for name, count in routed.items() if count]
        rest = f"; only what is routed to {', '.join(others)} reaches anyone" if others else ""
        yield failed(subject, f"the default receiver {default.name} reaches nobody{rest}", seen)
    else:
        yield passed(subject, f"the default receiver {default.name} notifies by {', '.join(default.kinds)}", seen)
