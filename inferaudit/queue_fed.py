"""Is a service fed by a queue alone? Then nothing answers requests, and no question of HTTP or gRPC applies. Pure.

Said only where the objects say it: no Service or InferencePool over the pods, no open port but those of metrics and
health, no server that is known to listen, and a queue by name. Trigger types: https://keda.sh/docs/latest/scalers/
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from inferaudit.engine_args import environment
from inferaudit.model import Fact
from inferaudit.runtime_recognition import recognise_container
from inferaudit.subjects import object_subject

_TRIGGERS = frozenset(
    {
        "kafka", "apache-kafka", "rabbitmq", "aws-sqs-queue", "aws-kinesis-stream", "azure-servicebus", "azure-queue",
        "azure-eventhub", "gcp-pubsub", "nats-jetstream", "stan", "pulsar", "activemq", "artemis-queue", "ibmmq",
        "solace-event-queue", "beanstalkd", "redis", "redis-cluster", "redis-sentinel", "redis-streams",
        "redis-cluster-streams", "redis-sentinel-streams",
    }
)  # fmt: skip
_NAMES = ("topic", "queueName", "listName", "stream", "subscriptionName", "destinationName", "tube")
# The broker and, where the broker serves other ends too, what is consumed of it.
_BROKERS: tuple[tuple[str, str, str], ...] = (
    ("Kafka", r"KAFKA\w*(BOOTSTRAP|BROKER)", r"TOPIC|CONSUMER_GROUP|GROUP_ID"),
    ("RabbitMQ", r"RABBIT(MQ)?_\w*(URL|URI|HOST)|^AMQP_\w*(URL|URI)", r""),
    ("SQS", r"SQS_\w*(QUEUE|URL)", r""),
    ("Celery", r"CELERY_BROKER(_URL)?$", r""),
    ("Pub/Sub", r"PUBSUB_\w*SUBSCRIPTION", r""),
    ("Service Bus", r"SERVICE_?BUS_\w*(QUEUE|CONNECTION|SUBSCRIPTION)", r""),
    ("NATS", r"^NATS_\w*(URL|SERVERS?)$", r"STREAM|CONSUMER|SUBJECT|QUEUE"),
    ("Redis", r"^REDIS_\w*(URL|HOST)$", r"QUEUE|STREAM|_LIST$"),
)
_SIDE_PORTS = re.compile(r"metric|prom|health|probe|live|ready", re.IGNORECASE)
_WORKER = re.compile(r"\bcelery\b.*\bworker\b|\brq worker\b")


def queue_feeding(facts: Mapping[str, Fact]) -> str | None:
    """What feeds the audited workload when it is a queue and nothing else, as one clause; None otherwise or unknown."""
    if any(_value(facts, name) is None for name in ("workload", "workload.containers", "service.services")):
        return None
    containers = [c for c in facts["workload.containers"].value if c.get("role") != "init"]
    served = [s for s in facts["service.services"].value if _leads_to_requests(s)]
    if served or _value(facts, "service.inferencepools") or _listens(containers):
        return None
    found = _value(facts, "service.configmaps") or ()
    maps = {str((m.get("metadata") or {}).get("name")): m.get("data") or {} for m in found}
    sign = _by_trigger(_value(facts, "service.autoscalers") or ()) or _by_settings(containers, maps)
    return f"{sign}; no Service leads to its pods, and they open no port for requests" if sign else None


def _value(facts: Mapping[str, Fact], name: str) -> Any:
    fact = facts.get(name)
    return None if fact is None or fact.error is not None else fact.value


def _leads_to_requests(service: Mapping[str, Any]) -> bool:
    ports = (service.get("spec") or {}).get("ports") or ()
    return not ports or not all(_SIDE_PORTS.search(str(port.get("name") or "")) for port in ports)


def _listens(containers: Iterable[Mapping[str, Any]]) -> bool:
    """Does one open a port for requests, by its own word or as a server that is known to?"""
    for container in containers:
        if any(not _SIDE_PORTS.search(str(port.get("name") or "")) for port in container.get("ports") or ()):
            return True
        words = [str(word) for word in (*(container.get("command") or ()), *(container.get("args") or ()))]
        names = [str(entry.get("name")) for entry in container.get("env") or ()]
        if recognise_container(str(container.get("image") or ""), words, (), names).name != "unknown":
            return True
    return False


def _by_trigger(autoscalers: Iterable[Mapping[str, Any]]) -> str:
    for scaler in autoscalers:
        for trigger in (scaler.get("spec") or {}).get("triggers") or ():
            kind, metadata = str(trigger.get("type")), trigger.get("metadata") or {}
            if kind in _TRIGGERS:
                name = next((f" {str(metadata[key])[:80]!r}" for key in _NAMES if metadata.get(key)), "")
                return f"it is fed by a queue alone: {object_subject(scaler)} scales it on {kind}{name}"
    return ""


def _by_settings(containers: Iterable[Mapping[str, Any]], maps: Mapping[str, Mapping[str, str]]) -> str:
    for container in containers:
        names = sorted(environment(container, maps))
        for broker, where, what in _BROKERS:
            found = next((name for name in names if re.search(where, name)), None)
            consumed = not what or any(re.search(what, name) for name in names if name != found)
            if found and consumed:
                return f"it is fed by a queue alone: container {container.get('name')} has {found} ({broker})"
        line = " ".join(str(word) for word in (*(container.get("command") or ()), *(container.get("args") or ())))
        if hit := _WORKER.search(line):
            return f"it is fed by a queue alone: container {container.get('name')} runs {hit[0][:80]!r}"
    return ""
