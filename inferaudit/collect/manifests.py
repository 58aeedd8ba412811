"""The manifests collector: files, folders, globs and standard input become facts of the service.

What `kubectl get -o yaml`, `helm template` and `kustomize build` print is understood; so is a dump of a whole cluster,
which then answers for status, nodes and events too.
"""

from __future__ import annotations

import glob
from collections.abc import Callable
from pathlib import Path

from inferaudit.errors import UsageError
from inferaudit.facts.kubernetes import FACTS
from inferaudit.kube import kinds as k
from inferaudit.kube.assemble import describe, locations, service_facts, status_facts
from inferaudit.kube.discovery import check_shape, choose, inference_workloads, label
from inferaudit.kube.kinds import Kind
from inferaudit.kube.manifest_text import MAX_BYTES, Located, NoManifest, read_manifests
from inferaudit.kube.shape import misshapen
from inferaudit.kube.view import FileView, ManifestObjects, Object, identity, namespace_of
from inferaudit.model import Fact, FactError, FactErrorKind
from inferaudit.plan import ManifestsPlan
from inferaudit.subjects import object_subject

_SUFFIXES = frozenset({".yaml", ".yml", ".json"})
_LIVE_WORDS = {
    "workload.pods": "pod status",
    "workload.replicasets": "revisions",
    "workload.events": "events",
    "workload.logs": "logs",
    "service.endpointslices": "endpoints",
    "service.daemonsets": "what runs on the nodes",
    "service.straypools": "the pods that a pool selects",
    "cluster.platform": "who adds nodes and computes costs",
    "cluster.autoscaler": "the status of the Cluster Autoscaler",
    "cluster.nodes": "nodes",
    "cluster.node_pods": "what else runs on the nodes",
    "cluster.version": "the API server's version",
    "cluster.crds": "the resources the API server serves",
}


def collect_manifests(plan: ManifestsPlan, progress: Callable[[str], None] = lambda _: None) -> dict[str, Fact]:
    """The facts that the files show; :class:`UsageError` for unreadable files, or no clear workload in them."""
    return manifest_facts(load_manifests(plan, progress))


def load_manifests(plan: ManifestsPlan, progress: Callable[[str], None] = lambda _: None) -> ManifestObjects:
    """The objects of all paths of the plan. The later of two with one identity wins, as ``kubectl apply`` has it."""
    located: list[Located] = []
    for path in plan.paths:
        located += _read_path(path, plan.stdin, progress)
    unique: dict[tuple[str, str, str, str], Located] = {}
    for each in located:
        _settle(each.object, plan.namespace)
        unique[identity(each.object)] = each
    objects: dict[Kind, list[Object]] = {}
    strangers: list[Object] = []
    for each in unique.values():
        kind = k.kind_of(each.object)
        if kind is None:
            strangers.append(each.object)
            continue
        if fault := misshapen(kind, each.object):
            raise UsageError(f"{each.source}: {label(each.object)}: {fault}")
        if kind in k.WORKLOAD_KINDS:
            check_shape(each.object, each.source)
        objects.setdefault(kind, []).append(each.object)
    view = FileView(objects, _is_dump(objects), strangers)
    progress(f"manifests: {len(unique)} object{'s' * (len(unique) != 1)}")
    sources = locations([(each.object, each.source) for each in unique.values()])
    return ManifestObjects(view, plan.namespace, plan.workload, sources)


def manifest_facts(manifests: ManifestObjects) -> dict[str, Fact]:
    """The facts of the workload that the plan names, or of the only inference workload in the files."""
    chosen = choose(manifests.candidates(), manifests.workload, manifests.namespace, "the manifests")
    workload = describe(manifests.view, chosen, manifests.sources.get(object_subject(chosen)))
    facts = service_facts(manifests.view, workload, lambda _: True)
    if manifests.view.dump:
        facts |= status_facts(manifests.view, workload, lambda _: True)
    for spec in FACTS:
        if spec.name not in facts:
            facts[spec.name] = Fact(error=_only_live(spec.name))
    facts["manifests.locations"] = Fact(manifests.sources)
    return facts


def manifest_workloads(manifests: ManifestObjects) -> list[tuple[str, str]]:
    """Namespace and ``kind/name`` of every inference workload in the files."""
    return sorted((namespace_of(o), label(o)) for o in inference_workloads(manifests.candidates()))


def _only_live(name: str) -> FactError:
    words = _LIVE_WORDS.get(name, "that")
    return FactError(
        FactErrorKind.NO_TARGET,
        f"only a live cluster shows {words}",
        source="a live cluster",
        remedy="give --context",
    )


def _is_dump(objects: dict[Kind, list[Object]]) -> bool:
    """Nodes and Pods with status are what only a cluster can have written."""
    return bool(objects.get(k.NODE)) and any((pod.get("status") or {}).get("phase") for pod in objects.get(k.POD, ()))


def _settle(obj: Object, namespace: str) -> None:
    """Give a namespaced object without a namespace the one that ``kubectl apply`` would give it."""
    kind = k.kind_of(obj)
    metadata = obj["metadata"]
    if kind is not None and kind.namespaced and not metadata.get("namespace"):
        metadata["namespace"] = namespace or "default"
    if not metadata.get("name"):
        metadata["name"] = str(metadata.get("generateName") or "")


def _read_path(path: str, stdin: str | None, progress: Callable[[str], None]) -> list[Located]:
    if path == "-":
        if stdin is None:
            raise UsageError("--manifests -: nothing came on standard input")
        return read_manifests(stdin, "stdin")
    files = _files(path)
    if len(files) == 1 and not Path(path).is_dir():
        return read_manifests(_text(files[0]), str(files[0]))
    found: list[Located] = []
    for file in files:
        try:
            found += read_manifests(_text(file), str(file))
        except NoManifest as error:
            progress(f"passed over: {error}")
    if not found:
        raise UsageError(f"--manifests {path}: no Kubernetes manifest in {len(files)} files")
    return found


def _files(path: str) -> list[Path]:
    """The files behind a path: itself, the manifests in a folder (not below it, as `kubectl apply -f`), or a glob's."""
    given = Path(path)
    if given.is_dir():
        files = sorted(file for file in given.iterdir() if file.suffix in _SUFFIXES and file.is_file())
    elif given.exists():
        files = [given]
    else:
        matches = glob.glob(path, recursive=True)  # noqa: PTH207  # Path.glob takes no absolute patterns
        files = sorted(Path(match) for match in matches if Path(match).is_file())
    if not files:
        raise UsageError(f"--manifests {path}: no such file, and no YAML or JSON in it; '**/*.yaml' reaches deeper")
    return files


def _text(file: Path) -> str:
    try:
        if file.stat().st_size > MAX_BYTES:
            raise UsageError(f"{file}: larger than {MAX_BYTES >> 20} MiB")
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise NoManifest(f"{file}: no Kubernetes manifest; it is not UTF-8 text") from None
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from None
