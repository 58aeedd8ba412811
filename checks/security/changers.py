from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from inferaudit.api import Evidence, Judgement, Severity, Snapshot, check, failed, passed
from inferaudit.kube.types import Workload
from inferaudit.subjects import object_subject

_EVERYBODY = frozenset({"system:authenticated", "system:unauthenticated", "system:anonymous", "system:serviceaccounts"})
_CHANGES = frozenset({"create", "update", "patch", "delete", "deletecollection", "*"})
_PLURALS = {
    "Deployment": "deployments", "StatefulSet": "statefulsets", "DaemonSet": "daemonsets", "Rollout": "rollouts",
    "LeaderWorkerSet": "leaderworkersets", "InferenceService": "inferenceservices", "RayService": "rayservices",
    "Pod": "pods",
}  # fmt: skip
_ENTERS = (("pods/exec", "runs commands in its pods"), ("pods/attach", "attaches to its pods"),
           ("pods/ephemeralcontainers", "puts containers into its pods"))  # fmt: skip


@check(
    title="Only those who answer for the service may change it",
    severity=Severity.MEDIUM,
    needs=("workload", "service.access"),
    remediation=(
        "Remove the binding of the group or of the account that everybody has, and bind the team's own group or the "
        "deployer's ServiceAccount instead."
    ),
    references=("https://kubernetes.io/docs/concepts/security/rbac-good-practices/",),
)
def changers(snapshot: Snapshot) -> Iterator[Judgement]:
    """Whoever may patch the workload may put another image behind its address, with its keys and its users' prompts.

    Looked at are the bindings of the namespace, and those of the whole cluster that name everybody; administrators of
    the cluster may change all, and are left out. A ServiceAccount called `default` is that of every pod without one.
    """
    workload = snapshot.fact("workload")
    objects = snapshot.fact("service.access")
    trusted: list[str] = []
    wrong = 0
    for binding, role in _pairs(objects):
        may = _may(role.get("rules") or (), workload)
        if not may:
            continue
        open_to = [name for s in binding.get("subjects") or () if (name := _everybody(s, binding, workload))]
        if open_to:
            wrong += 1
            seen = Evidence("subjects", open_to, "a group or an account of its own")
            yield failed(object_subject(binding), f"{open_to[0]} {may[0]} ({role['metadata']['name']})", seen)
        else:
            trusted += [str(s.get("name")) for s in binding.get("subjects") or ()]
    if not wrong:
        who = sorted(set(trusted))
        text = f"besides administrators, {', '.join(who)} may" if who else "administrators alone may"
        yield passed(
            workload.subject, text, Evidence("bindings", who or len(objects), "nobody who does not answer for it")
        )


def _pairs(objects: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Bindings with the role that follows them."""
    for binding, role in pairwise(objects):
        if str(binding.get("kind")).endswith("Binding") and not str(role.get("kind")).endswith("Binding"):
            yield binding, role


def _may(rules: Sequence[Mapping[str, Any]], workload: Workload) -> list[str]:
    found = []
    for rule in rules:
        verbs, resources = set(rule.get("verbs") or ()), set(rule.get("resources") or ())
        groups, names = set(rule.get("apiGroups") or ()), rule.get("resourceNames") or ()
        plural = _PLURALS.get(workload.kind, "")
        inside = bool({"*", workload.group} & groups) and bool({"*", plural} & resources)
        if inside and verbs & _CHANGES and (not names or workload.name in names):
            found.append("may change the workload")
        found += [
            why
            for name, why in _ENTERS
            if {"*", ""} & groups and {"*", name} & resources and verbs & (_CHANGES | {"get"}) and not names
        ]
    return found


def _everybody(subject: Mapping[str, Any], binding: Mapping[str, Any], workload: Workload) -> str:
    """The subject in words where it is more or less everybody, else the empty string."""
    name = str(subject.get("name"))
    if subject.get("kind") == "ServiceAccount":
        home = subject.get("namespace") or (binding.get("metadata") or {}).get("namespace")
        return f"every pod without an account in {home}" if name == "default" else ""
    return name if name in _EVERYBODY or name == f"system:serviceaccounts:{workload.namespace}" else ""
