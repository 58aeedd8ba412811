"""GPUs through a DCGM exporter: its metrics page, scraped once, into the facts that NVML gives.

Any page in Prometheus' text format will do, so that one of Prometheus itself does as well:
``--dcgm 'http://prometheus:9090/federate?match[]={__name__=~"DCGM_.*|gpu_operator_.*"}'``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from urllib.parse import urlsplit

import msgspec

from inferaudit.collect.gpu_page import gpus_on, is_dcgm, operator_nodes, same_node, xid_watch
from inferaudit.collect.http_client import Http, Scrubber
from inferaudit.errors import CollectError, UsageError
from inferaudit.exposition import MetricFamily, parse_exposition
from inferaudit.facts.gpu import Gpu, NvmlDriver
from inferaudit.model import Fact, FactError, FactErrorKind
from inferaudit.plan import GpuPlan, HttpAuth
from inferaudit.tls import tls_context

FACT_NAMES = ("nvml.gpus", "nvml.driver", "nvml.xid_events", "gpu.operator")
_TIMEOUT_S = 15.0
_EXPORTER_REMEDY = "--dcgm http://NODE:9400/metrics of a dcgm-exporter"


def collect_dcgm(plan: GpuPlan, progress: Callable[[str], None] | None = None) -> dict[str, Fact]:
    """Facts ``nvml.*`` and ``gpu.operator`` from the exporter at `plan.dcgm_url`. :class:`UsageError` for a bad URL."""
    url = _page_url(plan.dcgm_url)
    source = f"DCGM exporter {_origin(url)}"
    if progress is not None:
        progress(f"reading GPUs from {_origin(url)}")
    try:
        families = _families(url, source)
        gpus = _of_node(gpus_on(families, urlsplit(url).hostname or "exporter"), plan.node, source)
    except _PageError as error:
        return {name: Fact(error=error.error) for name in FACT_NAMES}
    return {
        "nvml.gpus": Fact(gpus),
        "nvml.driver": _driver(gpus, plan.node, source),
        "nvml.xid_events": _xids(families, gpus, source),
        "gpu.operator": _operator(families, {gpu.node for gpu in gpus} if plan.node else (), source),
    }


class _PageError(CollectError):
    """No GPUs came from the page; `error` becomes the facts'."""

    def __init__(self, error: FactError) -> None:
        super().__init__(error.reason)
        self.error = error


def _page_url(url: str) -> str:
    if not url:
        raise UsageError("--gpus dcgm needs the exporter: give --dcgm http://NODE:9400/metrics")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise UsageError(f"--dcgm {url!r} is no URL: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"--dcgm takes http://HOST:PORT[/PATH], not {url!r}")
    if parts.username or parts.password:
        raise UsageError("--dcgm may hold no credentials")
    return url if parts.path.strip("/") else parts._replace(path="/metrics").geturl()


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _families(url: str, source: str) -> list[MetricFamily]:
    scrub = Scrubber(())

    def refuse(reason: str, kind: FactErrorKind = FactErrorKind.FAILED, remedy: str = _EXPORTER_REMEDY) -> _PageError:
        return _PageError(FactError(kind, f"{source}: {reason}", source, remedy=remedy))

    with Http(_origin(url), {}, tls_context(HttpAuth()), _TIMEOUT_S) as http:
        reply = http.get(url)
    if reply.status in (401, 403):
        raise refuse(f"the page wants credentials (status {reply.status})", FactErrorKind.DENIED)
    if reply.error is not None or reply.status != 200:
        raise refuse(f"no page: {reply.error or f'status {reply.status}'} {scrub(reply.detail)}".strip())
    try:
        families = parse_exposition(reply.text, reply.headers.get("content-type", ""))
    except CollectError as error:
        raise refuse(scrub(str(error))) from error
    if not any(
        sample.name.startswith("DCGM_") or is_dcgm(sample.name) for family in families for sample in family.samples
    ):
        held = f"{len(families)} metrics, none of them DCGM's" if families else "the page is empty"
        raise refuse(f"{held}; is the device's exporter up, and does it see a GPU?")
    return families


def _of_node(gpus: list[Gpu], node: str, source: str) -> list[Gpu]:
    """The GPUs of the node that ``--gpus-node`` names, or all. An exporter that names itself takes the name given."""
    nodes = sorted({gpu.node for gpu in gpus})
    if not gpus:
        reason = f"{source}: its DCGM metrics name no GPU"
        raise _PageError(FactError(FactErrorKind.FAILED, reason, source, remedy=_EXPORTER_REMEDY))
    if not node:
        return gpus
    own = [gpu for gpu in gpus if same_node(gpu.node, node)]
    if not own and len(nodes) == 1 and ("dcgm" in nodes[0] or nodes[0] == urlsplit(source.split()[-1]).hostname):
        own = gpus  # without NODE_NAME an exporter gives the name of its own pod
    if not own:
        reason = f"{source} shows GPUs of {', '.join(nodes[:5])} and none of {node}"
        raise _PageError(FactError(FactErrorKind.NO_TARGET, reason, source, remedy="--gpus-node NAME"))
    return [msgspec.structs.replace(gpu, node=node) for gpu in own]


def _driver(gpus: list[Gpu], node: str, source: str) -> Fact:
    nodes = sorted({gpu.node for gpu in gpus})
    if len(nodes) > 1:
        reason = f"{source} shows {len(nodes)} nodes: their drivers are told with their GPUs"
        return Fact(error=FactError(FactErrorKind.OUT_OF_VIEW, reason, source))
    first = gpus[0]
    reasons = {name: first.why_unknown(name) for name in ("driver_version", "cuda_version") if not getattr(first, name)}
    return Fact(
        NvmlDriver(
            host=nodes[0],
            node=node,
            driver_version=first.driver_version,
            cuda_version=first.cuda_version,
            gpu_count=len(gpus),
            reasons={**reasons, "nvml_version": "a DCGM exporter does not export it"},
        )
    )


def _xids(families: list[MetricFamily], gpus: list[Gpu], source: str) -> Fact:
    watch = xid_watch(families, gpus)
    if watch is not None:
        return Fact(watch)
    reason = "the exporter counts no XIDs: its gauge holds the last one for ever, or is absent until there is one"
    remedy = "add DCGM_EXP_XID_ERRORS_COUNT to the exporter's counters file"
    return Fact(error=FactError(FactErrorKind.OUT_OF_VIEW, reason, source, remedy=remedy))


def _operator(families: list[MetricFamily], nodes: Collection[str], source: str) -> Fact:
    found = operator_nodes(families)
    if nodes:
        found = [each for each in found if any(same_node(each.node, node) for node in nodes)]
    if found:
        return Fact(found)
    reason = "the page holds no metrics of the GPU operator's validator (gpu_operator_node_*)"
    return Fact(error=FactError(FactErrorKind.NOT_ASKED, reason, source, remedy="--dcgm URL of a page with both"))
