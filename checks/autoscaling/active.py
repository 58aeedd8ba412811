import re
from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown
from inferaudit.entrypoints import notes_of
from inferaudit.pod_state import condition
from inferaudit.scaling import scalers_of

_PAUSED = re.compile(r"autoscaling\.keda\.sh/paused(-replicas|-scale-in|-scale-out)?$")


@check(
    title="The autoscaler sees its metric and its target",
    severity=Severity.HIGH,
    needs=("service.autoscalers", "workload.pods"),  # the pods stand for a live cluster: files show no status
    remediation="Mend what the condition names: the metrics adapter, the metric's name, or the target's.",
    references=(
        "https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale-walkthrough/#appendix-horizontal-pod-autoscaler-status-conditions",
    ),
)
def active(snapshot: Snapshot) -> Iterator[Judgement]:
    """An autoscaler that cannot read its metric does nothing, and says so only in its status.

    The service then stands still at the size it had.
    """
    scalers = scalers_of(snapshot.fact("service.autoscalers"))
    for scaler in scalers:
        wanted = ("ScalingActive", "AbleToScale") if scaler.kind == "HorizontalPodAutoscaler" else ("Ready",)
        found = {kind: condition(scaler.object, kind) for kind in wanted}
        bad = [
            f"{kind}: {c.get('reason')}: {c.get('message', '')}"
            for kind, c in found.items()
            if c and c.get("status") == "False"
        ]
        # An HPA of a workload at zero replicas is switched off, and says so in this way.
        bad = [each for each in bad if "ScalingDisabled" not in each]
        fallback = condition(scaler.object, "Fallback")
        seen = Evidence("status.conditions", bad or [k for k, c in found.items() if c], "True")
        paused = [name for name, value in notes_of(scaler.object).items() if _PAUSED.match(name) and value != "false"]
        open_ = [
            f"{kind}: {c.get('reason')}: {c.get('message', '')}" if c else f"{kind} is not told yet"
            for kind, c in found.items()
            if not c or c.get("status") not in ("True", "False")
        ]
        if bad:
            yield failed(scaler.subject, "; ".join(bad), seen)
        elif paused:
            shown = Evidence("metadata.annotations", paused, "not there")
            yield failed(scaler.subject, f"is paused by the annotation {paused[0]}", shown)
        elif fallback and fallback.get("status") == "True":
            yield failed(scaler.subject, "its source of metrics fails: it holds the fallback replicas", seen)
        elif not any(found.values()):
            yield unknown(scaler.subject, "shows no conditions", seen)
        elif open_:
            yield unknown(scaler.subject, "; ".join(open_), Evidence("status.conditions", open_, "True"))
        else:
            yield passed(scaler.subject, "sees its metric and its target", seen)
