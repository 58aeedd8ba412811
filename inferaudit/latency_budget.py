"""Where the time of a request goes, from DNS to the last byte, by joining our stamps with the server's own. Pure.

Means add up and percentiles do not: the sum of the parts' means is compared with the mean of the whole. A part that
nobody measured is None with its reason, never 0. Times here are milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from inferaudit.facts.load import LoadResult, LoadStage, ServerReading, ServerWindow
from inferaudit.latency import NS_PER_MS, summarise
from inferaudit.records import ABSENT, RecordTable
from inferaudit.server_window import bucket_percentile

ADVICE: Mapping[str, str] = {
    "dns": "cache the name or use a shorter search path",
    "tcp": "keep connections open",
    "tls": "keep connections open, and resume TLS sessions",
    "client": "use more workers: the load client itself took this time",
    "network": "fewer hops and proxies, a region nearer to the callers, and no proxy that collects before it forwards",
    "queue": "add replicas, raise the batch size where GPU memory allows, or admit less",
    "preprocess": "more tokeniser threads or processes, shorter inputs, or do this work before the service",
    "prefill": "shorten prompts, cache prefixes, or chunk prefill",
    "decode": "shorten answers, quantise, lower the batch, or take a faster GPU",
    "inference": "a faster GPU, a compiled or quantised model, or a better batch size",
    "postprocess": "look at detokenising, copying and encoding the answer after the model is done",
    "network_out": "make answers smaller; look at proxies and at clients that read slowly",
    "unexplained": "let the server export its stages, or look at what lies between the client and its histograms",
}
PATH = frozenset(("dns", "tcp", "tls", "client", "network", "network_out"))
"""The parts that are the way to the model, not the model."""

_NO_PAGE = "the server's metrics page was not read: --metrics-url"
_MIX = 0.02  # a server whose count differs by more has others' requests in its times, or lacks some of ours


@dataclass(frozen=True, slots=True)
class Part:
    """One part. `per_request_ms` is its share of a mean request: what adds up. `source` says who measured it and how.

    `mean_ms` is of one occurrence (a connection is opened once and used often); `count` of how many.
    """

    part: str
    per_request_ms: float | None
    mean_ms: float | None
    p50_ms: float | None
    p99_ms: float | None
    count: int
    source: str
    reason: str = ""


def budget_section(result: LoadResult, records: RecordTable, stage: LoadStage | None) -> dict[str, Any] | None:
    """The report's ``benchmark.latency_budget``; None where no request of a stage that stands for the whole succeeded.

    {parts[], whole_ms, sum_ms, unexplained_ms, largest, advice, server: reason or null}.
    """
    rows = () if stage is None or stage.name not in records.stages else records.answered_rows(stage.name)
    if stage is None or not rows:
        return None
    columns = records.columns
    closed = stage.concurrency is not None
    base = columns["sent_ns"] if closed else columns["scheduled_ns"]
    whole = _mean([columns["end_ns"][i] - base[i] for i in rows])
    assert whole is not None  # noqa: S101  # there are rows
    server = Server(stage.server, len(rows))
    parts = [*_connections(result, columns, rows, closed=closed), *_server_parts(result, columns, rows, server)]
    # E2E counts from sending in a closed loop: what is before it is shown, and lies outside. Names resolve before all.
    outside = ("dns", "tcp", "tls", "client") if closed else ("dns",)
    total = sum(p.per_request_ms or 0.0 for p in parts if p.part not in outside)
    unexplained = whole - total
    ours = ("client",) if closed else ()
    known = [(p.per_request_ms, p.part) for p in parts if p.per_request_ms is not None and p.part not in ours]
    largest = max([*known, (unexplained, "unexplained")])[1]
    return {
        "parts": [asdict(part) for part in parts],
        "whole_ms": whole,
        "sum_ms": total,
        "unexplained_ms": unexplained,
        "largest": largest,
        "advice": ADVICE[largest],
        "server": server.reason or None,
    }


class Server:
    """What the server says of a stage, in mean milliseconds a request; a class because each part asks for it anew."""

    def __init__(self, window: ServerWindow | None, answered: int) -> None:
        self.readings = {r.concept: r for r in window.readings} if window else {}
        self.requests = self._counted()
        self.answered = answered
        self.reason = _NO_PAGE if window is None else window.reason or self._mixed()

    def reading(self, concept: str) -> ServerReading | None:
        """The reading of a concept that counts requests, unless the whole page is of no use here."""
        found = None if self.reason else self.readings.get(concept)
        if found is None or found.total is None or (found.count is not None and not self._alike(found.count)):
            return None
        return found

    def mean_ms(self, concept: str) -> float | None:
        """Mean over the requests; None where the concept is not exported or counts something else."""
        found = self.reading(concept)
        if found is None or found.total is None or found.unit != "seconds":
            return None
        count = found.count if found.count is not None else self.requests or self.answered
        return found.total * 1000 / count if count else None

    def percentiles(self, concept: str) -> tuple[float | None, float | None]:
        """P50 and P99 as the upper bound of their bucket; None in the first and the last, which tell nothing."""
        found = self.reading(concept)
        bounds = [bucket_percentile(found, p) if found else None for p in (50, 99)]
        p50, p99 = (b[1] * 1000 if b and b[0] > 0 and b[1] is not None else None for b in bounds)
        return p50, p99

    def _counted(self) -> float | None:
        """Requests by the server's own count."""
        for concept in ("requests", "request_duration"):
            found = self.readings.get(concept)
            if found is not None:
                counted = found.count if found.count is not None else found.total if concept == "requests" else None
                if counted is not None:
                    return counted
        return None

    def _mixed(self) -> str:
        if not self.readings:
            return "the server's metrics page has no metric that tells its times"
        if self.requests is not None and not self._alike(self.requests, self.answered):
            return (
                f"the server counted {self.requests:.0f} requests while {self.answered} of ours were answered: "
                "its times are not of our requests alone"
            )
        return ""

    def _alike(self, count: float, of: float | None = None) -> bool:
        wanted = of if of is not None else self.requests or self.answered
        return abs(count - wanted) <= max(1.0, _MIX * wanted)


