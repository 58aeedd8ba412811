from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown
from inferaudit.load_readings import answered, client_limits, success_rate, token_rate
from inferaudit.load_stages import endpoint_subject, step_stages


@check(
    title="Throughput rises with concurrency until the knee",
    severity=Severity.MEDIUM,
    needs=("load.result", "load.records"),
    remediation="Turn on dynamic or continuous batching (Triton `dynamic_batching`, vLLM `--max-num-seqs`, llama.cpp "
    "`--parallel`), or raise its size: requests are served one after another.",
    references=("https://www.usenix.org/conference/osdi22/presentation/yu",),
)
def batching(snapshot: Snapshot, *, min_gain: float = 1.5, min_samples: int = 3) -> Iterator[Judgement]:
    """A GPU that serves one request at a time costs as much as one that serves thirty.

    What batching is worth shows in the steps: throughput at the best concurrency over throughput at the lowest.
    """
    result, records = snapshot.fact("load.result"), snapshot.fact("load.records")
    steps, subject = step_stages(result), endpoint_subject(result)
    if len(steps) < 2:
        yield not_applicable(None, "fewer than two steps of concurrency were run; the load profile full runs them")
        return
    few = [stage for stage in steps if len(answered(records, stage)) < min_samples]
    if few:
        said = f"fewer than {min_samples} answers at {few[0].concurrency} streams: the steps are too short to compare"
        yield unknown(subject, said, Evidence(f"load.records[{few[0].name}]", len(answered(records, few[0]))))
        return
    in_tokens = [token_rate(records, stage) for stage in steps]
    tokens = all(in_tokens)
    unit = "tokens/s" if tokens else "requests/s"
    rates = {stage.concurrency or 0: (token_rate if tokens else success_rate)(records, stage) or 0.0 for stage in steps}
    lowest, best = min(rates), max(rates, key=lambda streams: rates[streams])
    gain = rates[best] / rates[lowest] if rates[lowest] else 0.0
    seen = Evidence("load.records.steps", {str(k): round(v, 2) for k, v in rates.items()}, f"a gain >= {min_gain:g}")
    told = f"{rates[lowest]:.1f} {unit} at {lowest} streams, {rates[best]:.1f} at {best}: {gain:.1f} ×"
    if gain >= min_gain:
        yield passed(subject, told, seen)
        return
    limits = [(stage, *client_limits(result, records, stage, "request_rate", "latency_ms")) for stage in steps]
    held = next(((stage, why, advice) for stage, why, advice in limits if why), None)
    if held:
        yield unknown(
            subject, f"the client was the limit at {held[0].concurrency} streams: {held[1][0]}; {held[2]}", seen
        )
    else:
        yield failed(subject, f"more streams bring hardly more throughput: {told}", seen)
