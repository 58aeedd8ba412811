from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown
from inferaudit.benchmark import judged_stage
from inferaudit.load_readings import server_of
from inferaudit.load_stages import endpoint_subject
from inferaudit.units import plain


@check(
    title="The exported latency is the one that callers see",
    severity=Severity.MEDIUM,
    needs=("load.result", "load.records"),
    remediation="Alert on a latency that begins where the caller's begins (the gateway's, or a probe from outside), or "
    "shorten what lies before the server's clock: its queue, the proxy, the connection.",
    references=("https://sre.google/sre-book/monitoring-distributed-systems/",),
)
def latency_agrees(snapshot: Snapshot, *, max_share: float = 0.5, floor_ms: float = 50.0) -> Iterator[Judgement]:
    """Alerts and dashboards read the server's histogram; users wait from their first byte to their last.

    The mean over the same requests: a server that says more than we waited has a wrong unit or counts something else;
    one that says far less does not see where the time goes.
    """
    result, records = snapshot.fact("load.result"), snapshot.fact("load.records")
    stage, subject = judged_stage(result), endpoint_subject(result)
    server, rows = server_of(result, records, stage)
    theirs = server.mean_ms("request_duration")
    reading = server.reading("request_duration")
    if theirs is None or reading is None or not rows:
        yield unknown(subject, server.reason or "the server exports no duration of requests with a count and a sum")
        return
    ends, sent = records.columns["end_ns"], records.columns["sent_ns"]
    ours = sum(ends[i] - sent[i] for i in rows) / len(rows) / 1e6
    seen = Evidence(
        f"load.result.stages.server.{reading.metric}", f"{plain(theirs)} ms", f"{plain(ours)} ms, as measured"
    )
    said = f"{reading.metric} says {plain(theirs)} ms a request, callers waited {plain(ours)} ms"
    bound = max(floor_ms, max_share * ours)
    if theirs - ours > bound:  # a server may count until it has cleaned up, a little after the last byte
        yield failed(subject, f"{said}: no request can take longer inside than outside", seen)
    elif ours - theirs > bound:
        yield failed(subject, f"{said}: {(ours - theirs) / ours:.0%} of the wait is not in it", seen)
    else:
        yield passed(subject, said, seen)
