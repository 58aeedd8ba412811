from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown

# Of the client errors, those that complain about the request or its moment and not about who asks or what for.
_NO_ANSWER = frozenset((400, 408, 415, 422, 425, 429))


@check(
    title="What operators alone may see is not open",
    severity=Severity.HIGH,
    needs=("endpoint.target", "endpoint.runtime", "endpoint.auth"),
    remediation="Let the gateway pass the inference routes alone, and keep management ports inside the pod or behind "
    "a NetworkPolicy.",
    references=("https://owasp.org/API-Security/editions/2023/en/0xa5-broken-function-level-authorization/",),
    tags=("security",),
)
def admin_open(snapshot: Snapshot) -> Iterator[Judgement]:
    """Model servers have management APIs without any password: who reaches them loads models and reads prompts.

    Asked are the runtime's known admin routes that a GET shows; those that change something only with --active. A
    redirect, a busy gateway and a server error tell neither way; a management port that does not answer is closed.
    """
    target, runtime = snapshot.fact("endpoint.target"), snapshot.fact("endpoint.runtime")
    routes = [route for route in snapshot.fact("endpoint.auth").routes if route.kind == "admin"]
    if not routes:
        yield not_applicable(target.subject, f"no admin route of {runtime.title} that a GET shows is known")
    elif target.loopback:
        where = Evidence("endpoint.target.loopback", True)
        yield not_applicable(target.subject, "a loopback address: who else may call it was not looked at", where)
    for route in [] if target.loopback else routes:
        seen = Evidence(f"endpoint.auth.routes[{route.route}].status", route.status, "no success")
        if route.open:
            yield failed(target.subject, f"{route.route} is open: it {_does(route.says)}", seen, key=route.route)
        elif route.status is None and not route.route.startswith(":"):
            yield unknown(target.subject, f"{route.route} got no answer: neither yes nor no", seen, key=route.route)
        elif route.status is not None and _undecided(route.status):
            said = f"{route.route} answers {route.status}: neither yes nor no"
            yield unknown(target.subject, said, seen, key=route.route)
        else:
            said = "does not answer" if route.status is None else f"answers {route.status}"
            yield passed(target.subject, f"{route.route} {said}", seen, key=route.route)


def _undecided(status: int) -> bool:
    return status < 400 or status in _NO_ANSWER or (status >= 500 and status != 501)


def _does(says: str) -> str:
    return f"is {says}" if says.startswith("the ") else says
