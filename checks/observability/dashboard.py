from collections.abc import Iterator

from inferaudit.alert_rules import Alert, concerns, is_tail, statistics
from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, review
from inferaudit.dashboards import Query, dashboards_of


@check(
    title="A dashboard shows the service, and its tail",
    severity=Severity.LOW,
    needs=("workload", "service.dashboards"),
    remediation=(
        "Write one with `inferaudit generate dashboard`, and keep it as a ConfigMap labelled `grafana_dashboard`."
    ),
    references=("https://sre.google/sre-book/monitoring-distributed-systems/",),
)
def dashboard(snapshot: Snapshot) -> Iterator[Judgement]:
    """Who is woken looks at a dashboard first. One that shows means is calm while a hundredth of the users wait.

    Read are dashboards kept as objects: ConfigMaps of the namespace and GrafanaDashboards. Boards that are kept in
    Grafana alone are seen by nobody else: a person says so.
    """
    workload = snapshot.fact("workload")
    boards = dashboards_of(snapshot.fact("service.dashboards"))
    about = [query for query in boards.queries if _watches(query, workload.namespace)]
    latency = [query for query in about if "latency" in _watches(query, workload.namespace)]
    shown = sorted({statistic for query in latency for statistic in statistics(query.expr)})
    subjects = list(dict.fromkeys(query.subject for query in about))
    seen = Evidence("dashboards", {name: len([q for q in about if q.subject == name]) for name in subjects}, "one")
    tail = Evidence("latency panels", shown or None, "p95 or above")
    if not about:
        others = len({query.subject for query in boards.queries} | set(boards.elsewhere))
        where = f"{others} dashboards are in view, none of which shows it" if others else "no dashboard is in view"
        yield review(workload.subject, f"{where}: where is the service looked at?", seen)
    elif any(is_tail(statistic) for statistic in shown):
        yield passed(workload.subject, f"{', '.join(subjects[:3])} shows its {', '.join(shown)}", seen, tail)
    elif latency:
        yield failed(subjects[0], f"shows {', '.join(shown)} of the latency, and no tail", tail, seen)
    else:
        yield failed(subjects[0], "shows nothing of how long answers take", tail, seen)


def _watches(query: Query, namespace: str) -> frozenset[str]:
    """What a panel shows of the service, read as an alert's expression is."""
    return frozenset(concerns(Alert(query.title, query.expr, query.subject, query.title, None, {}, {}), namespace))
