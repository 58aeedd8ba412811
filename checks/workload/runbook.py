from collections.abc import Iterator

from inferaudit.alert_rules import alerts_of, concerns
from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed


@check(
    title="A runbook is one click away",
    severity=Severity.MEDIUM,
    needs=("workload",),
    optional=("service.rules", "policy"),
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
    rules = snapshot.fact("service.rules") if snapshot.error("service.rules") is None else ()
    by_alert = [
        alert.annotations["runbook_url"]
        for alert in alerts_of(rules)
        if alert.annotations.get("runbook_url") and concerns(alert, workload.namespace)
    ]
    attested = []
    if snapshot.error("policy") is None:
        items = snapshot.fact("policy").get("attestations") or ()
        attested = [item["evidence"] for item in items if "runbook" in item.get("item", "")]
    if linked:
        name, value = next(iter(sorted(linked.items())))
        yield passed(
            workload.subject, f"the runbook is {value}", Evidence(f"metadata.annotations.{name}", value, "a link")
        )
    elif by_alert:
        shown = Evidence("rules[].annotations.runbook_url", by_alert[0], "a link")
        yield passed(workload.subject, f"{len(by_alert)} alerts link to a runbook", shown)
    elif attested:
        yield passed(workload.subject, "a runbook is attested", Evidence("attestations", attested[0], "a link"))
    else:
        none = Evidence("metadata.annotations", sorted(notes), "runbook")
        yield failed(workload.subject, "no annotation, alert or attestation leads to a runbook", none)
