from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed
from inferaudit.latency import NS_PER_MS, percentile
from inferaudit.load_readings import REFUSALS, error_classes, refused_rows, stage_rows
from inferaudit.load_stages import OVERLOAD, endpoint_subject, not_run, stage_named
from inferaudit.records import RecordTable


@check(
    title="What is too much is refused fast, with 429 or 503",
    severity=Severity.MEDIUM,
    needs=("load.result", "load.records"),
    remediation="Bound the queue and answer 429 or 503 (with Retry-After) at once when it is full; a client that waits "
    "for its timeout cannot back off and retries into the same overload.",
    references=(
        "https://sre.google/sre-book/handling-overload/",
        "https://www.rfc-editor.org/rfc/rfc9110#name-503-service-unavailable",
    ),
)
def fast_refusals(snapshot: Snapshot, *, max_ms: float = 1000.0, max_other_share: float = 0.01) -> Iterator[Judgement]:
    """A refusal that comes at once can be retried elsewhere; a timeout has cost the client and the server everything.

    Judged over the errors of the overload stage: their classes, and how long the refusals took at P99. Where that stage
    was not run, the refusals that others met are judged, by how long they took alone.
    """
    result, records = snapshot.fact("load.result"), snapshot.fact("load.records")
    stage, subject = stage_named(result, OVERLOAD), endpoint_subject(result)
    if stage is None:
        met = refused_rows(result, records)
        if met:
            yield _speed(subject, records, met, "*", len(records), max_ms)
        else:
            yield not_applicable(None, not_run(OVERLOAD))
        return
    rows, columns = stage_rows(records, stage), records.columns
    classes = error_classes(records, rows)
    others = sum(count for name, count in classes.items() if name not in REFUSALS)
    told = Evidence("load.records[overload].error", dict(sorted(classes.items())), "http_429 and http_503 alone")
    if not classes:
        slowest = max((columns["end_ns"][i] - columns["scheduled_ns"][i] for i in rows), default=0) / 1e9
        said = (
            f"nothing was refused and nothing failed: all {len(rows)} were answered, the slowest after {slowest:.1f} s"
        )
        yield not_applicable(subject, said, told)
        return
    if others > max_other_share * len(rows):
        named = ", ".join(f"{count} {name}" for name, count in classes.most_common() if name not in REFUSALS)
        yield failed(subject, f"{others} of {len(rows)} requests failed otherwise than by 429 or 503: {named}", told)
        return
    refused = [i for i in rows if records.errors[columns["error"][i]] in REFUSALS]
    if refused:
        yield _speed(subject, records, refused, OVERLOAD, len(rows), max_ms, told)
    else:
        yield not_applicable(subject, f"nothing was refused; {others} of {len(rows)} requests failed otherwise", told)


def _speed(
    subject: str, records: RecordTable, refused: list[int], stage: str, requests: int, max_ms: float, *more: Evidence
) -> Judgement:
    """How long the refusals of `stage` (``*``: of all) took; `refused` holds at least one row."""
    columns = records.columns
    slow = (percentile(sorted(columns["end_ns"][i] - columns["sent_ns"][i] for i in refused), 99) or 0) / NS_PER_MS
    shown = {"count": len(refused), "p99_ms": round(slow, 1)}
    seen = Evidence(f"load.records[{stage}].refusals", shown, f"<= {max_ms:g} ms")
    said = f"{len(refused)} of {requests} requests were refused, after {slow:.0f} ms at P99"
    return (failed if slow > max_ms else passed)(subject, said, seen, *more)
