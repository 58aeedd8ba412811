from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed

_WITH_RDMA = frozenset({"IPC_LOCK", "SYS_PTRACE", "SYS_RESOURCE"})


@check(
    title="Containers drop all capabilities",
    severity=Severity.MEDIUM,
    needs=("workload.containers",),
    remediation="Set `securityContext.capabilities.drop` to `[ALL]`; add back `IPC_LOCK` only for RDMA.",
    references=("https://kubernetes.io/docs/concepts/security/pod-security-standards/",),
)
def capabilities(snapshot: Snapshot) -> Iterator[Judgement]:
    """Serving a model takes no capability of the kernel's; each one left is one more way out of the container.

    IPC_LOCK, SYS_PTRACE and SYS_RESOURCE are in order for a container that asks for an RDMA device.
    """
    for container in snapshot.fact("workload.containers"):
        given = (container.get("securityContext") or {}).get("capabilities") or {}
        dropped = {str(name).upper().removeprefix("CAP_") for name in given.get("drop") or ()}
        added = {str(name).upper().removeprefix("CAP_") for name in given.get("add") or ()}
        limits = (container.get("resources") or {}).get("limits") or {}
        rdma = any("rdma" in name or "infiniband" in name or name.endswith("/efa") for name in limits)
        wrong = sorted(added - {"NET_BIND_SERVICE"} - (_WITH_RDMA if rdma else frozenset()))
        seen = Evidence("securityContext.capabilities", given or None, "drop: [ALL]")
        if wrong:
            yield failed(container["subject"], f"adds {', '.join(wrong)}", seen)
        elif "ALL" not in dropped:
            yield failed(container["subject"], "keeps the runtime's default capabilities", seen)
        else:
            yield passed(container["subject"], "all capabilities are dropped", seen)
