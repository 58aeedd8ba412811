from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown

_REACHED = frozenset((400, 415, 422, 500))


@check(
    title="Every route that runs the model wants credentials",
    severity=Severity.HIGH,
    needs=("endpoint.target", "endpoint.runtime", "endpoint.auth", "endpoint.active"),
    active=True,
    remediation="Check the key at the gateway for all paths, or pass only those that the server itself guards "
    "(vLLM's --api-key guards /v1 and leaves /invocations open).",
    references=("https://docs.vllm.ai/en/latest/usage/security/",),
    tags=("security",),
)
def auth_every_route(snapshot: Snapshot) -> Iterator[Judgement]:
    """A key on the documented route is worth nothing where a second route runs the same model without one.

    Each of the runtime's inference routes gets one empty object without credentials; nothing is generated.
    """
    target, runtime = snapshot.fact("endpoint.target"), snapshot.fact("endpoint.runtime")
    probes = [probe for probe in snapshot.fact("endpoint.active") if probe.kind == "unauthorised_route"]
    if not snapshot.fact("endpoint.auth").credentials:
        yield not_applicable(target.subject, "the audit was given no credentials, so there is no key to go round")
        return
    if not probes:
        yield not_applicable(target.subject, f"no further inference route of {runtime.title} is known")
        return
    for probe in probes:
        seen = Evidence(f"endpoint.active[unauthorised_route {probe.route}].status", probe.status, "401 or 403")
        if probe.status in (401, 403, 407):
            yield passed(target.subject, f"{probe.route} wants credentials ({probe.status})", seen, key=probe.route)
        elif probe.status in (404, 405, 501):
            yield passed(target.subject, f"{probe.route} is not there ({probe.status})", seen, key=probe.route)
        elif probe.status is not None and (probe.status < 300 or probe.status in _REACHED):
            said = f"{probe.route} answers {probe.status} without credentials: the model is behind it"
            yield failed(target.subject, said, seen, key=probe.route)
        else:
            said = probe.error if probe.status is None else probe.status
            yield unknown(target.subject, f"{probe.route} got {said}: neither yes nor no", seen, key=probe.route)
