from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown
from inferaudit.engine_args import is_generative, serving_engines
from inferaudit.entrypoints import entries_of, time_limits
from inferaudit.units import parse_duration_s


@check(
    title="Time limits on the way are longer than the longest answer",
    severity=Severity.MEDIUM,
    needs=("workload.containers", "service.ingresses", "service.routes", "policy"),
    optional=("service.trafficpolicies", "service.fronts"),
    remediation=(
        "Raise the limit that is named above the longest answer, for example `timeouts.request: 300s` or "
        '`proxy-read-timeout: "300"`.'
    ),
    references=(
        "https://gateway-api.sigs.k8s.io/guides/http-timeouts/",
        "https://kubernetes.github.io/ingress-nginx/user-guide/nginx-configuration/annotations/",
    ),
)
def timeouts(snapshot: Snapshot, *, longest_answer_s: float = 0, assumed_s: float = 60) -> Iterator[Judgement]:
    """A gateway that gives up after a minute cuts long answers off, and the client asks again: the load doubles.

    The longest answer is the parameter, else the objective e2e_p99 of the policy, else a minute for servers that
    generate text. A limit between two reads is renewed by each token of a stream, and counts for the wait for the
    first. The way may lead over a router of the namespace; its own limits are not in view.
    """
    containers = snapshot.fact("workload.containers")
    policy = snapshot.fact("policy")
    slo = policy.get("slo")
    objective = slo.get("e2e_p99") if isinstance(slo, dict) else None
    generative = any(is_generative(engine) for _, engine in serving_engines(containers))
    if longest_answer_s:
        needed, source = longest_answer_s, "the parameter longest_answer_s"
    elif objective is not None:
        needed, source = parse_duration_s(objective), "the objective e2e_p99"
    else:
        needed, source = (assumed_s if generative else 0.0), "assumed for text" if generative else "nothing stated"
    for limit in time_limits(*entries_of(snapshot), snapshot.fact_or("service.trafficpolicies", ())):
        seconds = limit.seconds
        seen = Evidence(limit.source, seconds, f">= {needed:g} s ({source})")
        shown = (
            f"{seconds:g} s{' by default' if limit.default else ''}{' between two reads' if limit.idle else ''}"
            if seconds
            else ""
        )
        if not needed:
            yield unknown(limit.subject, "no target: how long may an answer take?", seen, key=limit.source)
        elif seconds is None and limit.subject.startswith("ingress/"):
            yield unknown(limit.subject, "the controller's own time limit is not in view", seen, key=limit.source)
        elif seconds is None:
            yield passed(limit.subject, "sets no time limit", seen, key=limit.source)
        elif seconds < needed:
            yield failed(limit.subject, f"cuts off after {shown}", seen, key=limit.source)
        else:
            yield passed(limit.subject, f"allows {shown}", seen, key=limit.source)
