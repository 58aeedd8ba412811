from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed, review, unknown
from inferaudit.engine_args import cache_folder, is_hub_model, serving_engines

_LIKE = 0.75  # of the letters of two paths in common
_LASTING = ("persistentVolumeClaim", "hostPath", "nfs", "csi", "image", "ephemeral")


@check(
    title="Weights are cached near the GPU",
    severity=Severity.MEDIUM,
    needs=("workload", "workload.containers"),
    optional=("service.configmaps",),
    remediation=(
        "Mount a PersistentVolumeClaim, a node-local cache or an image volume where the weights lie (for example "
        "HF_HOME)."
    ),
    references=(
        "https://huggingface.co/docs/huggingface_hub/guides/manage-cache",
        "https://kubernetes.io/docs/concepts/storage/volumes/#image",
    ),
)
def model_cache(snapshot: Snapshot) -> Iterator[Judgement]:
    """A start that fetches tens of gigabytes from a hub takes many minutes, fails when the hub does, and is repeated
    by every replica.

    Weights in the image, on a claim, or in a cache of the node are there at once.
    """
    workload = snapshot.fact("workload")
    maps = snapshot.fact_or("service.configmaps", ())
    volumes = {v.get("name"): v for v in (workload.template.get("spec") or {}).get("volumes") or ()}
    templates = (workload.object.get("spec") or {}).get("volumeClaimTemplates") or ()
    owned = {(t.get("metadata") or {}).get("name") for t in templates}
    for container, engine in serving_engines(snapshot.fact("workload.containers"), maps):
        subject, model = container["subject"], engine.value("model") or ""
        lasting, brief = [], []
        for mount in container.get("volumeMounts") or ():
            volume = volumes.get(mount.get("name")) or {}
            path = str(mount.get("mountPath"))
            if mount.get("name") in owned or any(kind in volume for kind in _LASTING):
                lasting.append(path)
            elif "emptyDir" in volume:
                brief.append(path)
        where = cache_folder(engine)
        local = model if model.startswith("/") else where
        cached = [path for path in lasting if local == path or local.startswith(path.rstrip("/") + "/")]
        seen = Evidence(
            "volumeMounts", {"lasting": lasting, "emptyDir": brief}, f"a lasting volume at {local or 'the weights'}"
        )
        if not cached:
            snapshot.require_read("service.configmaps")  # the model and its cache may be named there
        if cached:
            yield passed(subject, f"{local} lies on a volume that outlives the pod", seen)
        elif is_hub_model(model):
            again = "on an emptyDir" if any(local.startswith(path) for path in brief) else "in the container"
            yield failed(subject, f"every start fetches {model} from the hub: its cache is {again}", seen)
        elif model.startswith("/") and (meant := _meant(container, model, lasting)):
            yield failed(subject, f"{model} is on no volume, and {meant} is one: which of them is meant?", seen)
        elif model.startswith("/") and not any(model.startswith(path) for path in brief):
            yield passed(subject, f"{model} lies in the image", seen)
        elif model.startswith("/"):
            yield review(subject, f"{model} lies on an emptyDir: what fills it, and from how near?", seen)
        elif lasting:
            yield passed(subject, f"lasting volumes are mounted: {', '.join(lasting)}", seen)
        else:
            yield unknown(subject, "where its weights come from cannot be seen", seen)


def _meant(container: Mapping[str, Any], model: str, lasting: list[str]) -> str:
    """The mount that is meant by a folder which is on none, for it is like it; empty where a script may fill it."""
    words = [str(word) for word in (*(container.get("command") or ()), *(container.get("args") or ()))]
    mounts = [str(mount.get("mountPath")) for mount in container.get("volumeMounts") or ()]
    near = any(f"{model}/".startswith(f"{path}/") or f"{path}/".startswith(f"{model}/") for path in mounts)
    if near or any(word in ("-c", "-lc", "-ec") or word.endswith(".sh") for word in words):
        return ""
    return next(iter(get_close_matches(model.rstrip("/"), lasting, 1, _LIKE)), "")
