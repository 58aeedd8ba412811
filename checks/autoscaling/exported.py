from collections.abc import Iterator

from inferaudit.alert_rules import recorded_names
from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed
from inferaudit.engine_args import serving_engines
from inferaudit.metric_owners import exports_known, foreign_metrics, misspelt_metrics, owned_metrics
from inferaudit.scaling import scalers_of


@check(
    title="The autoscaler reads metrics that this runtime exports",
    severity=Severity.HIGH,
    needs=("workload", "workload.containers", "service.autoscalers"),
    optional=("service.configmaps", "service.rules", "prometheus.rules"),
    remediation="Scale on a metric of the runtime that serves, for example its count of waiting requests.",
    references=("https://keda.sh/docs/latest/scalers/prometheus/",),
)
def exported(snapshot: Snapshot) -> Iterator[Judgement]:
    """A query for another runtime's metric has no answer: an HPA then keeps its size for ever, and KEDA reads zero.

    A misspelt one has none either. The metric of an HPA may be an adapter's own name; only a slip of the pen counts.
    """
    maps = snapshot.fact_or("service.configmaps", ())
    engines = [engine for _, engine in serving_engines(snapshot.fact("workload.containers"), maps)]
    told = exports_known(engines)
    scalers = scalers_of(snapshot.fact("service.autoscalers"))
    if not scalers:
        subject = snapshot.fact("workload").subject
        yield not_applicable(subject, "nothing scales it", Evidence("autoscalers", [], "an HPA or a ScaledObject"))
    for scaler in scalers:
        owned = {name for signal in scaler.signals for name in owned_metrics(signal)}
        foreign = {
            name: owners
            for signal in (scaler.signals if told else ())
            for name, owners in foreign_metrics(signal, engines).items()
        }
        recorded = recorded_names(snapshot)
        slips = {
            name: meant
            for signal in scaler.signals
            for name, meant in misspelt_metrics(signal, engines, recorded).items()
            if scaler.kind != "HorizontalPodAutoscaler" or not _renamed(name, meant)
        }
        seen = Evidence("metrics", list(scaler.signals), "metrics of this runtime")
        if slips:
            name, meant = next(iter(slips.items()))
            text = f"scales on {name}, which nobody is known to export: {meant} is meant"
            yield failed(scaler.subject, text, seen)
        elif foreign:
            name, owners = next(iter(foreign.items()))
            text = f"scales on {name} of {' or '.join(owners)}, and {engines[0].title} serves: it is never answered"
            yield failed(scaler.subject, text, seen)
        elif told and owned:
            yield passed(scaler.subject, f"reads what {engines[0].title} exports", seen)
        else:
            yield not_applicable(scaler.subject, "reads no metric of which it can be told who exports it", seen)


def _renamed(name: str, meant: str) -> bool:
    """Whether one is the other with something added, as an adapter may call it."""
    return name.replace(":", "_") in meant.replace(":", "_") or meant.replace(":", "_") in name.replace(":", "_")
