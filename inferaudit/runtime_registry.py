"""What is known about each serving runtime: one YAML file a runtime in ``runtimes/``, validated when it is loaded.

The files are data: how to recognise a runtime over HTTP or by its container, what each health route proves, which APIs
it speaks, what its metrics and settings are called in each version. A new runtime is one new file.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any, Literal

import msgspec

from inferaudit.decoding import converted
from inferaudit.errors import ResourceError

Api = Literal[
    "openai-chat",
    "openai-completions",
    "openai-embeddings",
    "oip-v2",
    "oip-v2-binary",
    "oip-v2-grpc",
    "tf-serving-grpc",
    "tgi",
    "tei",
    "tf-serving",
    "torchserve",
    "ollama",
    "llama.cpp",
    "custom",
]
MetricConcept = Literal[
    "requests",
    "errors",
    "request_duration",
    "ttft",
    "itl",
    "tpot",
    "queue_time",
    "waiting",
    "running",
    "prefill_time",
    "decode_time",
    "preprocess_time",
    "inference_time",
    "postprocess_time",
    "batch_size",
    "prompt_tokens",
    "generated_tokens",
    "kv_cache_usage",
    "prefix_cache_hits",
    "prefix_cache_queries",
    "gpu_memory",
    "gpu_utilization",
    "model_load_time",
    "preemptions",
    "rejections",
]
SettingConcept = Literal[
    "model",
    "served_model_name",
    "revision",
    "precision",
    "quantization",
    "kv_cache_precision",
    "batch_size",
    "token_budget",
    "batch_wait",
    "queue_limit",
    "request_timeout",
    "max_model_len",
    "gpu_memory_fraction",
    "tensor_parallel",
    "pipeline_parallel",
    "prefix_cache",
    "warmup",
    "auth",
    "tls",
    "metrics",
    "drain",
    "log_prompts",
    "listen_address",
    "trust_remote_code",
]


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of a runtime's file; a misspelt key does not load."""


class HttpSignal(_Strict, frozen=True):
    """One sign of a runtime in the answer to ``GET <get>`` (``*`` = in any answer).

    All given conditions must hold: `status`, `json` (a dotted path, ``*`` steps into lists) alone or with `equals` or
    `matches`, `text` (a pattern in the body), `header` with `matches`. `weight` is how sure it alone makes us, 0 to 1.
    """

    get: str
    weight: float
    says: str
    json: str = ""
    equals: str | None = None
    matches: str = ""
    text: str = ""
    header: str = ""
    status: int | None = None


class VersionSource(_Strict, frozen=True):
    """Where a runtime states its version: the JSON path, or the first group of `pattern` in the body or `header`."""

    get: str
    json: str = ""
    pattern: str = ""
    header: str = ""


class Recognise(_Strict, frozen=True):
    """How a runtime is recognised. `images` and `commands` are patterns; `wraps` names the engines it may hide."""

    http: list[HttpSignal] = msgspec.field(default_factory=list)
    version: list[VersionSource] = msgspec.field(default_factory=list)
    images: list[str] = msgspec.field(default_factory=list)
    commands: list[str] = msgspec.field(default_factory=list)
    env: list[str] = msgspec.field(default_factory=list)
    wraps: list[str] = msgspec.field(default_factory=list)


class HealthRoute(_Strict, frozen=True):
    """A health route and what its answer means.

    `proves` is what a ready answer says: the ``process`` is up, the ``proxy`` in front is up, the ``model`` is loaded,
    or ``nothing``. `loading` and `failed` are what it answers while the model loads or after it failed: a status code,
    ``refused``, ``hang`` or a text in the body. `body` must be found in the body for the answer to count.
    ``{model}`` in the route is the model's name. `probe` False: the route costs a generation and is never asked.
    """

    route: str
    role: Literal["startup", "live", "ready"]
    proves: Literal["process", "proxy", "model", "nothing"]
    ready: list[int] = msgspec.field(default_factory=lambda: [200])
    loading: list[str] = msgspec.field(default_factory=list)
    failed: list[str] = msgspec.field(default_factory=list)
    body: str = ""
    port: int | None = None
    probe: bool = True
    note: str = ""


class MetricName(_Strict, frozen=True):
    """A metric as it stands on the wire. `unit` is that of its values; `labels` those that matter; newest names first.

    `select` narrows by labels (patterns; ``!`` in front negates). `counts_errors` False: failures are counted apart.
    """

    name: str
    type: Literal["counter", "gauge", "histogram", "summary"]
    unit: str = ""
    labels: list[str] = msgspec.field(default_factory=list)
    select: dict[str, str] = msgspec.field(default_factory=dict)
    counts_errors: bool = True
    since: str = ""
    until: str = ""
    note: str = ""


class Setting(_Strict, frozen=True):
    """How a concern is set: command-line flags (``off_flags`` switch it off), environment names, configuration keys."""

    flags: list[str] = msgspec.field(default_factory=list)
    off_flags: list[str] = msgspec.field(default_factory=list)
    env: list[str] = msgspec.field(default_factory=list)
    config: list[str] = msgspec.field(default_factory=list)
    default: str = ""
    unit: str = ""
    note: str = ""


class LifeCycle(_Strict, frozen=True):
    """Is the project alive? `as_of` is an ISO date."""

    status: Literal["maintained", "maintenance", "archived", "not_applicable"]
    source: str
    as_of: str
    note: str = ""


class Fit(_Strict, frozen=True):
    """What a runtime suits, and where it does not fit the load."""

    suits: str
    unfit: str = ""
    production: bool = True


