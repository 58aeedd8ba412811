from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed
from inferaudit.scaling import scalers_of


@check(
    title="A dead metric does not scale the service down",
    severity=Severity.MEDIUM,
    needs=("service.autoscalers",),
    remediation=(
        'Set `ignoreNullValues: "false"` on Prometheus triggers, and a `fallback` with as many replicas as a '
        "peak needs."
    ),
    references=("https://keda.sh/docs/latest/scalers/prometheus/",),
)
def dead_metric(snapshot: Snapshot) -> Iterator[Judgement]:
    """KEDA reads a Prometheus without an answer as zero: when monitoring fails, the service shrinks in the middle of
    the day.

    A fallback tells it what to do instead.
    """
    scalers = scalers_of(snapshot.fact("service.autoscalers"))
    for scaler in scalers:
        spec = scaler.object.get("spec") or {}
        fallback = (spec.get("fallback") or {}).get("replicas")
        blind = [
            t.get("name") or t.get("type")
            for t in spec.get("triggers") or ()
            if t.get("type") == "prometheus"
            and str((t.get("metadata") or {}).get("ignoreNullValues", "true")) != "false"
        ]
        seen = Evidence("spec.triggers", blind or len(spec.get("triggers") or ()), 'ignoreNullValues: "false"')
        room = Evidence("spec.fallback.replicas", fallback, "set")
        if scaler.kind != "ScaledObject":
            yield not_applicable(scaler.subject, "an HPA keeps its size while its metric is missing", seen)
        elif blind:
            yield failed(scaler.subject, "reads a Prometheus without an answer as zero", seen, room)
        elif fallback is None:
            yield failed(scaler.subject, "has no fallback for a metric that fails", room, seen)
        else:
            yield passed(scaler.subject, f"falls back to {fallback} replicas", room, seen)
