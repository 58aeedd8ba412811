from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown


@check(
    title="Web pages of other origins may not call the service with its users' rights",
    severity=Severity.MEDIUM,
    needs=("endpoint.target", "endpoint.auth"),
    optional=("endpoint.active",),
    remediation="Name the origins that may call it (vLLM: --allowed-origins, Ollama: OLLAMA_ORIGINS), or let the "
    "gateway answer CORS; `*` belongs to services that want a key on every request.",
    references=("https://fetch.spec.whatwg.org/#cors-protocol",),
    tags=("security",),
)
def cors(snapshot: Snapshot) -> Iterator[Judgement]:
    """A service that any web page may call is open to every browser that can reach it, inside the firewall too.

    Asked is one GET with a foreign Origin. An allowed origin does no harm where every request needs a key of its own.
    """
    answer, subject = snapshot.fact("endpoint.auth"), snapshot.fact("endpoint.target").subject
    seen = Evidence("endpoint.auth.cors_origin", answer.cors_origin, None)
    foreign = answer.cors_origin == "https://inferaudit.invalid"
    status, is_open = answer.cors_status, _inference_open(snapshot)
    if answer.cors_origin is None and (status is None or status == 429 or status >= 500):
        said = "got no answer" if status is None else f"was answered with {status}"
        asked = Evidence("endpoint.auth.cors_status", status, "an answer of the service")
        yield unknown(subject, f"the GET with a foreign origin {said}: neither yes nor no", asked)
    elif answer.cors_origin is None:
        yield passed(subject, "a foreign origin is not allowed to read answers", seen)
    elif foreign and answer.cors_credentials:
        yield failed(subject, "any origin is allowed, and with the user's cookies and keys", seen)
    elif (foreign or answer.cors_origin == "*") and is_open:
        yield failed(subject, f"any origin is allowed ({answer.cors_origin}) and inference wants no credentials", seen)
    elif (foreign or answer.cors_origin == "*") and is_open is None:
        said = f"any origin is allowed ({answer.cors_origin}); whether inference wants credentials was not asked"
        yield unknown(subject, f"{said}: give --active", seen)
    elif foreign or answer.cors_origin == "*":
        yield passed(subject, "any origin may read answers, and inference wants credentials", seen)
    else:
        yield passed(subject, f"the origin {answer.cors_origin} is allowed, and not every one", seen)


def _inference_open(snapshot: Snapshot) -> bool | None:
    """Does inference answer without credentials? None = not asked, or answered neither way."""
    answer = snapshot.fact("endpoint.auth")
    if answer.inference_open is not None or snapshot.error("endpoint.active") is not None:
        return bool(answer.inference_open) if answer.inference_open is not None else None
    tried = next((p.status for p in snapshot.fact("endpoint.active") if p.kind == "unauthorised"), None)
    if tried is not None and tried < 300:
        return True
    return False if tried in (401, 403) else None
