from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown
from inferaudit.benchmark import judged_stage
from inferaudit.load_readings import server_of
from inferaudit.load_stages import endpoint_subject
from inferaudit.records import ABSENT
from inferaudit.units import plain


@check(
    title="The first token reaches the caller when the server has it",
    severity=Severity.MEDIUM,
    needs=("load.result", "load.records"),
    remediation="Switch off response buffering on the way (nginx: proxy_buffering off, X-Accel-Buffering: no; Envoy: "
    "no buffer filter), and compression of event streams.",
    references=("https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_buffering",),
)
def first_token_path(snapshot: Snapshot, *, max_share: float = 0.5, floor_ms: float = 100.0) -> Iterator[Judgement]:
    """A proxy that collects a stream before it forwards it undoes streaming, and the server's own TTFT stays fine.

    Our mean TTFT from sending is held against the server's over the same requests.
    """
    result, records = snapshot.fact("load.result"), snapshot.fact("load.records")
    stage, subject = judged_stage(result), endpoint_subject(result)
    if not result.stream:
        yield not_applicable(None, "the load was not streamed")
        return
    server, rows = server_of(result, records, stage)
    first, sent = records.columns["first_token_ns"], records.columns["sent_ns"]
    waits = [first[i] - sent[i] for i in rows if first[i] != ABSENT]
    theirs, reading = server.mean_ms("ttft"), server.reading("ttft")
    if theirs is None or reading is None or not waits:
        yield unknown(subject, server.reason or "the server exports no time to first token")
        return
    ours = sum(waits) / len(waits) / 1e6
    seen = Evidence(
        f"load.result.stages.server.{reading.metric}", f"{plain(theirs)} ms", f"{plain(ours)} ms, as measured"
    )
    said = f"the server had the first token after {plain(theirs)} ms, the caller after {plain(ours)} ms"
    late = ours - theirs > max(floor_ms, max_share * ours)
    yield (failed if late else passed)(subject, f"{said}: something on the way holds it back" if late else said, seen)