def _connections(
    result: LoadResult, columns: Mapping[str, Sequence[int]], rows: Sequence[int], *, closed: bool
) -> list[Part]:
    opened = {i: columns["connect_ns"][i] for i in rows if columns["connect_ns"][i] != ABSENT}
    lags = [max(0, columns["sent_ns"][i] - columns["scheduled_ns"][i] - opened.get(i, 0)) for i in rows]
    # The handshake is stamped together with the connection; what TCP alone costs, plain HTTP shows.
    both = "in one stamp with tls" if result.tls else ""
    connects, due = list(opened.values()), "client: free to sent" if closed else "client: due to sent"
    return [
        _measured("dns", [] if result.dns_ns is None else [result.dns_ns], len(rows), "client, once before the load"),
        _measured("tcp", [] if result.tls else connects, len(rows), "client", both or "no connection was opened"),
        _measured(
            *("tls", connects if result.tls else [], len(rows), "client, with the TCP handshake"),
            "no connection was opened" if result.tls else "plain http",
        ),
        _measured("client", lags, len(rows), due),
    ]


def _server_parts(
    result: LoadResult, columns: Mapping[str, Sequence[int]], rows: Sequence[int], server: Server
) -> list[Part]:
    """Network, queue, preprocessing, prefill and decode or inference, postprocessing, and the way back."""
    ends, sent = columns["end_ns"], columns["sent_ns"]
    streamed = [i for i in rows if result.stream and columns["first_token_ns"][i] != ABSENT]
    ours_whole = _mean([ends[i] - sent[i] for i in rows])
    ours_first = _mean([columns["first_token_ns"][i] - sent[i] for i in streamed])
    whole, first = server.mean_ms("request_duration"), server.mean_ms("ttft")
    if server.readings.get("request_duration") is not None and _same(server, "request_duration", "inference_time"):
        whole = None  # a runtime that times its model alone does not say what the whole took
    queue, pre, prefill = (server.mean_ms(c) for c in ("queue_time", "preprocess_time", "prefill_time"))
    decode, inference, post = (server.mean_ms(c) for c in ("decode_time", "inference_time", "postprocess_time"))
    told: tuple[float | None, ...]
    parts = [
        _network(whole, first, ours_whole, ours_first, server),
        _stated("queue", queue, server, "queue_time"),
    ]
    if pre is not None:
        parts.append(_stated("preprocess", pre, server, "preprocess_time"))
    else:
        parts.append(_derived("preprocess", "TTFT − queue − prefill", server, first, queue, prefill))
    if prefill is not None or decode is not None or first is not None:
        parts += _generation(whole, first, queue, prefill, decode, pre, server)
        told = queue, pre if pre is not None else _difference(first, queue, prefill), prefill, decode
    else:
        why = "the server does not tell prefill and decode apart"
        parts += [_unknown("prefill", server, why), _unknown("decode", server, why)]
        parts.append(_stated("inference", inference, server, "inference_time"))
        told = queue, pre, inference
    if post is not None:
        parts.append(_stated("postprocess", post, server, "postprocess_time"))
    else:
        parts.append(_derived("postprocess", "whole − all parts before", server, whole, *told))
    parts.append(_way_back(columns, rows, streamed, whole, first))
    return parts


