from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, unknown
from inferaudit.benchmark import judged_stage
from inferaudit.load_readings import server_of
from inferaudit.load_stages import endpoint_subject, sent_to_loopback
from inferaudit.records import ABSENT


@check(
    title="The service's counters move with the requests that we send",
    severity=Severity.MEDIUM,
    needs=("load.result", "load.records"),
    optional=("workload",),
    remediation="Look whether the page is of the process that serves (several workers need the multiprocess mode of "
    "the client library), and whether the request path is the one that is instrumented.",
    references=("https://prometheus.github.io/client_python/multiprocess/",),
)
def counters_move(snapshot: Snapshot, *, max_missing: float = 0.02) -> Iterator[Judgement]:
    """A metric that is there and does not move is worse than none: its dashboards are calm and its alerts silent.

    The metrics page is read right before and right after the measured stage. More than we sent is other traffic; fewer
    may be one of several replicas, and so may none, unless one replica is known or the load went to this very machine.
    """
    result, records = snapshot.fact("load.result"), snapshot.fact("load.records")
    stage, subject = judged_stage(result), endpoint_subject(result)
    server, rows = server_of(result, records, stage)
    window = stage.server if stage else None
    if window is None or window.reason or not window.readings:
        yield unknown(subject, server.reason, Evidence("load.result.stages.server", None, "two pages"))
        return
    if not rows:
        yield unknown(subject, "no request was answered, so nothing had to be counted")
        return
    counted = {r.concept: r.total if r.count is None else r.count for r in window.readings}
    tokens = any(records.columns["output_tokens"][i] not in (0, ABSENT) for i in rows)
    wanted = ["requests", "request_duration"]
    wanted += ["ttft"] if result.stream else []
    wanted += ["prompt_tokens", "generated_tokens"] if tokens else []
    seen = {c: counted[c] for c in wanted if counted.get(c) is not None}
    evidence = Evidence("load.result.stages.server.readings", seen, f"moved by {len(rows)} requests")
    if not seen:
        yield unknown(subject, "the page has no metric that a request must move", evidence)
        return
    still = [f"{r.metric} ({r.concept})" for r in window.readings if r.concept in seen and not counted[r.concept]]
    if len(still) == len(seen) and not _one_replica(snapshot):
        said = f"{len(rows)} requests were answered and nothing on the page moved"
        yield unknown(subject, f"{said}: it may be another replica's", evidence)
    elif still:
        yield failed(subject, f"{len(rows)} requests were answered and did not move {', '.join(still)}", evidence)
    elif server.requests is None:
        yield passed(subject, f"{', '.join(seen)} moved; the server does not count requests", evidence)
    elif server.requests < len(rows) * (1 - max_missing) - 1:
        said = f"{len(rows)} requests were answered and the page counted {server.requests:.0f}: either it is one "
        yield unknown(subject, f"{said}replica's of several, or some are not counted", evidence)
    else:
        more = server.requests - len(rows)
        others = f", {more:.0f} of others or failed" if more > max(1, max_missing * len(rows)) else ""
        yield passed(subject, f"{len(rows)} requests answered, {server.requests:.0f} counted{others}", evidence)


def _one_replica(snapshot: Snapshot) -> bool:
    """Can no other process have answered? A load balancer may lead each connection to another one."""
    if snapshot.error("workload") is None:
        return bool(snapshot.fact("workload").replicas == 1)
    return sent_to_loopback(snapshot.fact("load.result"))
