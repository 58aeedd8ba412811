from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown
from inferaudit.load_readings import refused_rows
from inferaudit.load_stages import endpoint_subject
from inferaudit.records import ABSENT


@check(
    title="Refusals under load say when to come back",
    severity=Severity.LOW,
    needs=("load.result", "load.records"),
    remediation="Send Retry-After with 429 and 503: `response_headers_to_add` of Envoy's local rate limit, "
    "`add_header Retry-After 1 always` in nginx's error page of 429, else a middleware of the server's own.",
    references=(
        "https://www.rfc-editor.org/rfc/rfc9110#name-retry-after",
        "https://www.rfc-editor.org/rfc/rfc6585#section-4",
    ),
)
def retry_after(snapshot: Snapshot, *, max_share_without: float = 0.01) -> Iterator[Judgement]:
    """A client that is not told how long to wait guesses, and all of them guess alike: the load comes back as a wave.

    Judged over every 429 and 503 that the load was answered with, in whichever stage; gRPC has no such header.
    """
    result, records = snapshot.fact("load.result"), snapshot.fact("load.records")
    subject, status = endpoint_subject(result), records.columns["status"]
    met = refused_rows(result, records)
    rows = [i for i in met if status[i] in (429, 503)]
    if not rows:
        said = (
            f"{len(met)} refusals came over gRPC, which has no Retry-After" if met else "the load was refused nothing"
        )
        yield not_applicable(subject, said)
        return
    waits = records.columns.get("retry_after_s")
    if waits is None:
        yield unknown(subject, f"{len(rows)} requests were refused; these records are older and kept no Retry-After")
        return
    without = [i for i in rows if waits[i] == ABSENT]
    told = sorted(waits[i] for i in rows if waits[i] != ABSENT)
    shown: dict[str, object] = {"count": len(rows), "without": len(without)}
    if told:
        shown |= {"shortest_s": told[0], "longest_s": told[-1]}
    seen = Evidence("load.records.retry_after_s", shown, "a Retry-After with each")
    if len(without) > max_share_without * len(rows):
        codes = " and ".join(str(code) for code in sorted({status[i] for i in without}))
        yield failed(subject, f"{len(without)} of {len(rows)} refusals ({codes}) had no Retry-After to be read", seen)
    else:
        wait = f"{told[0]} s" if told[0] == told[-1] else f"{told[0]} to {told[-1]} s"
        yield passed(subject, f"{len(told)} of {len(rows)} refusals named a wait of {wait}", seen)
