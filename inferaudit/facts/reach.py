"""How the endpoint was reached, what each replica said by itself, and what the loss of one did. Times in milliseconds
and seconds, as the names say."""

from __future__ import annotations

import msgspec

from inferaudit.facts.spec import FactSpec, Rbac
from inferaudit.model import Scope


class _Value(msgspec.Struct, frozen=True, kw_only=True):
    """A fact's value or a part of one."""


class Reach(_Value, frozen=True):
    """The way to the endpoint. `how`: ``url`` (as given), ``service`` (its name in the cluster), ``port_forward``.

    `pod` and `pod_port` are where a port-forward ends; `reconnects` counts the pods that went away under it.
    """

    how: str
    url: str
    namespace: str = ""
    workload: str = ""
    service: str | None = None
    service_port: int | None = None
    pod: str | None = None
    pod_port: int | None = None
    reconnects: int = 0
    note: str = ""


class ReplicaAnswer(_Value, frozen=True):
    """What one ready pod said. `error` is why it said nothing; `ready` None = its runtime has no readiness route.

    `models` None = it lists none, for the reason `models_error`. `image_id` is the digest the kubelet runs.
    """

    pod: str
    port: int
    error: str | None = None
    runtime: str = "unknown"
    version: str | None = None
    models: list[str] | None = None
    models_error: str = ""
    ready: bool | None = None
    ready_route: str | None = None
    ready_status: int | None = None
    image: str = ""
    image_id: str = ""


class Replicas(_Value, frozen=True):
    """All that were asked, out of `total` ready pods of the workload `subject`."""

    subject: str
    total: int
    answers: list[ReplicaAnswer]


class ChaosRequest(_Value, frozen=True):
    """One light request: `at_s` counts from the deletion, negative before it. `error` is a class of the benchmark's."""

    at_s: float
    ms: float | None
    status: int | None = None
    error: str | None = None


class Degradation(_Value, frozen=True):
    """What the loss of one pod did to the endpoint. `replicas` is what the workload wants, `ready` what it had.

    `recovery_s` is from the deletion until as many pods were ready again, None = not within `limit_s`. `skipped` counts
    requests that were due and not sent, because eight were open already. `interrupted`: a signal ended the watch.
    `unseen` is why the pods could not be seen when the time was up, "" where they could.
    """

    subject: str
    pod: str
    url: str
    route: str
    replicas: int
    ready: int
    rate_per_s: float
    abrupt: bool
    limit_s: float
    recovery_s: float | None
    requests: list[ChaosRequest]
    skipped: int = 0
    interrupted: bool = False
    unseen: str = ""


FACTS = (
    FactSpec(
        "endpoint.reach",
        Scope.ENDPOINT,
        Reach,
        "how the endpoint was reached: by URL, by its Service's name, or through a port-forward to which pod",
        live=True,
        flag="--url or --port-forward",
        rbac=(
            Rbac("create", "pods/portforward", optional=True),
            Rbac("get", "pods/portforward", optional=True),
        ),
    ),
    FactSpec(
        "endpoint.replicas",
        Scope.ENDPOINT,
        Replicas,
        "what each ready pod says by itself: version, models, readiness",
        live=True,
        flag="--replicas",
        rbac=(Rbac("get", "pods/proxy", optional=True),),
        opt_in=True,
    ),
    FactSpec(
        "endpoint.degradation",
        Scope.ENDPOINT,
        Degradation,
        "errors, recovery and latency while one pod of the workload was deleted",
        live=True,
        flag="--chaos",
        rbac=(Rbac("delete", "pods", optional=True),),
        opt_in=True,
    ),
)
