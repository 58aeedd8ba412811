from collections.abc import Iterator

from inferaudit.api import (
    Evidence,
    FactErrorKind,
    Judgement,
    Outcome,
    Severity,
    Snapshot,
    check,
    failed,
    passed,
    unknown,
)
from inferaudit.entrypoints import entries_of
from inferaudit.resilience import retries_of
from inferaudit.subjects import object_subject


@check(
    title="Retries cannot become a storm",
    severity=Severity.MEDIUM,
    needs=("service.routes", "service.ingresses"),
    optional=("service.trafficpolicies", "service.rollouts", "service.fronts"),
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
    policies = snapshot.fact_or("service.trafficpolicies", [])
    rollouts = snapshot.fact_or("service.rollouts", [])
    rules = [obj for obj in rollouts if obj.get("kind") == "DestinationRule"]
    ingresses, routes = entries_of(snapshot)
    meshed = {object_subject(route) for route in routes if route.get("kind") == "VirtualService"}
    found = retries_of(ingresses, routes, policies, rules)
    said, sure = [], False
    for retry in found:
        shown = {"attempts": retry.attempts, "on": list(retry.on), "budget": retry.budget}
        seen = Evidence(retry.source, shown, f"at most {most}, and 1 on failures under load without a budget")
        times = f"up to {retry.attempts + 1} times the load"
        if retry.default:
            said.append(passed(retry.subject, "the default repeats only what was never sent", seen, key=retry.source))
        elif retry.attempts > most:
            said.append(failed(retry.subject, f"{retry.attempts} retries: {times}", seen, key=retry.source))
            sure = True
        elif retry.attempts > 1 and retry.on and not retry.budget:
            why = f"{retry.attempts} retries on {', '.join(retry.on)}, without a budget: {times} when it is slow"
            if retry.subject in meshed and _unread(snapshot, "service.rollouts"):
                why = "whether a DestinationRule bounds its retries was not read"
                said.append(unknown(retry.subject, why, seen, key=retry.source))
            else:
                said.append(failed(retry.subject, why, seen, key=retry.source))
                sure = True
        else:
            said.append(passed(retry.subject, f"{retry.attempts} retries", seen, key=retry.source))
    if not found:
        none = Evidence("retries", None, "none, or few")
        said += [passed(object_subject(obj), "sends no request again", none) for obj in (*ingresses, *routes)]
    # A policy that was not read may repeat what these do not; a failure stays one whatever it says.
    for name in ("service.rollouts", "service.trafficpolicies"):
        undecided = name == "service.trafficpolicies" or any(each.outcome is Outcome.UNKNOWN for each in said)
        if said and undecided and not sure and _unread(snapshot, name):
            snapshot.fact(name)
    yield from said


def _unread(snapshot: Snapshot, name: str) -> bool:
    """True where a fact could have been seen and was not, so that its absence says nothing."""
    error = snapshot.error(name)
    return error is not None and error.kind is not FactErrorKind.OUT_OF_VIEW
