import re
from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed


@check(
    title="Headers give away no version",
    severity=Severity.LOW,
    needs=("endpoint.target", "endpoint.connection"),
    remediation="Strip or blank the Server and X-Powered-By headers at the gateway.",
    tags=("security",),
)
def server_header(snapshot: Snapshot) -> Iterator[Judgement]:
    """A version in a header tells a scanner at once which known hole to try."""
    subject, seen_of = snapshot.fact("endpoint.target").subject, snapshot.fact("endpoint.connection")
    said = {"server": seen_of.server, "x-powered-by": seen_of.powered_by, "via": seen_of.via}
    telling = {name: value for name, value in said.items() if value and re.search(r"/\s*\d|\d+\.\d+\.\d+", value)}
    if telling:
        words = ", ".join(f"{name}: {value}" for name, value in telling.items())
        yield failed(subject, f"the answer says {words}", Evidence("endpoint.connection", telling, "no version"))
    else:
        kept = {name: value for name, value in said.items() if value}
        yield passed(subject, "no header names a version", Evidence("endpoint.connection", kept, "no version"))
