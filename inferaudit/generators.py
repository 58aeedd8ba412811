"""What the generated rules and dashboards share: a runtime's own metric names as PromQL, and the text they end up in.

Pure. What a runtime does not export is None here; the caller leaves it out and says so, for a rule over a metric that
nobody exports never fires and looks like safety.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from inferaudit.runtime_registry import MetricConcept, MetricName, Runtime, runtimes
from inferaudit.slo import Objective

DCGM = {
    "utilization": "DCGM_FI_DEV_GPU_UTIL",
    "memory_used": "DCGM_FI_DEV_FB_USED",
    "memory_free": "DCGM_FI_DEV_FB_FREE",
    "temperature": "DCGM_FI_DEV_GPU_TEMP",
    "power": "DCGM_FI_DEV_POWER_USAGE",
    "xid": "DCGM_FI_DEV_XID_ERRORS",
}
"""dcgm-exporter's default metrics (github.com/NVIDIA/dcgm-exporter, etc/default-counters.csv)."""
GPU = ("Hostname", "gpu", "UUID")
"""dcgm-exporter's labels of one GPU."""
ERROR_RATIO = 0.001
"""Errors per request that are alerted on, and the error budget, where the policy sets no objective."""
SECONDS: Mapping[str, float] = {"seconds": 1.0, "milliseconds": 1e-3, "microseconds": 1e-6}

_MODEL_LABELS = ("model_name", "model", "service_name", "deployment", "application")
_VERSION_LABELS = ("model_version", "version", "service_version")


@dataclass(frozen=True, slots=True)
class Service:
    """What the files are for.

    `names` are the metrics that the service's own page shows; None = not looked at, and the newest names are taken.
    `namespace` and `job` narrow every selector; `runbook` is an address without a fragment.
    """

    runtime: Runtime
    objectives: tuple[Objective, ...] = ()
    name: str = ""
    owner: str = ""
    namespace: str = ""
    job: str = ""
    runbook: str = ""
    names: frozenset[str] | None = None
    gpus: bool = True
    freshness_metric: str = ""


def metric(service: Service, concept: MetricConcept, *types: str) -> MetricName | None:
    """The runtime's metric of `concept`, of one of `types` where given.

    One that is on the page before the newest; never one that newer versions dropped, unless the page shows it.
    """
    known = [m for m in service.runtime.metrics.get(concept, []) if not types or m.type in types]
    if service.names is not None:
        for candidate in known:
            if {candidate.name, f"{candidate.name}_bucket", f"{candidate.name}_count"} & service.names:
                return candidate
    return next((m for m in known if not m.until), None)


def errors_metric(service: Service) -> MetricName | None:
    """The metric of failed requests.

    One that any web framework exports would speak of other services too, unless a namespace or a job narrows it.
    """
    first = metric(service, "errors", "counter")
    if first is None or service.namespace or service.job or service.runtime.name in ("custom", "openai-generic"):
        return first
    anyones = {
        m.name for e in runtimes().values() if e.generic or e.name == "custom" for m in e.metrics.get("errors", [])
    }
    own = (m for m in service.runtime.metrics.get("errors", []) if m.type == "counter" and m.name not in anyones)
    return next(own, first) if first.name in anyones else first


def labels_of(name: MetricName) -> list[str]:
    """Its labels; a wrapper's file may leave them to the engine's."""
    same = (m for entry in runtimes().values() for ms in entry.metrics.values() for m in ms if m.name == name.name)
    return name.labels or next((m.labels for m in same if m.labels), [])


def identity(*names: MetricName) -> tuple[str, ...]:
    """The labels that tell services, models and versions apart, and that all of `names` have.

    Where a runtime has none for the model or the version, ``model`` and ``version`` stand in: labels that relabelling
    puts on the target, and that change nothing where they are absent.
    """
    shared = set(labels_of(names[0])).intersection(*(labels_of(name) for name in names[1:]))
    models = [label for label in _MODEL_LABELS if label in shared] or ["model"]
    versions = [label for label in _VERSION_LABELS if label in shared] or ["version"]
    return ("namespace", "job", *models, *versions)


def by(labels: Iterable[str]) -> str:
    """``by (a, b)``."""
    return f"by ({', '.join(labels)})"


