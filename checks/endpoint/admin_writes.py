from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown

_REACHED = frozenset((400, 415, 422, 500))


@check(
    title="What changes the server wants credentials",
    severity=Severity.HIGH,
    needs=("endpoint.target", "endpoint.runtime", "endpoint.active"),
    active=True,
    remediation="Block these routes at the gateway, start the server without them, or give it a key that covers them.",
    references=("https://owasp.org/API-Security/editions/2023/en/0xa5-broken-function-level-authorization/",),
    tags=("security",),
)
def admin_writes(snapshot: Snapshot) -> Iterator[Judgement]:
    """Who may load a model may fill the GPU, replace what answers, or make the server fetch from an address of theirs.

    Each of the runtime's admin routes gets one empty object without credentials. An answer that complains about the
    object came from the route: it was reached.
    """
    target, runtime = snapshot.fact("endpoint.target"), snapshot.fact("endpoint.runtime")
    probes = [probe for probe in snapshot.fact("endpoint.active") if probe.kind == "admin"]
    if not probes:
        yield not_applicable(target.subject, f"no admin route of {runtime.title} that takes a POST is known")
    elif target.loopback:
        where = Evidence("endpoint.target.loopback", True)
        yield not_applicable(target.subject, "a loopback address: who else may call it was not looked at", where)
    for probe in [] if target.loopback else probes:
        seen = Evidence(f"endpoint.active[admin {probe.route}].status", probe.status, "401, 403 or 404")
        if probe.status is None or probe.status in (429, 502, 503, 504):
            said = probe.error if probe.status is None else probe.status
            yield unknown(target.subject, f"POST {probe.route} got {said}: neither yes nor no", seen, key=probe.route)
        elif probe.status < 300 or probe.status in _REACHED:
            said = f"POST {probe.route} is open ({probe.status}): it {probe.detail}"
            yield failed(target.subject, said, seen, key=probe.route)
        else:
            yield passed(target.subject, f"POST {probe.route} answers {probe.status}", seen, key=probe.route)
