from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed
from inferaudit.engine_args import engine_of, is_generative
from inferaudit.entrypoints import time_limits
from inferaudit.probe_timing import grace_s, pre_stop_s


@check(
    title="A pod that ends has time to finish its longest answer",
    severity=Severity.MEDIUM,
    needs=("workload", "workload.containers"),
    optional=("service.ingresses", "service.routes", "service.configmaps"),
    remediation="Set `terminationGracePeriodSeconds` to the longest answer plus the preStop pause plus a reserve.",
    references=("https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination",),
)
def grace_period(snapshot: Snapshot, *, longest_answer_s: float = 0, assumed_s: float = 60) -> Iterator[Judgement]:
    """Every rollout and every drained node ends pods that are in the middle of answers.

    What is not finished when the grace period is over is cut off in front of the user. The longest answer is the
    parameter, else the longest time limit of a route, else what the engine takes to drain, else a minute for a server
    that generates text.
    """
    workload = snapshot.fact("workload")
    grace = grace_s(workload.template.get("spec") or {})
    ingresses = snapshot.fact_or("service.ingresses", ())
    routes = snapshot.fact_or("service.routes", ())
    maps = snapshot.fact_or("service.configmaps", ())
    limits = [limit for limit in time_limits(ingresses, routes) if limit.seconds and not limit.idle]
    if not longest_answer_s:
        snapshot.require_read("service.ingresses", "service.routes", "service.configmaps")
    for container in snapshot.fact("workload.containers"):
        if not container["serving"]:
            continue
        engine = engine_of(container, maps)
        pause = pre_stop_s(container) or 0
        drain = engine.number("drain")
        if longest_answer_s:
            longest, source = longest_answer_s, "the parameter longest_answer_s"
        elif limits:
            limit = max(limits, key=lambda each: each.seconds or 0)
            longest, source = limit.seconds or 0, f"{limit.subject} {limit.source}"
        elif drain:
            longest, source = drain, engine.settings["drain"].source
        else:
            longest, source = (assumed_s, "assumed") if is_generative(engine) else (0.0, "none stated")
        needed = longest + pause
        seen = Evidence(
            "terminationGracePeriodSeconds", grace, f">= {needed:g} ({longest:g} s: {source}; preStop {pause:g} s)"
        )
        if grace < needed:
            yield failed(container["subject"], f"{grace} s to finish answers of up to {longest:g} s", seen)
        elif drain and drain + pause > grace:
            yield failed(container["subject"], f"the engine drains for {drain:g} s and is killed after {grace} s", seen)
        else:
            yield passed(container["subject"], f"{grace} s to finish", seen)
