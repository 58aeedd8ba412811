from collections.abc import Iterator

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed

_SENSITIVE = ("/etc", "/var/run", "/run", "/proc", "/sys", "/root", "/home", "/boot", "/var/lib/kubelet",
              "/var/lib/docker", "/var/lib/containerd", "/var/lib/etcd", "/dev", "/usr", "/bin", "/lib")  # fmt: skip


@check(
    title="No writable or sensitive folder of the host is mounted",
    severity=Severity.MEDIUM,
    needs=("workload", "workload.containers"),
    remediation="Use a PersistentVolumeClaim or an image volume; mount a node-local model cache with `readOnly: true`.",
    references=("https://kubernetes.io/docs/concepts/storage/volumes/#hostpath",),
)
def host_path(snapshot: Snapshot) -> Iterator[Judgement]:
    """A folder of the node in a container is a way to the node, and a tie to one node.

    A cache of weights that is mounted read-only is the exception: it holds nothing that is not public to the pods.
    GPU devices mounted by path are judged by a check of their own.
    """
    workload = snapshot.fact("workload")
    spec = workload.template.get("spec") or {}
    paths = {v["name"]: (v["hostPath"] or {}).get("path", "") for v in spec.get("volumes") or () if "hostPath" in v}
    if not paths:
        yield passed(
            workload.subject,
            "no folder of the host is mounted",
            Evidence("spec.template.spec.volumes", [], "no hostPath"),
        )
        return
    for name, path in paths.items():
        if path.startswith("/dev/nvidia"):
            continue
        mounts = [
            m
            for c in snapshot.fact("workload.containers")
            for m in c.get("volumeMounts") or ()
            if m.get("name") == name
        ]
        writable = any(not m.get("readOnly") for m in mounts)
        sensitive = path == "/" or any(path == s or path.startswith(f"{s}/") for s in _SENSITIVE)
        seen = Evidence(f"volumes[{name}].hostPath.path", path, "no folder of the host, or a read-only cache")
        if sensitive:
            yield failed(workload.subject, f"mounts {path} of the host", seen, key=name)
        elif writable:
            yield failed(workload.subject, f"may write to {path} of the host", seen, key=name)
        else:
            yield passed(workload.subject, f"{path} of the host is mounted read-only", seen, key=name)
