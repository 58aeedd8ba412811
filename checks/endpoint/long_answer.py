from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown
from inferaudit.units import parse_duration_s

_AT_ONCE_S = 1.0  # no time limit is as short
_TIMED_OUT = frozenset((408, 504, 524))


@check(
    title="The longest answer comes through",
    severity=Severity.MEDIUM,
    needs=("endpoint.target", "endpoint.held", "policy"),
    active=True,
    remediation="Raise the time limit that cuts it (gateway, load balancer, server) above the longest answer, or let "
    "clients stream: `network-timeouts` names the limits that are configured.",
    references=(
        "https://gateway-api.sigs.k8s.io/guides/http-timeouts/",
        "https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_read_timeout",
    ),
    tags=("layer:outcome",),
)
def long_answer(snapshot: Snapshot, *, longest_answer_s: float = 0, assumed_s: float = 60) -> Iterator[Judgement]:
    """What the configuration allows on paper, some box on the way may cut: only a long answer shows it.

    With `--hold` one long text is asked for, not streamed, and given up when the time is over. It must live as long as
    the longest answer: the parameter, else the objective e2e_p99 of the policy, else a minute.
    """
    subject = snapshot.fact("endpoint.target").subject
    held = next((h for h in snapshot.fact("endpoint.held") if h.kind == "long_answer"), None)
    if held is None:
        yield not_applicable(subject, "the API generates no text, so nothing makes an answer long")
        return
    slo = snapshot.fact("policy").get("slo")
    objective = slo.get("e2e_p99") if isinstance(slo, dict) else None
    if longest_answer_s:
        needed, source = longest_answer_s, "the parameter longest_answer_s"
    elif objective is not None:
        needed, source = parse_duration_s(objective), "the objective e2e_p99"
    else:
        needed, source = assumed_s, "assumed for text"
    after, status = held.after_s, held.status
    seen = Evidence("endpoint.held[long_answer].after_s", round(after, 1), f">= {needed:g} s ({source})")
    cut = (held.ended == "closed" and after >= _AT_ONCE_S) or (held.ended == "answer" and status in _TIMED_OUT)
    if held.ended == "held" and held.limit_s >= needed:
        yield passed(subject, f"{held.sent} was still awaited after {held.limit_s:g} s", seen)
    elif held.ended == "held":
        yield unknown(subject, f"awaited for {held.limit_s:g} s only; --hold {needed + 5:g}s would tell", seen)
    elif cut and after < needed:
        how = f"cut off with {status}" if held.ended == "answer" else "cut off without an answer"
        yield failed(subject, f"{held.sent}: {how} after {after:.1f} s", seen)
    elif cut or (status == 200 and after >= needed):
        how = "an answer came" if status == 200 else "it was cut off"
        yield passed(subject, f"{held.sent}: {how} after {after:.1f} s, and {needed:g} s are needed", seen)
    elif status == 200:
        text = f"{held.sent}: it was whole after {after:.1f} s, so that nothing longer was tried"
        yield unknown(subject, text, seen)
    else:
        said = f"answered with {status}" if status is not None else held.detail
        yield unknown(subject, f"{held.sent}: {said}, which tells nothing of time limits", seen)
