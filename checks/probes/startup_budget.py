from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown
from inferaudit.engine_args import serving_engines
from inferaudit.pod_state import measured_start_s
from inferaudit.probe_timing import startup_budget as budget_of


@check(
    title="The startup budget covers the time the model takes to load",
    severity=Severity.HIGH,
    needs=("workload", "workload.containers"),
    optional=("workload.pods",),
    remediation=(
        "Raise the startupProbe's `failureThreshold` until initialDelay + period × failureThreshold is 1.5 times "
        "the slowest start."
    ),
    references=("https://kubernetes.io/docs/concepts/workloads/pods/probes/#startup-probe",),
)
def startup_budget(
    snapshot: Snapshot, *, margin: float = 1.5, minimum_gpu_s: int = 300, minimum_s: int = 60
) -> Iterator[Judgement]:
    """A start that takes longer than its probe allows is killed and begins again, for ever.

    A cold node that pulls image and weights is slower than the nodes that were measured, hence the margin. Where no
    start was seen, a GPU workload is held to five minutes, which models of several gigabytes take; a server of
    embeddings, whose models are small, is not.
    """
    workload = snapshot.fact("workload")
    pods = snapshot.fact_or("workload.pods", [])
    for container, engine in serving_engines(snapshot.fact("workload.containers")):
        subject, found = container["subject"], budget_of(container)
        if found is None:
            yield passed(
                subject, "no probe ends a slow start", Evidence("startupProbe, livenessProbe", None, "none, or patient")
            )
            continue
        probe, budget = found
        start = measured_start_s(pods, container["name"], budget)
        if start:
            took, pod = start
            seen = Evidence(f"{probe} budget, s", budget, f">= {took * margin:g} ({margin:g} × {took:g} of {pod})")
            if budget < took * margin:
                yield failed(subject, f"{budget} s for a start that took {took:g} s", seen)
            else:
                yield passed(subject, f"{budget} s for a start that took {took:g} s", seen)
            continue
        snapshot.require_read("workload.pods")
        large = workload.uses_gpu and engine.profile.kind != "embeddings"
        needed = minimum_gpu_s if large else minimum_s
        seen = Evidence(f"{probe} budget, s", budget, f">= {needed} while no start was measured")
        if budget >= needed:
            yield passed(subject, f"{budget} s; no start was measured", seen)
        elif large:
            yield failed(subject, f"{budget} s to load a model onto a GPU; no start was measured", seen)
        else:
            yield unknown(subject, f"{budget} s may or may not do: no start was measured", seen)
