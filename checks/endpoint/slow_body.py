from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown
from inferaudit.endpoint_judgements import BUSY

_AT_ONCE_S = 1.0  # an answer so early is one to the head, and no time limit


@check(
    title="A client that stops in the middle of a request is let go",
    severity=Severity.LOW,
    needs=("endpoint.target", "endpoint.held"),
    active=True,
    remediation="Set a time limit on request bodies at the gateway: nginx `client_body_timeout 60s`, Envoy "
    "`request_timeout: 60s` in the connection manager, Go `http.Server.ReadTimeout`.",
    references=(
        "https://nginx.org/en/docs/http/ngx_http_core_module.html#client_body_timeout",
        "https://www.envoyproxy.io/docs/envoy/latest/faq/configuration/timeouts",
    ),
)
def slow_body(snapshot: Snapshot, *, max_s: float = 75) -> Iterator[Judgement]:
    """Connections that are held for ever run out: a thousand phones that lost their network are enough.

    With `--hold` half a body is sent, and then nothing. It must be answered or closed within `max_s` (a minute is
    usual); held to the end of a shorter time it is not known.
    """
    subject = snapshot.fact("endpoint.target").subject
    held = next((h for h in snapshot.fact("endpoint.held") if h.kind == "slow_body"), None)
    if held is None:
        yield not_applicable(subject, "no body was held back")
        return
    seen = Evidence("endpoint.held[slow_body]", f"{held.ended} after {held.after_s:g} s", f"within {max_s:g} s")
    if held.ended == "error":
        yield unknown(subject, f"{held.sent}: {held.detail}", seen)
    elif held.ended == "answer" and held.after_s < _AT_ONCE_S and (held.status in BUSY or held.status in (401, 403)):
        yield unknown(subject, f"{held.sent}: refused at once with {held.status}", seen)
    elif held.ended == "closed" and held.after_s < _AT_ONCE_S:
        yield unknown(subject, f"{held.sent}: the connection was closed at once, before any time limit", seen)
    elif held.ended == "held" and held.limit_s < max_s:
        text = f"{held.sent}: still held after {held.limit_s:g} s; --hold {max_s + 5:g}s would tell"
        yield unknown(subject, text, seen)
    elif held.ended == "held" or held.after_s > max_s:
        yield failed(subject, f"{held.sent}: the connection was held for {held.after_s:.0f} s", seen)
    else:
        how = f"answered with {held.status}" if held.ended == "answer" else "closed"
        yield passed(subject, f"{held.sent}: {how} after {held.after_s:.1f} s", seen)
