"""Single faults put into the complete, correct service of tests/fixtures/service, and what an audit says of each.

A fault is ``faults/<area>-<what>.yaml``:

    title: what is wrong, in a few words
    service: tgi        # another of services/, instead of the first
    patch: […]          # into what is applied: add, remove, or a target with merge, strategic, json or container
    live: […]           # into what the cluster then says: pods, nodes, events, statuses
    logs: […]           # log lines of the serving container, where the fault shows there
    policy: {…}         # over the keys of policy.yaml, where the fault is one only against what is written there
    find:               # every entry must be found: one of the checks, on this subject
    - {check: [workload-gpu-limit], subject: deployment/llm-prod/chat/server}
    also: [check-id]    # consequences that no single edit would separate from the fault; each is said why
    missing: why        # a known gap; the test then expects the fault to be overlooked

Files → patched → controllers played → one dump on disk → collector → evaluator: the way of `run --manifests`.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from support.cluster import CRDS, POD_LOG, SERVICE, documents

from inferaudit.catalog import Catalog, load_catalog
from inferaudit.collect.attestations import collect_attestations
from inferaudit.collect.manifests import collect_manifests
from inferaudit.evaluate import evaluate
from inferaudit.facts.kubernetes import ApiResource, ClusterVersion, LogSample
from inferaudit.kube.kinds import KINDS
from inferaudit.model import Fact, Finding, Outcome, Severity, Snapshot, Target
from inferaudit.plan import ManifestsPlan
from inferaudit.policy import Policy

from . import controllers, patches, statuses
from .patches import Object

FAULTS = Path(__file__).parent / "faults"
POLICY = FAULTS.parent / "policy.yaml"
SERVICES = sorted(path.stem for path in (FAULTS.parent / "services").glob("*.yaml"))
COLLECTED_AT = "2026-11-22T12:00:00Z"
_BEFORE_SETTLING = ("pod/", "node/", "event/")


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault file."""

    name: str
    title: str
    service: str = ""
    patch: list[dict[str, Any]] = field(default_factory=list)
    live: list[dict[str, Any]] = field(default_factory=list)
    logs: list[str] = field(default_factory=list)
    policy: dict[str, Any] = field(default_factory=dict)
    find: list[dict[str, Any]] = field(default_factory=list)
    also: list[str] = field(default_factory=list)
    missing: str = ""

    @property
    def area(self) -> str:
        """The first word of the file's name."""
        return self.name.partition("-")[0]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What an audit made of a fault, against the service without it."""

    overlooked: list[str]
    false_alarms: list[str]
    found: list[Finding]
    hidden: list[str]  # failures that gate, under a cause that does not


def faults() -> list[Fault]:
    """All fault files, by name."""
    return [Fault(name=path.stem, **yaml.safe_load(path.read_text("utf-8"))) for path in sorted(FAULTS.glob("*.yaml"))]


@cache
def catalog() -> Catalog:
    """The built-in catalogue, loaded once."""
    return load_catalog()


@cache
def _service() -> tuple[Object, ...]:
    status = {patches.reference(obj): obj["status"] for obj in documents(SERVICE / "status")}
    objects = documents(SERVICE)
    for obj in objects:
        if said := status.get(patches.reference(obj)):
            obj["status"] = said
    return tuple(objects)


def applied() -> list[Object]:
    """The right service as its owner applies it: no statuses, no pods."""
    return [{key: value for key, value in obj.items() if key != "status"} for obj in copy.deepcopy(list(_service()))]


def dump(fault: Fault | None = None) -> list[Object]:
    """Every object of the cluster with the fault in it; without a fault, of the right one."""
    objects = copy.deepcopy(list(_service()))
    if fault is None:
        return statuses.settle(controllers.start(objects))
    objects += _own(fault.service)
    objects = controllers.start(patches.apply(objects, fault.patch))
    early = [patch for patch in fault.live if _about(patch).startswith(_BEFORE_SETTLING)]
    late = [patch for patch in fault.live if patch not in early]
    objects = statuses.settle(patches.apply(objects, early))
    return patches.apply(objects, late)


def _about(patch: Mapping[str, Any]) -> str:
    return patches.reference(patch["add"]) if "add" in patch else str(patch.get("target") or patch.get("remove"))


def audit(
    objects: Iterable[Object],
    folder: Path,
    policy: Mapping[str, Any],
    logs: Iterable[str] = (),
    *,
    namespace: str = "llm-prod",
    workload: str = "deployment/chat",
) -> tuple[Finding, ...]:
    """The findings of an audit of the dump in the scope `cluster`."""
    path = folder / "dump.json"
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))
    facts = collect_manifests(ManifestsPlan(paths=(str(path),), namespace=namespace, workload=workload))
    if facts["workload.pods"].error is None:
        facts |= _asked_of_a_server(facts, list(logs))
    judged = Policy.model_validate({**yaml.safe_load(POLICY.read_text("utf-8")), **policy})
    facts |= collect_attestations(judged.attestations, FAULTS.parent)
    return evaluate(catalog(), Snapshot(COLLECTED_AT, Target(), facts), judged)


@cache
def _served() -> tuple[ApiResource, ...]:
    """The resources of an API server with the definitions of tests/fixtures/crds."""
    served = {
        (kind.group, kind.name): ApiResource(
            group=kind.group, version="v1", kind=kind.name, resource=kind.plural, namespaced=kind.namespaced
        )
        for kind in KINDS
        if kind.builtin
    }
    for definition in documents(CRDS):
        spec = definition["spec"]
        names, version = spec["names"], spec["versions"][0]["name"]
        served[spec["group"], names["kind"]] = ApiResource(
            group=spec["group"],
            version=version,
            kind=names["kind"],
            resource=names["plural"],
            namespaced=spec["scope"] == "Namespaced",
        )
    return tuple(served.values())


def _asked_of_a_server(facts: Mapping[str, Fact], logs: list[str]) -> dict[str, Fact]:
    """What no object holds, and every live audit reads: version, served resources, logs."""
    pods = facts["workload.pods"].value or []
    lines = logs or POD_LOG.splitlines()
    samples = [
        LogSample(pod=pod["metadata"]["name"], container=each["name"], previous=bool(logs), lines=lines)
        for pod in pods
        for each in pod["spec"]["containers"]
    ]
    return {
        "cluster.version": Fact(ClusterVersion(git_version="v1.35.4", major="1", minor="35", platform="linux/amd64")),
        "cluster.crds": Fact(list(_served())),
        "workload.logs": Fact(samples),
    }


def audit_of(service: str, folder: Path) -> tuple[Finding, ...]:
    """The findings about another right service, ``services/<service>.yaml``, in the cluster of the first."""
    objects = statuses.settle(controllers.start([*copy.deepcopy(list(_service())), *_own(service)]))
    return audit(objects, folder, {}, **_target(service))


def _own(service: str) -> list[Object]:
    """The objects of one of the other services; none of the first."""
    if not service:
        return []
    text = (FAULTS.parent / "services" / f"{service}.yaml").read_text("utf-8")
    return [each for each in yaml.safe_load_all(text) if each]


def _target(service: str) -> dict[str, str]:
    """What is audited, as `audit` takes it."""
    if not service:
        return {}
    kinds = ("InferenceService", "LeaderWorkerSet", "Deployment", "StatefulSet")
    own = _own(service)
    workload = next(each for kind in kinds for each in own if each["kind"] == kind)
    name = f"{workload['kind'].lower()}/{workload['metadata']['name']}"
    return {"namespace": workload["metadata"]["namespace"], "workload": name}


def troubling(finding: Finding, least: Severity = Severity.MEDIUM) -> bool:
    """Whether a finding would bother the owner of a right service."""
    return (
        finding.outcome in (Outcome.FAIL, Outcome.UNKNOWN, Outcome.REVIEW)
        and finding.severity.at_least(least)
        and finding.due
        and finding.cause is None
    )


def describe(finding: Finding) -> str:
    """One line for a failed test."""
    return f"{finding.outcome} {finding.severity} {finding.check} on {finding.subject}: {finding.message}"


def _root(finding: Finding, by_print: Mapping[str, Finding]) -> Finding:
    """The finding at the end of the causes."""
    for _ in range(len(by_print)):
        if finding.cause is None:
            return finding
        finding = by_print[finding.cause]
    raise AssertionError(f"causes go in a circle at {finding.check}")


@cache
def _before(policy: str, folder: str, service: str) -> tuple[Finding, ...]:
    """The findings without a fault, once for each policy and service."""
    objects = statuses.settle(controllers.start([*copy.deepcopy(list(_service())), *_own(service)]))
    return audit(objects, Path(folder), json.loads(policy), **_target(service))


def diagnose(fault: Fault, folder: Path) -> Diagnosis:
    """Audit the service with and without the fault, and compare."""
    before = _before(json.dumps(fault.policy), str(folder.parent), fault.service)
    after = audit(dump(fault), folder, fault.policy, fault.logs, **_target(fault.service))
    old = {finding.fingerprint for finding in before if finding.outcome is Outcome.FAIL}
    found, overlooked = [], []
    for wanted in fault.find:
        outcome = Outcome(wanted.get("outcome", "fail"))
        hits = [
            finding
            for finding in after
            if finding.check in wanted["check"]
            and finding.outcome is outcome
            and finding.subject == wanted["subject"]
            and finding.fingerprint not in old
        ]
        found += hits
        if not hits:
            overlooked.append(f"{wanted['check']} on {wanted['subject']}")
    expected = {check for wanted in fault.find for check in wanted["check"]} | set(fault.also)
    alarms = [
        describe(finding)
        for finding in after
        if finding.outcome is Outcome.FAIL
        and finding.cause is None
        and finding.fingerprint not in old
        and finding.check not in expected
    ]
    by_print = {finding.fingerprint: finding for finding in after}
    hidden = [
        describe(finding)
        for finding in after
        if finding.outcome is Outcome.FAIL
        and finding.cause is not None
        and finding.severity.at_least(Severity.HIGH)
        and not _root(finding, by_print).gates
    ]
    return Diagnosis(overlooked, alarms, found, hidden)
