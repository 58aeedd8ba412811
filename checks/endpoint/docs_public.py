from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed
from inferaudit.endpoint_judgements import is_public, open_routes


@check(
    title="The API's own documentation is not open to the internet",
    severity=Severity.LOW,
    needs=("endpoint.target", "endpoint.auth", "endpoint.connection"),
    remediation="Switch it off (vLLM: `--disable-fastapi-docs`), or route only the API's own paths from outside.",
    tags=("security",),
)
def docs_public(snapshot: Snapshot) -> Iterator[Judgement]:
    """The description lists every route, administration included, for whoever asks."""
    subject = snapshot.fact("endpoint.target").subject
    connection = snapshot.fact("endpoint.connection")
    if not is_public(connection.addresses):
        where = Evidence("endpoint.connection.addresses", connection.addresses)
        yield not_applicable(subject, "the address is not reached from the internet", where)
        return
    routes = open_routes(snapshot, "documentation")
    shown = [route.route for route in routes if route.open]
    seen = Evidence("endpoint.auth.routes[documentation]", {r.route: r.status for r in routes}, "404")
    if shown:
        yield failed(subject, f"anyone may GET {' and '.join(shown)}", seen)
    elif routes:
        yield passed(subject, "no documentation route answers", seen)
