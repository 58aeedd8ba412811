from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown


@check(
    title="NVLinks carry data without errors",
    severity=Severity.MEDIUM,
    needs=("nvml.gpus",),
    remediation="Watch the counters under load; have a link that goes on counting looked at before it fails.",
)
def nvlink_errors(snapshot: Snapshot, *, max_replays: int = 0, max_crc: int = 100) -> Iterator[Judgement]:
    """Replayed packets slow every collective operation; recoveries are links that broke and came back.

    Single flit checksum errors are repaired on the way and normal in small numbers.
    """
    for gpu in snapshot.fact("nvml.gpus"):
        path = f"nvml.gpus[{gpu.index}].nvlinks"
        active = [link for link in gpu.nvlinks or () if link.active]
        if gpu.nvlinks is None or not active:
            silent = not_applicable if gpu.nvlinks is not None or gpu.lacks("nvlinks") else unknown
            why = gpu.why_unknown("nvlinks") if gpu.nvlinks is None else "no link is up"
            yield silent(gpu.subject, f"NVLink errors: {why}", Evidence(path, None), cause=gpu.silence)
            continue
        counters = [
            (link.replay_errors, link.recovery_errors, link.crc_flit_errors, link.crc_data_errors) for link in active
        ]
        if any(value is None for link in counters for value in link):
            yield unknown(gpu.subject, "the driver does not tell the NVLink error counters", Evidence(path, None))
            continue
        replays = sum(link[0] + link[1] for link in counters)
        checksums = sum(link[2] + link[3] for link in counters)
        seen = (
            Evidence(f"{path}.replay_and_recovery_errors", replays, f"<= {max_replays}"),
            Evidence(f"{path}.crc_errors", checksums, f"<= {max_crc}"),
        )
        judge = failed if replays > max_replays or checksums > max_crc else passed
        said = f"{replays} replays and recoveries, {checksums} checksum errors on {len(active)} links"
        yield judge(gpu.subject, said, *seen)
