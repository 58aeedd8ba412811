"""A first policy from what was found: filled in where facts say, commented where a person must decide."""

from __future__ import annotations

import json
from typing import Any

import jinja2

from inferaudit.model import Snapshot
from inferaudit.resources import resource_folder
from inferaudit.slo import TEMPLATE

# APIs that stream tokens: for them end-to-end latency says more about the length of the answer than about the service.
GENERATIVE_APIS = ("openai-chat", "openai-completions", "tgi", "ollama", "llama.cpp")
_GENERATIVE_SLO = {"ttft_p99": "500ms", "itl_p99": "50ms", "error_rate": "0.1%", "availability": "99.9%"}


def propose_policy(snapshot: Snapshot | None) -> str:
    """The text of an ``inferaudit.yaml``; every value from outside is quoted as JSON, which YAML reads as is."""
    target = snapshot.target if snapshot else None
    generative = target is None or target.api in GENERATIVE_APIS or (not target.api and _serves_llm(snapshot))
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(resource_folder("templates")),
        autoescape=False,  # noqa: S701  # the output is YAML; every value goes through the `quoted` filter
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["quoted"] = lambda value: json.dumps(str(value), ensure_ascii=False)
    return environment.get_template("inferaudit.yaml.jinja").render(
        target={key: getattr(target, key, "") for key in ("context", "namespace", "workload", "url", "api", "model")},
        name=_name(snapshot),
        owner=_owner(snapshot),
        slo=_GENERATIVE_SLO if generative else TEMPLATE,
        generative=generative,
        runtime=_value(snapshot, "endpoint.runtime"),
        gpus=_gpus(snapshot),
    )


def _value(snapshot: Snapshot | None, name: str) -> Any:
    fact = snapshot.facts.get(name) if snapshot else None
    return fact.value if fact and fact.error is None else None


def _serves_llm(snapshot: Snapshot | None) -> bool:
    containers = _value(snapshot, "workload.containers") or ()
    images = " ".join(str(c.get("image", "")) for c in containers if c.get("serving"))
    return not images or any(word in images for word in ("vllm", "sglang", "text-generation", "ollama", "llama", "nim"))


def _name(snapshot: Snapshot | None) -> str:
    workload = _value(snapshot, "workload")
    return workload.name if workload else ""


def _owner(snapshot: Snapshot | None) -> str:
    workload = _value(snapshot, "workload")
    metadata = (workload.object.get("metadata") or {}) if workload else {}
    words = {**(metadata.get("labels") or {}), **(metadata.get("annotations") or {})}
    return next((str(v) for k, v in words.items() if k.rpartition("/")[2] in ("owner", "team")), "")


def _gpus(snapshot: Snapshot | None) -> int:
    workload = _value(snapshot, "workload")
    return (workload.gpus_per_pod or 0) * (workload.replicas or 1) if workload else 0
