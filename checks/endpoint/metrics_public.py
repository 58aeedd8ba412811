from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown
from inferaudit.endpoint_judgements import is_public, open_routes


@check(
    title="The metrics page is not open to the internet",
    severity=Severity.MEDIUM,
    needs=("endpoint.target", "endpoint.auth", "endpoint.connection"),
    remediation="Route only the API's own paths from outside, and let Prometheus scrape inside the cluster.",
    tags=("security",),
)
def metrics_public(snapshot: Snapshot) -> Iterator[Judgement]:
    """Metrics tell model names, load, errors and versions; on some servers a caller can even grow them without end."""
    subject = snapshot.fact("endpoint.target").subject
    public = is_public(snapshot.fact("endpoint.connection").addresses)
    where = Evidence("endpoint.connection.addresses", snapshot.fact("endpoint.connection").addresses)
    if not public:
        yield not_applicable(subject, "the address is not reached from the internet", where)
        return
    for route in open_routes(snapshot, "metrics"):
        seen = Evidence(f"endpoint.auth.routes[{route.route}].status", route.status, "401, 403 or 404")
        if route.open:
            yield failed(subject, f"anyone may GET {route.route}", seen, key=route.route)
        elif route.open is False or route.status == 404:
            yield passed(subject, f"GET {route.route} answers {route.status} from outside", seen, key=route.route)
        else:
            said = route.status if route.status is not None else "nothing"
            yield unknown(subject, f"GET {route.route} answers {said}: neither open nor closed", seen, key=route.route)
