from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown


@check(
    title="Tokens arrive as they are made, not all at the end",
    severity=Severity.HIGH,
    needs=("endpoint.target", "endpoint.stream"),
    remediation="Switch response buffering off in every proxy (nginx: `proxy_buffering off`).",
    references=("https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_buffering",),
)
def stream_buffering(
    snapshot: Snapshot, *, min_spread: float = 0.1, min_total_ms: float = 200.0
) -> Iterator[Judgement]:
    """A proxy that buffers turns a stream into a plain answer: the user waits for the last token to see the first.

    Judged by the time between first and last token as a share of the whole; a stream shorter than `min_total_ms` is
    too short to tell.
    """
    answer = snapshot.fact("endpoint.stream")
    if answer is None or answer.error is not None or answer.total_ms is None or answer.spread_ms is None:
        return
    subject = snapshot.fact("endpoint.target").subject
    share = answer.spread_ms / answer.total_ms if answer.total_ms > 0 else 0.0
    seen = Evidence("endpoint.stream.spread_ms", round(answer.spread_ms, 1), f">= {min_spread:.0%} of the whole time")
    if answer.token_events >= 3 and share >= min_spread:
        yield passed(subject, f"{answer.token_events} token events over {answer.spread_ms:.0f} ms", seen)
    elif answer.token_events < 3:
        yield unknown(subject, f"{answer.token_events} token events are too few to tell", seen)
    elif answer.total_ms < min_total_ms:
        yield passed(subject, f"the whole stream took {answer.total_ms:.0f} ms: nothing holds it back for long", seen)
    else:
        took = f"{answer.token_events} token events came within {answer.spread_ms:.0f} ms"
        yield failed(subject, f"{took} at the end of {answer.total_ms:.0f} ms: something buffers them", seen)
