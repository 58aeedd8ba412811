from collections.abc import Iterator

from inferaudit.alert_rules import alerts_about, known_alerts, recorded_names
from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed
from inferaudit.engine_args import serving_engines
from inferaudit.metric_owners import exports_known, foreign_metrics, misspelt_metrics, owned_metrics


@check(
    title="Alerts read the metrics of the runtime that serves",
    severity=Severity.MEDIUM,
    needs=("workload", "workload.containers"),
    optional=("service.rules", "prometheus.rules", "service.configmaps"),
    remediation="Rewrite the rule for the runtime's own names; `inferaudit generate alerts` knows them.",
    references=("https://prometheus.io/docs/practices/alerting/",),
)
def alert_runtime(snapshot: Snapshot) -> Iterator[Judgement]:
    """When a service moves to another runtime its alerts stay behind: valid, healthy, and over metrics that nobody
    exports any more. So is one whose metric is misspelt.

    Judged are alerts that name the service's namespace, or lie in it, and read what one known runtime alone exports.
    """
    workload = snapshot.fact("workload")
    maps = snapshot.fact_or("service.configmaps", ())
    engines = [engine for _, engine in serving_engines(snapshot.fact("workload.containers"), maps)]
    recorded = recorded_names(snapshot)
    alerts = [a for a in alerts_about(snapshot, workload.namespace) if _names(a.subject, a.expr, workload.namespace)]
    judged = False
    # What a misspelt metric watches cannot be told from it.
    for alert in (a for a in known_alerts(snapshot) if _names(a.subject, a.expr, workload.namespace)):
        for name, meant in misspelt_metrics(alert.expr, engines, recorded).items():
            judged = True
            text = f"{alert.name} reads {name}, which nobody is known to export: {meant} is meant"
            yield failed(alert.subject, text, Evidence(alert.path, name, meant), key=f"{alert.path} {name}")
    for alert in alerts if exports_known(engines) else ():
        known, foreign = owned_metrics(alert.expr), foreign_metrics(alert.expr, engines)
        if not known:
            continue
        judged = True
        title = engines[0].title
        seen = Evidence(alert.path, sorted(known), f"metrics of {title}")
        if foreign:
            name, owners = next(iter(foreign.items()))
            text = f"{alert.name} reads {name} of {' or '.join(owners)}, and {title} serves: it never fires"
            yield failed(alert.subject, text, seen, key=alert.path)
        else:
            yield passed(alert.subject, f"{alert.name} reads what {title} exports", seen, key=alert.path)
    if not judged:
        none = Evidence("alerting rules", len(alerts), "one on a runtime's own metric")
        yield not_applicable(workload.subject, "no alert of the service reads a metric that one runtime owns", none)


def _names(subject: str, expr: str, namespace: str) -> bool:
    """True for a rule of this service, and not one for all of the cluster."""
    return subject.split("/")[1:2] == [namespace] or f'"{namespace}"' in expr
