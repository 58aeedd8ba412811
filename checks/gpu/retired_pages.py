from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown


@check(
    title="No GPU has retired too many memory pages",
    severity=Severity.HIGH,
    needs=("nvml.gpus",),
    remediation="Have the board replaced: it has reached the number of retired pages at which its vendor does so.",
    references=("https://docs.nvidia.com/deploy/dynamic-page-retirement/index.html",),
)
def retired_pages(snapshot: Snapshot, *, max_pages: int = 59) -> Iterator[Judgement]:
    """A board before Ampere can retire 64 pages; the vendor replaces it from 60 on.

    Later boards remap rows instead, those that can be split by MIG among them.
    """
    for gpu in snapshot.fact("nvml.gpus"):
        single, double = gpu.retired_pages_single_bit, gpu.retired_pages_double_bit
        if single is None or double is None:
            field = "retired_pages_single_bit" if single is None else "retired_pages_double_bit"
            seen = Evidence(f"nvml.gpus[{gpu.index}].{field}", None, f"<= {max_pages}")
            silent = not_applicable if field in gpu.unsupported else unknown
            yield silent(gpu.subject, f"page retirement: {gpu.why_unknown(field)}", seen, cause=gpu.silence)
            continue
        pages = single + double
        seen = Evidence(f"nvml.gpus[{gpu.index}].retired_pages", pages, f"<= {max_pages}")
        judge = failed if pages > max_pages else passed
        yield judge(gpu.subject, f"{pages} retired pages, {double} of them after double-bit errors", seen)
