from collections.abc import Iterator, Sequence

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown
from inferaudit.latency import NS_PER_MS, percentile
from inferaudit.load_readings import answered, client_limits, stage_percentile
from inferaudit.load_stages import MIXED, endpoint_subject, not_run, stage_named, steady_stage
from inferaudit.records import ABSENT, RecordTable

_LONG = 2  # times the median length


@check(
    title="Long requests do not starve the short ones beside them",
    severity=Severity.MEDIUM,
    needs=("load.result", "load.records"),
    remediation="Split long prompts (vLLM `--enable-chunked-prefill` with a smaller `--max-num-batched-tokens`), bound "
    "prompt and answer lengths, or give long requests a queue or replicas of their own.",
    references=("https://docs.vllm.ai/en/latest/configuration/optimization.html",),
)
def starvation(
    snapshot: Snapshot, *, factor: float = 3.0, min_short: int = 20, min_long: int = 3
) -> Iterator[Judgement]:
    """One long prompt holds the batch while it is read; everyone beside it waits, and averages hide it.

    P99 of the short requests of the mixed stage (TTFT where answers are streamed, else E2E) is held against the steady
    P99: the short ones are shorter than the steady ones, so that they should be faster.
    """
    result, records = snapshot.fact("load.result"), snapshot.fact("load.records")
    stage, steady, subject = stage_named(result, MIXED), steady_stage(result), endpoint_subject(result)
    if stage is None:
        yield not_applicable(None, not_run(MIXED))
        return
    metric = "ttft" if result.stream else "e2e"
    tail = None if steady is None else stage_percentile(result, records, steady, metric, 99)[0]
    rows = answered(records, stage)
    long = _long_rows(records, rows)
    if long is None or tail is None:
        said = "the server states no token counts" if long is None else f"no steady {metric.upper()} was measured"
        yield unknown(
            subject, f"{said}: short requests cannot be told or compared", Evidence("load.records", len(rows))
        )
        return
    short = [i for i in rows if i not in long]
    if len(short) < min_short or len(long) < min_long:
        said = f"{len(short)} short and {len(long)} long requests are too few to tell"
        yield unknown(subject, said, Evidence("load.records[mixed]", {"short": len(short), "long": len(long)}))
        return
    columns = records.columns
    base = columns["scheduled_ns"] if stage.concurrency is None else columns["sent_ns"]
    until = columns["first_token_ns" if result.stream else "end_ns"]
    beside = percentile(sorted(until[i] - base[i] for i in short if until[i] != ABSENT), 99)
    if beside is None:
        yield unknown(
            subject, f"no {metric.upper()} of a short request was measured", Evidence("load.records[mixed]", 0)
        )
        return
    numbers = {"short_p99_ms": round(beside / NS_PER_MS, 1), "steady_p99_ms": round(tail / NS_PER_MS, 1)}
    seen = Evidence(f"load.records[mixed].{metric}", numbers, f"<= {factor:g} × the steady P99")
    why, advice = client_limits(result, records, stage, "latency_ms")
    said = (
        f"{metric.upper()} of {len(short)} short requests beside {len(long)} long ones: {beside / NS_PER_MS:.0f} ms at "
    )
    said += f"P99, {beside / tail:.1f} × the steady one"
    if why:
        yield unknown(subject, f"the client was the limit: {why[0]}; {advice}", seen)
    else:
        yield (failed if beside > factor * tail else passed)(subject, said, seen)


def _long_rows(records: RecordTable, rows: Sequence[int]) -> set[int] | None:
    """Rows whose prompt or answer is far longer than the median; None where no lengths are known."""
    found: set[int] = set()
    known = False
    for name in ("input_tokens", "output_tokens"):
        lengths = records.columns[name]
        middle = percentile(sorted(lengths[i] for i in rows if lengths[i] != ABSENT), 50)
        if middle:
            known = True
            found |= {i for i in rows if lengths[i] > _LONG * middle}
    return found if known else None
