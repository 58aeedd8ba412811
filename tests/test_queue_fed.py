"""A service that a queue alone feeds: said so, in every row that would ask it over the network, and nothing failed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from inferaudit.kube.types import Workload
from inferaudit.model import Fact, FactError, FactErrorKind
from inferaudit.queue_fed import queue_feeding

Json = dict[str, Any]


def facts(
    container: Json | None = None, *, scaled: Json | None = None, services: list[Json] | None = None
) -> dict[str, Fact]:
    image = {"name": "worker", "role": "server", "serving": True, "image": "registry.example.com/ranker:1"}
    workload = Workload(
        kind="Deployment", namespace="ml", name="ranker", subject="deployment/ml/ranker", replicas=1, object={},
        template={}, uses_gpu=True, gpus_per_pod=1,
    )  # fmt: skip
    scaler = {
        "kind": "ScaledObject",
        "apiVersion": "keda.sh/v1alpha1",
        "metadata": {"name": "ranker", "namespace": "ml"},
    }
    return {
        "workload": Fact(workload),
        "workload.containers": Fact([{**image, **(container or {})}]),
        "service.services": Fact(services or []),
        "service.inferencepools": Fact([]),
        "service.configmaps": Fact([]),
        "service.autoscalers": Fact([{**scaler, "spec": {"triggers": [scaled]}}] if scaled else []),
    }


def env(**values: str) -> Json:
    return {"env": [{"name": name, "value": value} for name, value in values.items()]}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (facts(scaled={"type": "kafka", "metadata": {"topic": "images"}}), "kafka 'images'"),
        (facts(scaled={"type": "aws-sqs-queue", "metadata": {"queueURL": "https://a:b@x.example"}}), "aws-sqs-queue"),
        (facts(scaled={"type": "redis-streams", "metadata": {"stream": "s"}}), "redis-streams 's'"),
        (facts(env(KAFKA_BOOTSTRAP_SERVERS="k:9092", KAFKA_TOPIC="t")), "KAFKA_BOOTSTRAP_SERVERS (Kafka)"),
        (facts(env(RABBITMQ_URL="amqp://a:secret@q")), "RABBITMQ_URL (RabbitMQ)"),
        (facts(env(SQS_QUEUE_URL="https://sqs.example.com/1/q")), "SQS_QUEUE_URL (SQS)"),
        (facts(env(REDIS_URL="redis://r", JOB_QUEUE="jobs")), "REDIS_URL (Redis)"),
        (facts({"args": ["celery", "-A", "app", "worker", "--loglevel=info"]}), "celery"),
        (facts({**env(SQS_QUEUE_URL="u"), "ports": [{"name": "metrics", "containerPort": 9090}]}), "SQS"),
    ],
)  # fmt: skip
def test_a_queue_that_the_objects_name_is_named(given: dict[str, Fact], said: str) -> None:
    reason = queue_feeding(given)
    assert reason is not None
    assert said in reason
    assert reason.startswith("it is fed by a queue alone: ")
    assert "secret" not in reason
    assert "a:b@" not in reason


SERVICE = {"spec": {"ports": [{"name": "http", "port": 80}]}}
KAFKA = {"type": "kafka", "metadata": {"topic": "images"}}


@pytest.mark.parametrize(
    "given",
    [
        facts(),  # nothing says queue
        facts(env(REDIS_URL="redis://r")),  # a cache
        facts(env(KAFKA_BOOTSTRAP_SERVERS="k:9092")),  # perhaps it only writes its logs there
        facts(scaled=KAFKA, services=[SERVICE]),
        facts({"ports": [{"containerPort": 8000}]}, scaled=KAFKA),
        facts({"ports": [{"name": "http", "containerPort": 8000}]}, scaled=KAFKA),
        facts({"image": "vllm/vllm-openai:v0.11.0"}, scaled=KAFKA),  # it listens, declared or not
        facts(scaled={"type": "prometheus", "metadata": {"query": "q"}}),
        facts(scaled={"type": "cpu", "metadata": {"value": "50"}}),
    ],
)
def test_what_also_answers_requests_or_names_no_queue_is_not(given: dict[str, Fact]) -> None:
    assert queue_feeding(given) is None


@pytest.mark.parametrize("name", ["workload", "workload.containers", "service.services"])
def test_what_could_not_be_read_says_nothing(name: str) -> None:
    given = facts(scaled=KAFKA)
    given[name] = Fact(error=FactError(FactErrorKind.DENIED, "may not list them", "API"))
    assert queue_feeding(given) is None


def test_the_rows_of_the_endpoint_are_unknown_for_that_reason_and_none_fails(tmp_path: Path) -> None:
    pod = {"containers": [{"name": "worker", "image": "registry.example.com/ranker:1.4.2"}]}
    labels = {"app": "ranker"}
    deployment = {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "ranker", "namespace": "ml"},
        "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}},
    }  # fmt: skip
    scaler = {
        "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "ranker", "namespace": "ml"},
        "spec": {"scaleTargetRef": {"name": "ranker"}, "triggers": [KAFKA]},
    }  # fmt: skip
    (tmp_path / "all.yaml").write_text(yaml.safe_dump_all([deployment, scaler]))
    command = [sys.executable, "-m", "inferaudit.cli.app", "run", "--manifests", str(tmp_path / "all.yaml")]
    command += ["--workload", "deployment/ranker", "--scope", "cluster,endpoint,load", "-o", "json", "--no-progress"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    report = json.loads(done.stdout)
    asked = [f for f in report["findings"] if f["check"].startswith("endpoint-") or f["check"] == "network-service"]
    assert {f["outcome"] for f in asked} == {"unknown"}
    said = [f for f in asked if not f["message"].startswith("not given: ")]  # what is opt-in was not asked for
    assert len(said) > 20
    assert all("fed by a queue alone" in f["message"] for f in said)
    assert {"endpoint-live", "endpoint-ready", "endpoint-plain-answer", "network-service"} <= {
        f["check"] for f in asked
    }
    assert report["verdict"] != "GO"
    rows = [
        item for checklist in report["checklists"] for item in checklist["items"] if item["id"] == "serving.accepts"
    ]
    assert rows
    assert all(row["status"] == "unknown" for row in rows)
