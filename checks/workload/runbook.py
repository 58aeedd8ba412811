from collections.abc import Iterator

from inferaudit.alert_rules import alerts_of, concerns
from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed
from inferaudit.governance import attestation_valid, attested


@check(
    title="A runbook is one click away",
    severity=Severity.MEDIUM,
    needs=("workload",),
    optional=("service.rules", "process.attestations"),
    remediation="Annotate the workload with `runbook: https://…`, and every alert with `runbook_url`.",
    references=("https://prometheus.io/docs/practices/alerting/",),
)
def runbook(snapshot: Snapshot) -> Iterator[Judgement]:
    """GPU out of memory, a model that does not load, a latency spike, too much traffic: each has a first step.

    Who is woken by one of them should not have to search for it.
    """
    workload = snapshot.fact("workload")
    notes = (workload.object.get("metadata") or {}).get("annotations") or {}
    linked = {name: value for name, value in notes.items() if "runbook" in name.lower() and value}
    rules = snapshot.fact_or("service.rules", ())
    by_alert = [
        alert.annotations["runbook_url"]
        for alert in alerts_of(rules)
        if alert.annotations.get("runbook_url") and concerns(alert, workload.namespace)
    ]
    given = snapshot.fact_or("process.attestations", ())
    attests = [a for a in attested(given, "runbook") if attestation_valid(a, snapshot.collected_at)]
    if linked:
        name, value = next(iter(sorted(linked.items())))
        yield passed(
            workload.subject, f"the runbook is {value}", Evidence(f"metadata.annotations.{name}", value, "a link")
        )
    elif by_alert:
        shown = Evidence("rules[].annotations.runbook_url", by_alert[0], "a link")
        yield passed(workload.subject, f"{len(by_alert)} alerts link to a runbook", shown)
    elif attests:
        shown = Evidence("attestations", attests[0].evidence, "a runbook")
        yield passed(workload.subject, "a runbook is attested", shown)
    else:
        snapshot.require_read("service.rules")
        none = Evidence("metadata.annotations", sorted(notes), "runbook")
        yield failed(workload.subject, "no annotation, alert or attestation that counts leads to a runbook", none)
