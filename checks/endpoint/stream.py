from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown


@check(
    title="A stream arrives whole and in the API's form",
    severity=Severity.HIGH,
    needs=("endpoint.target", "endpoint.stream"),
    remediation="Stream with curl -N past each hop (gateway, Service, pod) and mend the first one that breaks it.",
    references=("https://html.spec.whatwg.org/multipage/server-sent-events.html",),
)
def stream(snapshot: Snapshot) -> Iterator[Judgement]:
    """Clients parse streams strictly: a missing end mark or a wrong content type hangs or breaks them.

    Proxies are the usual cause, and a plain request does not show it.
    """
    subject, answer = snapshot.fact("endpoint.target").subject, snapshot.fact("endpoint.stream")
    if answer is None:
        return
    where = f"POST {answer.route} (stream)"
    if answer.status == 429:
        seen = Evidence("endpoint.stream.status", 429, 200)
        yield unknown(subject, f"{where}: 429, it takes no more at present: ask again, or with a key that may", seen)
    elif answer.error is not None:
        said = f" ({answer.detail})" if answer.detail else ""
        yield failed(subject, f"{where}: {answer.error}{said}", Evidence("endpoint.stream.error", answer.error))
    elif answer.well_formed is False:
        seen = Evidence("endpoint.stream.wrong", answer.wrong)
        yield failed(subject, f"{where}: {answer.wrong}", seen)
    else:
        seen = Evidence("endpoint.stream.token_events", answer.token_events, "at least 1")
        yield passed(subject, f"{where}: {answer.token_events} token events, ended by {answer.end}", seen)
