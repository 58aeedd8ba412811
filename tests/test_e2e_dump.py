"""A live API server and a dump of it piped into `--manifests -` give the same findings, whatever is broken."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from corpus import corpus, patches
from support.cluster import SERVICE, ClusterError, ControlPlane, documents

from inferaudit.kube.kinds import KINDS

pytestmark = [pytest.mark.controlplane, pytest.mark.xdist_group("controlplane"), pytest.mark.timeout(300)]

# One of each way in which a fault shows: in the template, in an object beside it, in what is missing, in what the
# controllers then do. (Faults in statuses and logs are written by no controller here.)
FAULTS = (
    "autoscaling-too-large", "availability-budget-min-all", "network-no-policy", "network-retry-storm",
    "network-wrong-port", "observability-no-alerts", "probes-no-readiness", "rollout-recreate",
    "scheduling-no-such-nodes", "security-host-pid", "security-token-in-configmap", "workload-configmap-missing",
    "workload-no-memory-limit", "workload-outside-limit-range",
)  # fmt: skip
TARGET = ("-n", "llm-prod", "--workload", "deployment/chat", "--scope", "cluster", "--no-progress")


def failures(folder: Path, *flags: object, stdin: str | None = None) -> set[tuple[str, str | None, str]]:
    """What an audit says fails: check, subject and message."""
    out = folder / "report.json"
    command = [sys.executable, "-m", "inferaudit.cli.app", "run", *TARGET, *map(str, flags), "-o", f"json={out}"]
    run = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=120, check=False)
    assert "Traceback" not in run.stderr
    assert out.exists(), run.stderr
    report = json.loads(out.read_text())
    out.unlink()
    return {(f["check"], f["subject"], f["message"]) for f in report["findings"] if f["outcome"] == "fail"}


def everything(plane: ControlPlane) -> str:
    """`kubectl get … -A -o yaml` of all kinds that an audit looks at and the server has."""
    served = {
        f"{crd['spec']['names']['plural']}.{crd['spec']['group']}"
        for crd in plane.get("customresourcedefinitions")["items"]
    }
    names = [kind.plural if not kind.group else f"{kind.plural}.{kind.group}" for kind in KINDS]
    builtin = {kind.plural if not kind.group else f"{kind.plural}.{kind.group}" for kind in KINDS if kind.builtin}
    return plane.kubectl("get", ",".join(n for n in names if n in served | builtin), "-A", "-o", "yaml")


@pytest.fixture
def broken(gpu_service: ControlPlane, request: pytest.FixtureRequest) -> Iterator[ControlPlane]:
    """The service with one fault of the corpus in it, put right again afterwards."""
    fault = next(each for each in corpus.faults() if each.name == request.param)
    before = {patches.reference(obj): obj for obj in documents(SERVICE)}
    after = {patches.reference(obj): obj for obj in patches.apply(list(before.values()), fault.patch)}
    changed = [obj for name, obj in after.items() if before.get(name) != obj]
    gone = [obj for name, obj in before.items() if name not in after]
    if gone:
        gpu_service.kubectl("delete", "-f", "-", input=_text(gone))
    if changed:
        gpu_service.apply(_text(changed))
    _settled(gpu_service)
    yield gpu_service
    added = [obj for name, obj in after.items() if name not in before]
    if added:
        gpu_service.kubectl("delete", "-f", "-", input=_text(added))
    if restored := [before[patches.reference(obj)] for obj in (*changed, *gone) if obj not in added]:
        gpu_service.apply(_text(restored))
    gpu_service.kubectl("rollout", "status", "deployment/chat", "-n", "llm-prod", "--timeout=60s")


def _text(objects: list[dict[str, Any]]) -> str:
    return yaml.safe_dump_all(objects)


def _settled(plane: ControlPlane) -> None:
    """A rollout that the fault stops does not end; a few seconds later nothing moves any more."""
    with contextlib.suppress(ClusterError):
        plane.kubectl("rollout", "status", "deployment/chat", "-n", "llm-prod", "--timeout=8s")


@pytest.mark.parametrize("broken", FAULTS, indirect=True)
def test_the_cluster_and_its_dump_say_the_same(broken: ControlPlane, tmp_path: Path) -> None:
    live = failures(tmp_path, "--kubeconfig", broken.kubeconfig)
    piped = failures(tmp_path, "--manifests", "-", stdin=everything(broken))
    assert live
    assert piped == live


def test_the_right_service_too(gpu_service: ControlPlane, tmp_path: Path) -> None:
    live = failures(tmp_path, "--kubeconfig", gpu_service.kubeconfig)
    assert failures(tmp_path, "--manifests", "-", stdin=everything(gpu_service)) == live