class StreamShape(_Strict, frozen=True):
    """How its streams end, and when usage is stated."""

    framing: Literal["sse", "ndjson", "chunks", "none"]
    end: Literal["done_marker", "eof", "done_field"] = "eof"
    usage: Literal["on_request", "always", "never", "last_event"] = "never"
    note: str = ""


class Overload(_Strict, frozen=True):
    """What it does when it is full. `bounded` False: its queue grows without limit unless told otherwise."""

    status: list[int] = msgspec.field(default_factory=list)
    bounded: bool = False
    note: str = ""


class GrpcHealth(_Strict, frozen=True):
    """The standard health service of gRPC (``grpc.health.v1``), which a Kubernetes ``grpc`` probe asks.

    `served`: always, with `flag`, or never (then a grpc probe never succeeds). `proves` as for a health route.
    """

    served: Literal["always", "flag", "never"]
    flag: str = ""
    proves: Literal["process", "proxy", "model", "nothing"] = "nothing"
    note: str = ""


class AdminRoute(_Strict, frozen=True):
    """A route that changes the server or shows what only its operators may see, and what it does.

    A ``post`` is asked with an empty object, which changes nothing, and only with ``--active``. `port` where it is
    another one than the API's.
    """

    route: str
    says: str
    method: Literal["get", "post"] = "post"
    port: int | None = None


class Runtime(_Strict, frozen=True):
    """One runtime's file. `generic` entries carry knowledge of an API and are never recognised as a product.

    `inference_routes` all run the model: each must want credentials. `metrics_delay_s` is how long the metrics page may
    lag behind what was served. `lists` is what the list of models holds: those served, or those downloaded.
    `other_metrics` are exported too and of no concern here: a rule may read them.
    """

    title: str
    kind: Literal["llm", "embeddings", "general", "custom"]
    evidence: Literal["recorded", "documented"]
    versions: list[str]
    life_cycle: LifeCycle
    fit: Fit
    name: str = ""
    generic: bool = False
    batching: Literal["continuous", "dynamic", "static", "none", "unknown"] = "unknown"
    ports: dict[str, int] = msgspec.field(default_factory=dict)
    metrics_path: str = "/metrics"
    metrics_default: Literal["on", "off", "none", "unknown"] = "unknown"
    metrics_delay_s: float = 0.0
    api_prefix: str = ""
    lists: Literal["served", "downloaded"] = "served"
    recognise: Recognise = msgspec.field(default_factory=Recognise)
    health: list[HealthRoute] = msgspec.field(default_factory=list)
    grpc_health: GrpcHealth | None = None
    grpc_port: Setting | None = None
    apis: list[Api] = msgspec.field(default_factory=list)
    stream: StreamShape = msgspec.field(default_factory=lambda: StreamShape(framing="none"))
    overload: Overload = msgspec.field(default_factory=Overload)
    admin: list[AdminRoute] = msgspec.field(default_factory=list)
    inference_routes: list[str] = msgspec.field(default_factory=list)
    metrics: dict[MetricConcept, list[MetricName]] = msgspec.field(default_factory=dict)
    other_metrics: list[str] = msgspec.field(default_factory=list)
    settings: dict[SettingConcept, Setting] = msgspec.field(default_factory=dict)
    notes: list[str] = msgspec.field(default_factory=list)


def decode_runtime(name: str, document: Any) -> Runtime:
    """A validated :class:`Runtime` from a parsed YAML document; :class:`ResourceError` names file and field."""
    try:
        runtime = converted(document, Runtime)
    except msgspec.ValidationError as error:
        raise ResourceError(f"runtimes/{name}.yaml: {error}") from error
    recognise = runtime.recognise
    patterns = [*recognise.images, *recognise.commands, *recognise.env]
    patterns += [p for s in recognise.http for p in (s.matches, s.text) if p] + [v.pattern for v in recognise.version]
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ResourceError(f"runtimes/{name}.yaml: the pattern {pattern!r} does not compile: {error}") from error
    for signal in recognise.http:
        if not 0 < signal.weight <= 1:
            raise ResourceError(f"runtimes/{name}.yaml: the weight of {signal.get} is {signal.weight}, not 0 to 1")
        if not (signal.json or signal.text or signal.header or signal.status is not None):
            raise ResourceError(f"runtimes/{name}.yaml: the signal {signal.get} has no condition")
    return msgspec.structs.replace(runtime, name=name)


@cache
def runtimes() -> dict[str, Runtime]:
    """All runtimes by name, in the order of their files' names."""
    import yaml

    folder = Path(__file__).resolve().parent / "runtimes"
    found = {}
    for file in sorted(folder.glob("*.yaml")):
        try:
            document = yaml.load(file.read_text("utf-8"), Loader=_loader(yaml))  # noqa: S506  # a safe loader either way
        except yaml.YAMLError as error:
            raise ResourceError(f"runtimes/{file.name}: {error}") from error
        found[file.stem] = decode_runtime(file.stem, document)
    if not found:
        raise ResourceError("this installation of inferaudit has no runtimes/ folder; reinstall it")
    for runtime in found.values():
        for engine in runtime.recognise.wraps:
            if engine not in found:
                raise ResourceError(f"runtimes/{runtime.name}.yaml: wraps {engine}, which has no file")
    return found


def runtime(name: str) -> Runtime:
    """The runtime `name`; KeyError for one that has no file."""
    return runtimes()[name]


def _loader(yaml: Any) -> Any:
    """libyaml's safe loader where it is there, ten times as fast; dates stay text."""
    base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    resolvers = {
        key: [(tag, pattern) for tag, pattern in pairs if tag != "tag:yaml.org,2002:timestamp"]
        for key, pairs in base.yaml_implicit_resolvers.items()
    }
    return type("Loader", (base,), {"yaml_implicit_resolvers": resolvers})
