from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown
from inferaudit.latency import NS_PER_MS
from inferaudit.load_readings import answered, stage_percentile
from inferaudit.load_stages import REPEAT, endpoint_subject, not_run, stage_named, steady_stage
from inferaudit.records import ABSENT


@check(
    title="A prompt that comes again is answered faster",
    severity=Severity.LOW,
    needs=("load.result", "load.records"),
    remediation="Turn prefix caching on (vLLM `--enable-prefix-caching`, SGLang's radix cache, llama.cpp "
    "`cache_prompt`) where prompts share a beginning; where none do, this finding can be waived.",
    references=("https://docs.vllm.ai/en/latest/features/automatic_prefix_caching.html",),
    tags=("layer:economics",),
)
def cache_gain(snapshot: Snapshot, *, min_gain: float = 0.1, min_samples: int = 20) -> Iterator[Judgement]:
    """System prompts, documents and chat histories come again and again; a cache answers their prefix for nothing.

    The repeat stage sends one prompt over and over: its median TTFT (E2E where nothing is streamed) is held against
    the steady one, with the cached tokens where the server states them.
    """
    result, records = snapshot.fact("load.result"), snapshot.fact("load.records")
    stage, steady, subject = stage_named(result, REPEAT), steady_stage(result), endpoint_subject(result)
    if stage is None:
        yield not_applicable(None, not_run(REPEAT))
        return
    metric = "ttft" if result.stream else "e2e"
    again, count = stage_percentile(result, records, stage, metric, 50)
    fresh, _ = (None, 0) if steady is None else stage_percentile(result, records, steady, metric, 50)
    if again is None or not fresh or count < min_samples:
        said = f"{count} repeated requests and a steady {metric.upper()} beside them are too few to tell"
        yield unknown(subject, said, Evidence("load.records[repeat]", count, f">= {min_samples}"))
        return
    columns, rows = records.columns, answered(records, stage)
    told = [i for i in rows if columns["cached_tokens"][i] != ABSENT and columns["input_tokens"][i] > 0]
    prompt = sum(columns["input_tokens"][i] for i in told)
    share = sum(columns["cached_tokens"][i] for i in told) / prompt if prompt else None
    gain = 1 - again / fresh
    numbers = {
        "repeated_p50_ms": round(again / NS_PER_MS, 1),
        "steady_p50_ms": round(fresh / NS_PER_MS, 1),
        "cached_share": None if share is None else round(share, 3),
    }
    seen = Evidence(f"load.records[repeat].{metric}", numbers, f"a gain >= {min_gain:.0%}")
    said = f"median {metric.upper()} {again / NS_PER_MS:.0f} ms for a prompt that came before, "
    said += f"{fresh / NS_PER_MS:.0f} ms for new ones"
    said += "" if share is None else f"; {share:.0%} of its prompt tokens came from a cache"
    hit = gain >= min_gain or (share is not None and share >= min_gain)
    yield (passed if hit else failed)(subject, said, seen)
