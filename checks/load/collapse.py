from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown
from inferaudit.load_readings import answered, client_limits, stage_rows, success_rate
from inferaudit.load_stages import OVERLOAD, alike_stages, endpoint_subject, not_run, stage_named


@check(
    title="Throughput holds past the knee",
    severity=Severity.MEDIUM,
    needs=("load.result", "load.records"),
    remediation="Bound the queue and the batch (for example Triton `max_queue_size`, vLLM `--max-num-seqs`), and stop "
    "work on requests whose client has gone: past the knee the server spends its time on answers nobody reads.",
    references=("https://sre.google/sre-book/handling-overload/",),
)
def collapse(
    snapshot: Snapshot, *, min_share: float = 0.8, min_samples: int = 20, past: float = 1.1
) -> Iterator[Judgement]:
    """Under too much load a service should do as much as it can and refuse the rest.

    One that does less the more it is asked goes down with the first surge, and retries keep it down. The rate of good
    answers in overload is held against the best stage of like requests.
    """
    result, records = snapshot.fact("load.result"), snapshot.fact("load.records")
    stage, subject = stage_named(result, OVERLOAD), endpoint_subject(result)
    if stage is None:
        yield not_applicable(None, not_run(OVERLOAD))
        return
    rates = {s.name: success_rate(records, s) for s in alike_stages(result) if len(answered(records, s)) >= min_samples}
    known = {name: rate for name, rate in rates.items() if rate}
    asked = len(stage_rows(records, stage))
    if not known or asked < min_samples:
        said = "no stage below overload has enough answers to compare with" if not known else f"only {asked} requests"
        yield unknown(subject, said, Evidence("load.records[overload]", asked, f">= {min_samples}"))
        return
    name = max(known, key=lambda key: known[key])
    best, held = known[name], success_rate(records, stage) or 0.0
    seen = Evidence(
        "load.records[overload]",
        {"offered": stage.rate, "answered_per_s": round(held, 2), name: round(best, 2)},
        f">= {min_share:.0%} of the best stage",
    )
    offered = best if stage.rate is None else stage.rate
    if stage.rate is not None and offered < past * best and held >= min_share * offered:
        said = f"{offered:.1f} requests/s were offered and carried, and stage {name} carried {best:.1f}: no overload"
        yield unknown(subject, f"{said}; raise limits.rate", seen)
        return
    why, advice = client_limits(result, records, stage, "latency_ms", "request_rate")
    if why:
        yield unknown(subject, f"the client was the limit: {why[0]}; {advice}", seen)
        return
    said = f"{held:.1f} good answers/s in overload, {held / best:.0%} of the best stage ({name}, {best:.1f}/s)"
    yield (failed if held < min_share * min(best, offered) else passed)(subject, said, seen)
