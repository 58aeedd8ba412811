from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown
from inferaudit.endpoint_judgements import open_routes


@check(
    title="Inference wants credentials",
    severity=Severity.HIGH,
    needs=("endpoint.target", "endpoint.auth"),
    optional=("endpoint.active",),
    remediation="Require a key or token at the gateway (or in the server), on every inference route.",
    tags=("security",),
)
def auth(snapshot: Snapshot) -> Iterator[Judgement]:
    """An open inference endpoint is free GPU time for whoever finds it, and scanners find it within hours.

    Some servers guard a part of their routes only. A loopback address is not judged: what stands in front of it was
    not looked at.
    """
    target, answer = snapshot.fact("endpoint.target"), snapshot.fact("endpoint.auth")
    probes = snapshot.fact_or("endpoint.active", [])
    tried = next((p for p in probes if p.kind == "unauthorised"), None)
    models = open_routes(snapshot, "models")
    if target.loopback:
        where = Evidence("endpoint.target.loopback", True)
        yield not_applicable(target.subject, "a loopback address: who else may call it was not looked at", where)
    elif answer.inference_open:
        seen = Evidence("endpoint.auth.inference_open", True, False)
        yield failed(target.subject, "a real request without credentials was answered", seen)
    elif tried is not None:
        seen = Evidence("endpoint.active[unauthorised].status", tried.status, "401 or 403")
        if tried.status in (401, 403):
            yield passed(target.subject, f"a request without credentials is refused with {tried.status}", seen)
        elif tried.status is not None and tried.status < 300:
            yield failed(target.subject, "a good request without credentials was answered", seen)
        else:
            said = tried.status if tried.status is not None else tried.error
            yield unknown(target.subject, f"a request without credentials got {said}: neither yes nor no", seen)
    elif any(route.open is False for route in models):
        seen = Evidence("endpoint.auth.routes[models].open", False, False)
        yield passed(target.subject, f"GET {models[0].route} without credentials is refused ({models[0].status})", seen)
    else:
        seen = Evidence("endpoint.auth.inference_open", answer.inference_open, False)
        yield unknown(target.subject, "whether inference wants credentials was not tried: give --active", seen)
