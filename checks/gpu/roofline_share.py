from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, review, unknown
from inferaudit.benchmark import judged_stage
from inferaudit.roofline import OPTIONAL, NoRoofline, roofline, serving_engine


@check(
    title="Decoding comes near what the GPUs' memory can deliver",
    severity=Severity.LOW,
    needs=("load.result", "load.records", "nvml.gpus"),
    optional=OPTIONAL,
    remediation=(
        "Raise the batch (concurrency per replica), use CUDA graphs and a current engine, quantise, or take a smaller "
        "GPU: what is paid for here is not used."
    ),
    references=("https://docs.nvidia.com/deeplearning/performance/dl-performance-gpu-background/index.html",),
)
def roofline_share(snapshot: Snapshot, *, min_share: float = 0.2, max_share: float = 1.05) -> Iterator[Judgement]:
    """Each decoding step reads all weights and every sequence's KV cache once; memory bandwidth bounds its pace.

    Measured tokens/s while decoding (requests in flight ÷ mean TPOT) are held against that ceiling for the same batch,
    model and GPUs. No engine reaches it; a small share says where the money goes, more than all of it that model or
    GPUs are not those that were told, or that tokens are guessed ahead (speculative decoding).
    """
    subject, _, _ = serving_engine(snapshot)
    found = roofline(snapshot, judged_stage(snapshot.fact("load.result")))
    if isinstance(found, NoRoofline):
        yield unknown(subject, found.why, found.evidence)
        return
    share = found.decode_share
    seen = Evidence(
        "load.records.tpot",
        {
            "tokens_per_s": round(found.decoded, 1),
            "ceiling": round(found.ceiling, 1),
            "batch": round(found.batch, 1),
            "context": found.context,
        },
        f">= {min_share:.0%} of the ceiling",
    )
    said = (
        f"{found.decoded:,.0f} of at most {found.ceiling:,.0f} tokens/s a replica while decoding ({share:.0%}): "
        f"{found.what}"
    )
    if share > max_share:
        yield review(subject, f"{said}; more than can be: check model, GPUs and speculative decoding", seen)
    else:
        yield (failed if share < min_share else passed)(subject, said, seen)
