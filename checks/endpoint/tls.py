from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed


@check(
    title="The endpoint speaks TLS",
    severity=Severity.HIGH,
    needs=("endpoint.target", "endpoint.tls"),
    remediation="Terminate TLS at the gateway (or in the server) and give the https URL.",
    tags=("security",),
)
def tls(snapshot: Snapshot) -> Iterator[Judgement]:
    """Prompts hold personal data and keys are bearers: whoever reads the wire has both.

    An address that nothing answers at is not judged either: whether anything travels there is not known.

    A loopback address is not judged: what travels over a port-forward never meets the network.
    """
    target = snapshot.fact("endpoint.target")
    seen = Evidence("endpoint.target.scheme", target.scheme, "https")
    if target.scheme == "https":
        yield passed(target.subject, "the URL is https", seen)
    elif target.loopback:
        yield not_applicable(target.subject, "a loopback address: the way users take was not looked at", seen)
    else:
        yield failed(target.subject, "requests, answers and keys travel in the clear", seen)
