from collections.abc import Iterator

from inferaudit.api import (
    Evidence,
    Judgement,
    Severity,
    Snapshot,
    check,
    failed,
    not_applicable,
    passed,
    review,
    unknown,
)
from inferaudit.xid_table import site_policy, xid_meaning

_WORDS = {"hardware": "a hardware fault", "application": "of the application", "ignored": "ignored by policy"}


@check(
    title="The exporter holds no hardware fault",
    severity=Severity.MEDIUM,
    needs=("nvml.gpus",),
    optional=("policy",),
    remediation=(
        "Look for the XID in the kernel log (`dmesg | grep Xid`); when the GPU was reset or replaced since, restart "
        "the exporter, whose gauge keeps the last one."
    ),
    references=(
        "https://docs.nvidia.com/deploy/xid-errors/index.html",
        "https://github.com/NVIDIA/dcgm-exporter/issues/500",
    ),
)
def xid_last(snapshot: Snapshot, *, ignore: tuple[int, ...] = ()) -> Iterator[Judgement]:
    """DCGM's XID gauge keeps the last one until the exporter restarts, and tells neither when it was nor how often.

    It is the one witness of the time before the audit: a hardware fault there wants an answer, not an alarm.
    What gpu-xid-hardware's parameters call fatal or ignore counts here as well; `ignore` adds to that.
    """
    site = site_policy(snapshot.fact("policy"), ignore, "gpu-xid-last")
    if site.fault:
        yield unknown(None, site.fault, key="policy")
        return
    for gpu in snapshot.fact("nvml.gpus"):
        seen = Evidence(f"nvml.gpus[{gpu.index}].last_xid", gpu.last_xid, 0)
        if gpu.last_xid is None and "DCGM" not in gpu.sources:
            yield not_applicable(gpu.subject, "no exporter was asked about it", seen)
        elif gpu.last_xid is None:
            yield unknown(gpu.subject, f"the last XID: {gpu.why_unknown('last_xid')}", seen, cause=gpu.silence)
        elif gpu.last_xid == 0:
            yield passed(gpu.subject, "no XID since the exporter started", seen)
        else:
            kind = site.kind(gpu.last_xid)
            judge = {"hardware": failed, "application": passed, "ignored": passed}.get(kind, review)
            of = _WORDS.get(kind, "to be investigated")
            said = f"XID {gpu.last_xid} ({xid_meaning(gpu.last_xid)}), {of}, some time since the exporter started"
            yield judge(gpu.subject, said, seen, Evidence("sources", [site.why(gpu.last_xid)], None))