def _network(
    whole: float | None, first: float | None, ours_whole: float | None, ours_first: float | None, server: Server
) -> Part:
    """Both ways and every proxy in between, up to the first token where there is one."""
    if first is not None and ours_first is not None:
        return _derived(
            "network", "our TTFT − the server's, with proxies and what is before its clock", server, ours_first, first
        )
    return _derived(
        "network",
        "our E2E − the server's, both ways, with proxies and what is outside its clock",
        server,
        ours_whole,
        whole,
    )


def _generation(
    whole: float | None,
    first: float | None,
    queue: float | None,
    prefill: float | None,
    decode: float | None,
    pre: float | None,
    server: Server,
) -> list[Part]:
    if prefill is not None:
        parts = [_stated("prefill", prefill, server, "prefill_time")]
    else:
        spare = (queue,) if pre is None else (queue, pre)
        parts = [_derived("prefill", "TTFT − queue, tokenising included", server, first, *spare)]
    if decode is not None:
        return [*parts, _stated("decode", decode, server, "decode_time")]
    return [*parts, _derived("decode", "whole − TTFT, both of the server", server, whole, first)]


def _way_back(
    columns: Mapping[str, Sequence[int]],
    rows: Sequence[int],
    streamed: Sequence[int],
    whole: float | None,
    first: float | None,
) -> Part:
    """Streams: how much longer the tail took to us than at the server. Else: first byte to last byte of the answer."""
    if streamed:
        tail = _mean([columns["end_ns"][i] - columns["first_token_ns"][i] for i in streamed])
        if whole is None or first is None or tail is None:
            return Part("network_out", None, None, None, None, 0, "", "the server's own E2E and TTFT are not known")
        extra = tail - (whole - first)
        if extra < 0:
            why = f"our stream was {-extra:.3g} ms shorter than the server's own"
            return Part("network_out", None, None, None, None, 0, "", why)
        return Part("network_out", extra, extra, None, None, len(streamed), "derived: our stream − the server's")
    bodies = [i for i in rows if columns["first_byte_ns"][i] != ABSENT]
    if whole is not None:
        return Part("network_out", None, None, None, None, 0, "", "held by network: our E2E − the server's")
    values = [columns["end_ns"][i] - columns["first_byte_ns"][i] for i in bodies]
    return _measured("network_out", values, len(rows), "client: first byte to last byte")


def _measured(part: str, values: Iterable[int], requests: int, source: str, reason: str = "not measured") -> Part:
    summary = summarise(values).in_ms()
    if not summary["count"]:
        return Part(part, None, None, None, None, 0, "", reason)
    mean = summary["mean"]
    return Part(
        part, mean * summary["count"] / requests, mean, summary["p50"], summary["p99"], summary["count"], source
    )


def _stated(part: str, mean: float | None, server: Server, concept: str) -> Part:
    found = server.reading(concept)
    if mean is None or found is None:
        return _unknown(part, server, "the server does not export it a request")
    p50, p99 = server.percentiles(concept)
    counted = found.count if found.count is not None else server.requests or server.answered
    return Part(part, mean, mean, p50, p99, round(counted), f"server: {found.metric}")


def _derived(part: str, formula: str, server: Server, whole: float | None, *less: float | None) -> Part:
    """`whole` less the others; None where one of them is, or where the result is below zero by more than noise."""
    value = _difference(whole, *less)
    if value is None:
        return _unknown(part, server, f"the server does not export it, nor all of: {formula}")
    if value < 0:
        slack = max(0.05, 0.02 * (whole or 0.0))
        if value < -slack:
            return _unknown(
                part, server, f"{formula} is {value:.3g} ms: the clocks or the counts do not belong together"
            )
        value = 0.0
    return Part(part, value, value, None, None, server.answered, f"derived: {formula}")


def _difference(whole: float | None, *less: float | None) -> float | None:
    values = [value for value in less if value is not None]
    return None if whole is None or len(values) < len(less) else whole - sum(values)


def _unknown(part: str, server: Server, why: str) -> Part:
    return Part(part, None, None, None, None, 0, "", server.reason or why)


def _same(server: Server, one: str, other: str) -> bool:
    first, second = server.readings.get(one), server.readings.get(other)
    return first is not None and second is not None and first.metric == second.metric


def _mean(values: Sequence[int]) -> float | None:
    return sum(values) / len(values) / NS_PER_MS if values else None
