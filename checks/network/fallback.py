from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, review
from inferaudit.fallbacks import checks_health, error_pages, fallbacks_of
from inferaudit.queue_fed import queue_feeding


@check(
    title="Something answers while the model does not",
    severity=Severity.LOW,
    needs=("workload", "service.routes", "service.ingresses"),
    optional=(
        "service.rollouts",
        "service.trafficpolicies",
        "service.backends",
        "service.inferencepools",
        "service.services",
        "service.autoscalers",
        "service.configmaps",
        "workload.containers",
    ),
    remediation=(
        "Give the route a second backend that takes over by itself (a Backend with `fallback: true` and a health "
        "check, `localityLbSetting.failover` with `outlierDetection`) or an error page; or try what callers get and "
        "attest it."
    ),
    references=(
        "https://gateway.envoyproxy.io/docs/tasks/traffic/failover/",
        "https://istio.io/latest/docs/tasks/traffic-management/locality-load-balancing/failover/",
    ),
)
def fallback(snapshot: Snapshot) -> Iterator[Judgement]:
    """When the only model is down every caller gets the proxy's own error, unless somebody decided what they get.

    Seen are backends that take over in Gateway API, Envoy Gateway and Istio, and error pages of ingress-nginx and
    Traefik. A backend with weight 0 takes over when a person says so. What callers do themselves stands in no object.
    """
    workload = snapshot.fact("workload")
    read = {
        name: snapshot.fact_or(name, ()) for name in ("service.rollouts", "service.trafficpolicies", "service.backends")
    }
    rules = [obj for obj in read["service.rollouts"] if obj.get("kind") == "DestinationRule"]
    entries = [*snapshot.fact("service.ingresses"), *snapshot.fact("service.routes")]
    policies = read["service.trafficpolicies"]
    found = fallbacks_of(
        snapshot.fact("service.ingresses"), snapshot.fact("service.routes"), rules, read["service.backends"]
    )
    found += error_pages(policies)
    seen = Evidence("fallbacks", [f"{each.subject}: {each.what}" for each in found] or None, "one that takes over")
    if not entries and (queue := queue_feeding(snapshot.facts)):
        yield not_applicable(workload.subject, queue, seen)
        return
    for i, each in enumerate(found):
        shown = Evidence(each.source, each.what, "takes over by itself")
        health = checks_health(policies)
        if each.kind == "automatic":
            yield passed(each.subject, each.what, shown, key=f"{i}")
        elif each.kind == "idle":
            yield failed(each.subject, f"{each.what}: {each.why}", shown, key=f"{i}")
        elif each.why == "backend" and health:
            yield passed(each.subject, f"{each.what}, by the health check of {health[0]}", shown, key=f"{i}")
        elif each.why == "backend":
            snapshot.require_read("service.trafficpolicies")
            text = f"{each.what} and never takes over: no BackendTrafficPolicy checks the first one's health"
            yield failed(each.subject, text, shown, key=f"{i}")
        else:
            yield review(each.subject, f"{each.what}: who switches to it, and how fast?", shown, key=f"{i}")
    if not found:
        snapshot.require_read(*read)
        yield review(workload.subject, "no object shows a fallback: what do callers get while the model is down?", seen)
