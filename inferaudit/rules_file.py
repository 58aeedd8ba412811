"""Rules as text: a rule file of Prometheus or a PrometheusRule, under a head that says what was left out.

Pure. Annotations and labels are Go templates to Prometheus and the head is a comment: text from outside is made
harmless for both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jinja2
import yaml

from inferaudit import __version__
from inferaudit.errors import UsageError
from inferaudit.escape import line, web_link
from inferaudit.generators import Service
from inferaudit.resources import resource_folder
from inferaudit.slo import Objective

KINDS = ("rules", "PrometheusRule")


@dataclass(frozen=True, slots=True)
class AlertRule:
    """An alerting rule. `for_` and `severity` as Prometheus writes them; texts may hold Go templates of our own."""

    name: str
    expr: str
    for_: str
    severity: str
    summary: str
    description: str


@dataclass(frozen=True, slots=True)
class RecordingRule:
    """A recording rule, with labels of its own."""

    record: str
    expr: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that are evaluated together, every `interval` (empty = Prometheus's own)."""

    name: str
    rules: tuple[AlertRule | RecordingRule, ...]
    interval: str = ""


@dataclass(frozen=True, slots=True)
class Generated:
    """Groups of rules, what was left out and why, and what a reader should know."""

    groups: tuple[Group, ...]
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def plain(text: str) -> str:
    """Text from outside, fit for an annotation or a label: one line, and no Go template of its own."""
    return line(text).replace("{{", '{{ "{{" }}')


def runbook_address(text: str) -> str:
    """`text` if it is a plain web address, else :class:`UsageError`."""
    if text and web_link(text) is None:
        raise UsageError(f"--runbook {text!r}: give an address that begins with https:// or http://")
    return text.rstrip("#")


def rules_text(service: Service, what: str, generated: Generated, kind: str, labels: Mapping[str, str]) -> str:
    """The rules as YAML: a plain rule file, or a PrometheusRule with `labels`; the head says what was left out."""
    if kind not in KINDS:
        raise UsageError(f"--kind takes one of {', '.join(KINDS)}, not {kind!r}")
    groups = [_group(service, group) for group in generated.groups if group.rules]
    document: dict[str, Any] = {"groups": groups}
    if kind == "PrometheusRule":
        metadata: dict[str, Any] = {"name": _object_name(f"{service.name or service.runtime.name}-{what}")}
        metadata |= {"namespace": line(service.namespace)} if service.namespace else {}
        metadata |= {"labels": dict(labels)} if labels else {}
        document = {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PrometheusRule",
            "metadata": metadata,
            "spec": document,
        }
    body = yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=1 << 20, allow_unicode=True)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(resource_folder("templates")),
        autoescape=False,  # noqa: S701  # the output is YAML: comments go through `comment`, the body through the dumper
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["comment"] = line
    return environment.get_template("alerts.yaml.jinja").render(
        what=what,
        version=__version__,
        runtime=service.runtime,
        service=service.name,
        objectives=[objective_text(objective) for objective in service.objectives],
        left_out=generated.left_out,
        notes=generated.notes,
        body=body,
    )


def objective_text(objective: Objective) -> str:
    """``e2e_p99 at most 500 ms``, as a head or a title says it."""
    direction = "at most" if objective.at_most else "at least"
    target = (
        f"{objective.target * 100:.6g} %" if objective.unit == "ratio" else f"{objective.target:g} {objective.unit}"
    )
    return f"{objective.dimension} {direction} {target}"


def _group(service: Service, group: Group) -> dict[str, Any]:
    rules = [_alert(service, r) if isinstance(r, AlertRule) else _record(r) for r in group.rules]
    return {"name": group.name, **({"interval": group.interval} if group.interval else {}), "rules": rules}


def _alert(service: Service, rule: AlertRule) -> dict[str, Any]:
    labels = {"severity": rule.severity, **{k: plain(v) for k, v in service_labels(service).items()}}
    if service.owner:
        labels["team"] = plain(service.owner)
    annotations = {"summary": rule.summary, "description": rule.description}
    if service.runbook:
        fragment = "" if "#" in service.runbook else f"#{rule.name.lower()}"
        annotations["runbook_url"] = plain(service.runbook + fragment)
    return {"alert": rule.name, "expr": rule.expr, "for": rule.for_, "labels": labels, "annotations": annotations}


def _record(rule: RecordingRule) -> dict[str, Any]:
    return {"record": rule.record, "expr": rule.expr, **({"labels": dict(rule.labels)} if rule.labels else {})}


def service_labels(service: Service) -> dict[str, str]:
    """The label ``service``, where the service has a name. An alert's labels are templates besides: see `plain`."""
    return {"service": line(service.name)} if service.name else {}


def group_name(service: Service, what: str) -> str:
    """A group's name; groups of two services may lie in one folder."""
    return f"inference-{line(service.name, 60) or service.runtime.name}-{what}"


def _object_name(text: str) -> str:
    """`text` as the name of a Kubernetes object (RFC 1123)."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:63].strip("-") or "inference"


class _Dumper(yaml.SafeDumper):
    """Expressions of several lines as blocks, and lists under their key indented as people write them."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _represent_text)
