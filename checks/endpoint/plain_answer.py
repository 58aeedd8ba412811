from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown


@check(
    title="A real request gets a well-formed answer",
    severity=Severity.CRITICAL,
    needs=("endpoint.target", "endpoint.plain"),
    remediation="Send the request shown in the evidence by hand (curl) and mend what it answers before anything else.",
)
def plain_answer(snapshot: Snapshot) -> Iterator[Judgement]:
    """Health routes speak of processes; one real request speaks of the service.

    The answer must be whole, in the API's own form, and no error inside a status 200.
    """
    subject, plain = snapshot.fact("endpoint.target").subject, snapshot.fact("endpoint.plain")
    seen = Evidence("endpoint.plain.status", plain.status, 200)
    where = f"POST {plain.route}"
    if plain.sample == "guessed" and plain.status is not None and plain.status >= 400:
        yield unknown(
            subject, f"{where}: {plain.status}, and what the model takes was guessed: give --golden FILE", seen
        )
    elif plain.status == 429:
        yield unknown(subject, f"{where}: 429, it takes no more at present: ask again, or with a key that may", seen)
    elif plain.error is not None:
        said = f" ({plain.detail})" if plain.detail else ""
        yield failed(subject, f"{where}: {plain.error}{said}", seen)
    elif plain.wire is not None:
        yield failed(subject, f"{where} answers 200 in the wrong form: {plain.wire}", seen)
    else:
        yield passed(subject, f"{where} is answered well in {plain.latency_ms:.0f} ms", seen)
