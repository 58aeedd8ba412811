import re
from collections.abc import Iterator

from inferaudit.alert_rules import alerts_about, metric_names
from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed
from inferaudit.engine_args import serving_engines
from inferaudit.runtime_registry import runtimes

# Names that no gateway and no client library shares with a runtime.
_OWN = re.compile(
    r"(?:ray_)?(?:vllm|sglang|llamacpp|trtllm)[:_]|tgi_|te_|nv_(?:inference|gpu)|ts_|bentoml_|:tensorflow:"
)
_SUFFIX = re.compile(r"_(?:bucket|sum|count|total|created)$")


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
    exports any more.

    Judged are alerts that name the service's namespace, or lie in it, and read what one known runtime alone exports.
    """
    workload = snapshot.fact("workload")
    maps = snapshot.fact("service.configmaps") if snapshot.error("service.configmaps") is None else ()
    engines = [engine for _, engine in serving_engines(snapshot.fact("workload.containers"), maps) if engine.known]
    served = {engine.profile.name for engine in engines}
    owners: dict[str, set[str]] = {}
    for runtime in runtimes().values():
        for names in runtime.metrics.values():
            for metric in names:
                owners.setdefault(_SUFFIX.sub("", metric.name), set()).add(runtime.name)
    alerts = [a for a in alerts_about(snapshot, workload.namespace) if _names(a.subject, a.expr, workload.namespace)]
    judged = False
    for alert in alerts if engines else ():
        read = {name: owners.get(_SUFFIX.sub("", name), set()) for name in metric_names(alert.expr) if _OWN.match(name)}
        known = {name: of for name, of in read.items() if of}
        if not known:
            continue
        judged = True
        foreign = sorted(name for name, of in known.items() if not of & served)
        title = engines[0].title
        seen = Evidence(alert.path, sorted(known), f"metrics of {title}")
        if foreign:
            whose = " or ".join(sorted(known[foreign[0]]))
            text = f"{alert.name} reads {foreign[0]} of {whose}, and {title} serves: it never fires"
            yield failed(alert.subject, text, seen, key=alert.path)
        else:
            yield passed(alert.subject, f"{alert.name} reads what {title} exports", seen, key=alert.path)
    if not judged:
        none = Evidence("alerting rules", len(alerts), "one on a runtime's own metric")
        yield not_applicable(workload.subject, "no alert of the service reads a metric that one runtime owns", none)


def _names(subject: str, expr: str, namespace: str) -> bool:
    """True for a rule of this service, and not one for all of the cluster."""
    return subject.split("/")[1:2] == [namespace] or f'"{namespace}"' in expr
