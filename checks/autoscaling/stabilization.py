from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed
from inferaudit.errors import UsageError
from inferaudit.kube.types import Workload
from inferaudit.pod_state import measured_start_s
from inferaudit.probe_timing import startup_budget
from inferaudit.scaling import scalers_of
from inferaudit.units import parse_duration_s

# https://knative.dev/docs/serving/autoscaling/: the window is a minute, and the delay nothing, unless they are set.
_KNATIVE, _KPA, _KNATIVE_WINDOW_S = "autoscaling.knative.dev/", "kpa.autoscaling.knative.dev", 60.0


@check(
    title="Replicas are not removed before they have paid off",
    severity=Severity.MEDIUM,
    needs=("workload", "workload.containers", "service.autoscalers"),
    optional=("workload.pods",),
    remediation="Set `behavior.scaleDown.stabilizationWindowSeconds` above the time a replica takes to load.",
    references=(
        "https://kubernetes.io/docs/concepts/workloads/autoscaling/horizontal-pod-autoscale/#stabilization-window",
    ),
)
def stabilization(snapshot: Snapshot) -> Iterator[Judgement]:
    """A replica that took five minutes to load must not go after the first quiet minute: the next peak loads it again.

    Held against the slowest start that was seen; where none was, five minutes, which is the default.
    """
    workload = snapshot.fact("workload")
    scalers = scalers_of(snapshot.fact("service.autoscalers"))
    knative = _knative(workload)
    if not scalers and not knative:
        yield not_applicable(
            workload.subject, "nothing scales it", Evidence("autoscalers", [], "an HPA or a ScaledObject")
        )
    pods = snapshot.fact_or("workload.pods", [])
    names = [c for c in snapshot.fact("workload.containers") if c["serving"]]
    budgets = {c["name"]: (startup_budget(c) or (None, None))[1] for c in names}
    starts = [s for c in names if (s := measured_start_s(pods, c["name"], budgets[c["name"]]))]
    if (scalers or knative) and not starts:
        snapshot.require_read("workload.pods")
    if knative:
        needed, source = max(starts) if starts else (300.0, "no start was measured")
        waits, seen = _knative_s(knative), Evidence(f"{_KNATIVE}scale-down-delay, window", knative, f">= {needed:g}")
        if waits < needed:
            text = f"Knative removes replicas after {waits:g} s; loading one took {needed:g} s ({source})"
            yield failed(workload.subject, text, seen, key="knative")
        else:
            yield passed(workload.subject, f"Knative waits {waits:g} s before it removes replicas", seen, key="knative")
    for scaler in scalers:
        needed, source = max(starts) if starts else (300.0, "no start was measured")
        needed = max(needed, 0.0)
        seen = Evidence("scaleDown.stabilizationWindowSeconds", scaler.down_s, f">= {needed:g} ({source})")
        if scaler.down_s < needed:
            yield failed(
                scaler.subject, f"removes replicas after {scaler.down_s} s; loading one took {needed:g} s", seen
            )
        else:
            yield passed(scaler.subject, f"waits {scaler.down_s} s before it removes replicas", seen)


def _knative(workload: Workload) -> dict[str, str]:
    """Knative's annotations on the pods of a revision, less their prefix; empty where it does not scale them."""
    notes = {
        **((workload.object.get("metadata") or {}).get("annotations") or {}),
        **((workload.template.get("metadata") or {}).get("annotations") or {}),
    }
    found = {name.removeprefix(_KNATIVE): str(value) for name, value in notes.items() if name.startswith(_KNATIVE)}
    return found if found.get("class", _KPA) == _KPA else {}


def _knative_s(knative: dict[str, str]) -> float:
    """How long a lower need must last: the window over which Knative averages, and its delay."""
    return _seconds(knative.get("window"), _KNATIVE_WINDOW_S) + _seconds(knative.get("scale-down-delay"), 0.0)


def _seconds(text: str | None, default: float) -> float:
    try:
        return (parse_duration_s(text) or 0.0) if text else default
    except UsageError:
        return default
