"""The collection plan: all that collectors may know, derived purely from target and policy.

Collectors see the plan alone, never flags, policy or environment. Secrets are not in it: a plan names the environment
variable, and the collector reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class HttpAuth:
    """How to speak to an HTTP endpoint. Header values come from the environment by name, never from the plan."""

    header_env: tuple[tuple[str, str], ...] = ()
    api_key_env: str = ""
    ca_file: str = ""
    insecure: bool = False
    cert_file: str = ""
    key_file: str = ""


@dataclass(frozen=True, slots=True)
class KubernetesPlan:
    """The live cluster. Times in seconds. `needs`: the facts that checks ask for; None = all there are.

    Lists over the whole cluster are read only for facts among them.
    """

    context: str = ""
    kubeconfig: str = ""
    namespace: str = ""
    workload: str = ""
    call_timeout_s: float = 30.0
    total_timeout_s: float = 300.0
    page_size: int = 1000
    concurrency: int = 8
    needs: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class ManifestsPlan:
    """Files, folders, globs or ``-``. `stdin` holds what was read from standard input."""

    paths: tuple[str, ...]
    namespace: str = ""
    workload: str = ""
    stdin: str | None = None


@dataclass(frozen=True, slots=True)
class EndpointPlan:
    """The running service from outside. `url` is the server's base.

    `name` is what findings call it where the URL's own host and port say nothing: behind a port-forward. `hold_s` is
    how long requests are held open on purpose, 0 = none is.
    """

    url: str
    api: str = ""
    model: str = ""
    metrics_url: str = ""
    active: bool = False
    golden: str = ""
    auth: HttpAuth = field(default_factory=HttpAuth)
    timeout_s: float = 30.0
    name: str = ""
    hold_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ReplicasPlan:
    """Ready pods to ask one by one through the API server's proxy. `total`: how many there are, asked or not."""

    kubernetes: KubernetesPlan
    subject: str
    namespace: str
    pods: tuple[str, ...]
    port: int
    scheme: str
    total: int


@dataclass(frozen=True, slots=True)
class ChaosPlan:
    """One pod to delete while requests go to `url`. Rate in requests/s; times in seconds. `owner_uid`: its controller.

    `before_s` is watched first, then the pod goes, and it ends `after_s` after the recovery or at `limit_s`.
    """

    kubernetes: KubernetesPlan
    subject: str
    namespace: str
    pod: str
    pod_uid: str
    owner_uid: str
    replicas: int
    ready: int
    url: str
    rate: float = 2.0
    before_s: float = 5.0
    after_s: float = 5.0
    limit_s: float = 120.0
    abrupt: bool = False
    auth: HttpAuth = field(default_factory=HttpAuth)


@dataclass(frozen=True, slots=True)
class GpuPlan:
    """Who is asked for the GPUs. `node` is the Kubernetes node that this host's NVML answers for."""

    mode: Literal["auto", "local", "dcgm", "pods", "off"] = "auto"
    node: str = ""
    dcgm_url: str = ""
    probe_image: str = ""


@dataclass(frozen=True, slots=True)
class PrometheusPlan:
    """Prometheus and Alertmanager, by URL, and the concepts' windows in seconds."""

    url: str = ""
    alertmanager_url: str = ""
    namespace: str = ""
    auth: HttpAuth = field(default_factory=HttpAuth)
    timeout_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What load may never exceed. None = the built-in bound."""

    rate: float | None = None
    concurrency: int | None = None
    tokens: int | None = None
    duration_s: float | None = None
    spend_usd: float | None = None


@dataclass(frozen=True, slots=True)
class StagePlan:
    """One stage of load: a closed loop (`concurrency`) or an open one (`rate` in requests/s)."""

    name: str
    concurrency: int | None = None
    rate: float | None = None
    arrival: Literal["constant", "poisson", "burst", "trace"] = "poisson"
    requests: int | None = None
    duration_s: float | None = None
    until_decided: bool = False
    input_tokens: str = ""
    output_tokens: str = ""
    # Requests that arrive at once in a burst; 0 = one second's worth.
    burst: int = 0
    # Send the same prompt every time, to measure what caches give.
    repeat_prompts: bool = False
    # Search for the knee instead of running once: the highest rate at which the objectives hold.
    search: bool = False
    # The rate as a multiple of the knee found before (of the sustained rate where none was).
    times_knee: float | None = None


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """The load to put on the endpoint: seeded, bounded, and asked for.

    `slo` maps an objective's name to its target in the unit of `slo.Objective` (ms for latencies, 1/s for rates).
    """

    url: str
    api: str
    model: str
    profile: str
    stages: tuple[StagePlan, ...]
    stream: bool | None = None
    warmup: int = 0
    timeout_s: float = 30.0
    input_tokens: str = "128"
    output_tokens: str = "64"
    seed: int = 0
    workers: int | Literal["auto"] = 1
    dataset: str = ""
    template: str = ""
    trace: str = ""
    slo: Mapping[str, float] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    auth: HttpAuth = field(default_factory=HttpAuth)
    records: str = ""
    stop_error_ratio: float = 0.5
    # Seconds; None = as `timeout_s`. `stall` counts from the last byte.
    timeout_headers_s: float | None = None
    timeout_stall_s: float | None = None
    connect_timeout_s: float = 10.0
    keep_alive: bool = True
    # What the service costs an hour, for limits.spend_usd.
    hourly_usd: float | None = None
    # The server's metrics page, read before and after every stage; "" = not read. The runtimes whose names it uses.
    metrics_url: str = ""
    runtimes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CollectPlan:
    """Everything one collection does; None = not asked for."""

    kubernetes: KubernetesPlan | None = None
    manifests: ManifestsPlan | None = None
    endpoint: EndpointPlan | None = None
    gpu: GpuPlan | None = None
    prometheus: PrometheusPlan | None = None
    load: LoadPlan | None = None
    replicas: ReplicasPlan | None = None
    chaos: ChaosPlan | None = None