def promql_string(text: str) -> str:
    r"""`text` as a PromQL string. ``$`` becomes ``\x24``, so that Grafana does not take it for a variable."""
    quoted = "".join(
        f"\\{char}" if char in '"\\' else f"\\u{ord(char):04x}" if ord(char) < 0x20 or ord(char) == 0x7F else char
        for char in text.encode("utf-8", "replace").decode("utf-8")
    )
    return '"' + quoted.replace("$", "\\x24") + '"'


def selector(service: Service, name: str, select: Mapping[str, str] | None = None) -> str:
    """The series of `name` that are the service's; `select` narrows by patterns (``!`` in front negates)."""
    matchers = [f"namespace={promql_string(service.namespace)}"] if service.namespace else []
    matchers += [f"job={promql_string(service.job)}"] if service.job else []
    for key, value in (select or {}).items():
        negated = value.startswith("!")
        matchers.append(f"{key}{'!~' if negated else '=~'}{promql_string(value.removeprefix('!'))}")
    if name.startswith(":"):  # no plain selector of PromQL may begin with a colon
        matchers.insert(0, f"__name__={promql_string(name)}")
        name = ""
    return f"{name}{{{','.join(matchers)}}}" if matchers else name


def gpu_series(service: Service, name: str) -> str:
    """A metric of dcgm-exporter for the GPUs of the service's pods.

    Which label holds the pod's namespace depends on `honorLabels` of the exporter's monitor, hence both.
    """
    if not service.namespace:
        return name
    space = promql_string(service.namespace)
    return f"({name}{{exported_namespace={space}}} or {name}{{namespace={space}}})"


def rate(
    service: Service, name: MetricName, labels: Iterable[str], window: str, suffix: str = "", more: str = ""
) -> str:
    """Requests (or what `name` counts) per second over `window`; `more` follows the range, as ``offset 10m``."""
    series = selector(service, name.name + suffix, name.select)
    return f"sum {by(labels)} (rate({series}[{window}]{more}))"


def quantile(service: Service, name: MetricName, q: float, window: str = "5m") -> str:
    """The quantile `q` of a histogram, in the histogram's own unit."""
    series = selector(service, f"{name.name}_bucket", name.select)
    inner = f"sum {by(('le', *identity(name)))} (rate({series}[{window}]))"
    return f"histogram_quantile({q:g}, {inner})"


def mean(service: Service, name: MetricName, window: str = "5m") -> str:
    """The mean, in the unit of `name`: of a histogram or summary, or of a cumulative counter over its requests.

    Empty where the runtime does not count the requests.
    """
    if name.type in ("histogram", "summary"):
        labels = identity(name)
        above, below = rate(service, name, labels, window, "_sum"), rate(service, name, labels, window, "_count")
    else:
        requests = metric(service, "requests", "counter")
        if requests is None:
            return ""
        labels = identity(name, requests)
        above, below = rate(service, name, labels, window), rate(service, requests, labels, window)
    return f"{above}\n/\n{below}"


def error_ratio(service: Service, window: str) -> str:
    """Failed requests over all requests, by model and version; empty where the runtime does not count them.

    A side that has no series yet (a counter appears with its first event) counts as none of these requests.
    """
    errors, requests = errors_metric(service), metric(service, "requests", "counter")
    if errors is None:
        return ""
    if errors.select:  # the errors are a part of this very metric, whatever else counts requests
        labels = identity(errors)
        whole = MetricName(name=errors.name, type=errors.type, labels=errors.labels)
        return f"{rate(service, errors, labels, window)}\n/\n{rate(service, whole, labels, window)}"
    if requests is None:
        return ""
    labels = identity(errors, requests)
    bad, all_ = rate(service, errors, labels, window), rate(service, requests, labels, window)
    if not requests.counts_errors:
        all_ = f"(({all_} or {bad} * 0) + {bad})"
    return f"{bad}\n/\n{all_}"


def who(name: MetricName) -> str:
    """The job, the model and the version, as far as they are known, as a Go template of the labels."""
    _, _, *labels = identity(name)
    return "{{ $labels.job }}" + "".join(f"{{{{ with $labels.{label} }}}} {{{{ . }}}}{{{{ end }}}}" for label in labels)
