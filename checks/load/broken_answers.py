from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown
from inferaudit.benchmark import judged_stage
from inferaudit.load_readings import error_classes, stage_rows
from inferaudit.load_stages import endpoint_subject

_BROKEN = {
    "reset_in_body": "connections reset within the answer",
    "truncated": "answers cut short",
    "early_response": "answers sent before the request was read",
    "malformed_http": "answers that are no HTTP",
    "malformed_event": "events that cannot be read",
    "bad_utf8": "text that is no UTF-8",
    "bad_content_type": "answers of another content type",
    "bad_encoding": "compressed answers nobody asked for",
    "error_in_body": "errors behind a status of success",
    "empty_stream": "streams without an event",
}


@check(
    title="No answer breaks under the steady load",
    severity=Severity.MEDIUM,
    needs=("load.result", "load.records"),
    remediation="Look at proxies and their timeouts first (they cut long streams), then at the server's log for the "
    "time of the failures; each request carried an X-Request-Id.",
    references=("https://www.rfc-editor.org/rfc/rfc9112#name-handling-incomplete-message",),
)
def broken_answers(snapshot: Snapshot, *, max_share: float = 0.001, min_requests: int = 20) -> Iterator[Judgement]:
    """A client can retry a refusal; half an answer it has already shown to somebody.

    Judged over the stage that stands for the whole, whatever the error objective: answers that began and were cut,
    malformed or empty. Refusals, time-outs and error statuses belong to the error rate.
    """
    result, records = snapshot.fact("load.result"), snapshot.fact("load.records")
    stage, subject = judged_stage(result), endpoint_subject(result)
    rows = stage_rows(records, stage) if stage else ()
    if len(rows) < min_requests:
        said = f"{len(rows)} requests of a stage that stands for the whole are too few to tell"
        yield unknown(subject, said, Evidence("load.records", len(rows), f">= {min_requests}"))
        return
    classes = error_classes(records, rows)
    broken = {name: count for name, count in classes.most_common() if name in _BROKEN}
    seen = Evidence("load.records.error", dict(sorted(classes.items())), "no broken answer")
    if sum(broken.values()) > max_share * len(rows):
        named = ", ".join(f"{count} {_BROKEN[name]}" for name, count in broken.items())
        yield failed(subject, f"of {len(rows)} requests: {named}", seen)
    else:
        yield passed(subject, f"{sum(broken.values())} of {len(rows)} answers were broken", seen)
