from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, not_applicable, passed, unknown


@check(
    title="GPUs that share a model are linked by NVLink",
    severity=Severity.MEDIUM,
    needs=("nvml.gpus", "workload"),
    remediation="Use nodes whose GPUs have NVLink, or one larger GPU, or a quantised model on a single GPU.",
)
def parallel_links(snapshot: Snapshot) -> Iterator[Judgement]:
    """Tensor parallelism exchanges activations twice in every layer, for every token.

    Over PCIe that exchange is ten times slower, and a second GPU then buys memory and no speed.
    """
    workload, gpus = snapshot.fact("workload"), snapshot.fact("nvml.gpus")
    wanted = workload.gpus_per_pod
    if wanted < 2:
        yield not_applicable(workload.subject, "a pod asks for one GPU or none", Evidence("gpus_per_pod", wanted))
        return
    links = {gpu.subject: sum(bool(link.active) for link in gpu.nvlinks or ()) for gpu in gpus}
    bare = [gpu for gpu in gpus if not links[gpu.subject]]
    silent = [gpu for gpu in bare if gpu.nvlinks is None and not gpu.lacks("nvlinks")]
    seen = Evidence("nvml.gpus.nvlinks.active", sorted(links.values()), "> 0")
    if silent:
        why = silent[0].why_unknown("nvlinks")
        yield unknown(
            workload.subject, f"links of {len(silent)} GPUs are not told: {why}", seen, cause=silent[0].silence
        )
    elif bare:
        said = f"a pod asks for {wanted} GPUs; {len(bare)} of {len(gpus)} have no NVLink"
        yield failed(workload.subject, said, seen)
    else:
        yield passed(workload.subject, f"a pod asks for {wanted} GPUs, and all {len(gpus)} have NVLink", seen)
