from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed
from inferaudit.resilience import retries_of
from inferaudit.subjects import object_subject


@check(
    title="Retries cannot become a storm",
    severity=Severity.MEDIUM,
    needs=("service.routes", "service.ingresses"),
    optional=("service.trafficpolicies", "service.rollouts"),
    remediation=(
        "Retry once, and only what never reached a server (`attempts: 1`, `retryOn: connect-failure,refused-stream`), "
        "or bound the retries that run at once (`connectionPool.http.maxRetries`, `circuitBreaker.maxParallelRetries`)."
    ),
    references=(
        "https://istio.io/latest/docs/reference/config/networking/virtual-service/#HTTPRetry",
        "https://sre.google/sre-book/addressing-cascading-failures/",
    ),
)
def retries(snapshot: Snapshot, *, most: int = 3) -> Iterator[Judgement]:
    """A generation costs seconds of a GPU. Sent again because it was slow or refused, it makes the overload worse.

    What never reached a server may be sent again. Failures under load may be too, once, or within a budget.
    """
    policies = snapshot.fact("service.trafficpolicies") if snapshot.error("service.trafficpolicies") is None else []
    rollouts = snapshot.fact("service.rollouts") if snapshot.error("service.rollouts") is None else []
    rules = [obj for obj in rollouts if obj.get("kind") == "DestinationRule"]
    ingresses, routes = snapshot.fact("service.ingresses"), snapshot.fact("service.routes")
    found = retries_of(ingresses, routes, policies, rules)
    for retry in found:
        said = {"attempts": retry.attempts, "on": list(retry.on), "budget": retry.budget}
        seen = Evidence(retry.source, said, f"at most {most}, and 1 on failures under load without a budget")
        times = f"up to {retry.attempts + 1} times the load"
        if retry.default:
            yield passed(retry.subject, "the default repeats only what was never sent", seen, key=retry.source)
        elif retry.attempts > most:
            yield failed(retry.subject, f"{retry.attempts} retries: {times}", seen, key=retry.source)
        elif retry.attempts > 1 and retry.on and not retry.budget:
            why = f"{retry.attempts} retries on {', '.join(retry.on)}, without a budget: {times} when it is slow"
            yield failed(retry.subject, why, seen, key=retry.source)
        else:
            yield passed(retry.subject, f"{retry.attempts} retries", seen, key=retry.source)
    for obj in (*ingresses, *routes) if not found else ():
        yield passed(object_subject(obj), "sends no request again", Evidence("retries", None, "none, or few"))
