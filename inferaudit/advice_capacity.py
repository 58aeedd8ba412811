"""Advice on what a start takes and on how small the model could be. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from inferaudit.advice_basis import Advice, Case, Figure, unknown
from inferaudit.capacity import Capacity, plan_capacity
from inferaudit.gpu_table import GpuSpec, find_gpu
from inferaudit.model_names import shape_from_name
from inferaudit.model_shapes import ModelShape
from inferaudit.pod_state import measured_start_s
from inferaudit.probe_timing import startup_budget
from inferaudit.scaling import scalers_of

# What a rollback may take (production checklist, before.rollback): a start within it needs no remedy.
ACCEPTABLE_START_S = 60.0
CONTEXT = 4096

# The default limits for what a format may cost in quality against FP16 (operations checklist).
FORMATS: Mapping[str, str] = {"fp8": "measured on the golden set", "int8": "at most 1 %", "awq-4bit": "at most 3 %"}
_PULLED = re.compile(r"Successfully pulled image .*? in ((?:[0-9.]+(?:h|ms|m|s))+)")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_QUANTISED = re.compile(r"awq|gptq|fp8|int8|int4|4bit|8bit|w4a16|w8a8|gguf|q[2-8]_", re.IGNORECASE)


def cold_start(case: Case) -> Advice:
    """How long does a new replica take, what of it is the pull, and who waits meanwhile?"""
    id, title = "cold-start", "What is the remedy for cold starts?"
    start = _start_s(case)
    pull = pulled_s(case.fact("workload.events") or ())
    if start is None:
        why = "no start of a pod was seen"
        seen = [Figure("image pull", pull, "s", "workload.events")] if pull is not None else []
        return unknown(id, title, why, "pods that became ready once (--context)", seen)
    total = start + (pull or 0.0)
    basis = [Figure("container start to ready", start, "s", "workload.pods"),
             Figure("acceptable", ACCEPTABLE_START_S, "s", "before.rollback")]  # fmt: skip
    if pull is not None:
        basis.append(Figure("image pull", pull, "s", "workload.events"))
    scalers = scalers_of(case.fact("service.autoscalers") or ())
    basis += [Figure("replicas at least", s.minimum, None, s.subject) for s in scalers[:1]]
    rate = case.benchmark.get("request_rate")
    waiting = ""
    if rate:
        basis.append(Figure("request rate", rate, "1/s", "benchmark.request_rate"))
        waiting = f" At the measured rate {rate * total:,.0f} requests come in that time."
    first, steady = case.benchmark.get("first_request_ms"), case.percentile("latency_ms", "p99")
    if first is not None and steady:
        basis.append(Figure("first request ÷ steady P99", first / steady, None, "benchmark.first_request_ms"))
    said = f"A replica is ready {total:,.0f} s after it was asked for.{waiting}"
    if total <= ACCEPTABLE_START_S:
        return Advice(id, title, "keep", said, tuple(basis))
    if pull is not None and pull > start:
        remedy = (
            f"The pull is {pull / total:.0%} of it: keep image and weights on the node (a DaemonSet that pulls ahead)."
        )
    else:
        share = f"{start / total:.0%} of it: " if pull is not None else ""
        remedy = f"Loading is {share}weights on the node's own disk, and a warm replica." if share else (
            "What the pull adds was not seen; weights on the node's own disk, and a warm replica."
        )  # fmt: skip
    if any(s.minimum == 0 for s in scalers):
        remedy += (
            " It scales to zero: the first to come waits all of it, so keep one replica, or scale ahead of the load."
        )
    return Advice(id, title, "change", f"{said} {remedy}", tuple(basis))


def _start_s(case: Case) -> float | None:
    found = []
    for container, _ in case.engines():
        budget = startup_budget(container)
        start = measured_start_s(case.fact("workload.pods") or (), container["name"], budget[1] if budget else None)
        if start:
            found.append(start[0])
    return max(found, default=None)


def pulled_s(events: Iterable[Mapping[str, Any]]) -> float | None:
    """The slowest image pull that the kubelet reported, in seconds; None when it reported none."""
    found = []
    for event in events:
        if hit := _PULLED.search(str(event.get("message") or event.get("note") or "")):
            parts = re.findall(r"([0-9.]+)(h|ms|m|s)", hit[1])
            found.append(sum(float(number) * _UNITS[unit] for number, unit in parts))
    return max(found, default=None)


def quantisation(case: Case) -> Advice:
    """How many of these GPUs does the model need in each format, at the concurrency that was measured?"""
    id, title = "quantisation", "Would a smaller format pay?"
    model = case.model()
    shape = shape_from_name(model) if model else None
    spec = _gpu(case)
    if shape is None:
        why = f"the name {model!r} states no size" if model else "the model is not known"
        return unknown(id, title, why, "a model whose name states its size, or `inferaudit capacity --model PATH`")
    if spec is None:
        return unknown(id, title, "the GPU is not known", "GPUs (--gpus) or nodes with product labels (--context)")
    current = _format(case, model or "")
    if current:
        text = f"The model is served as {current} already; its loss of quality belongs on the golden set."
        return Advice(id, title, "keep", text, (Figure("format", current, None, "workload.containers or model name"),))
    context, concurrency, seen = _load(case)
    plans = {name: _plan(shape, spec, name, context, concurrency) for name in ("fp16", *FORMATS)}
    if "fp8" not in spec.tflops:
        plans.pop("fp8")
    now = plans["fp16"]
    basis = [Figure("GPU", spec.key, None, "target.gpus"), Figure("context", context, "tokens", seen),
             Figure("requests at once", concurrency, None, "benchmark.stages[].in_flight, else 1"),
             *(Figure(f"GPUs for {name}", plan.gpus, None, "capacity") for name, plan in plans.items()),
             *(Figure(f"KV tokens left, {name}", plan.kv_tokens_left, "tokens", "capacity")
               for name, plan in plans.items())]  # fmt: skip
    fewer = {n: p.gpus for n, p in plans.items() if p.gpus is not None and p.gpus < (now.gpus or math.inf)}
    where = f"{concurrency} request{'s' * (concurrency != 1)} of {context} tokens at once"
    if not fewer:
        text = f"FP16 needs {now.gpus} {spec.key} for {where}; no smaller format needs fewer."
        return Advice(id, title, "keep", text, tuple(basis))
    best = min(fewer, key=lambda name: (fewer[name], list(FORMATS).index(name)))
    before = f"{now.gpus} {spec.key}" if now.gpus is not None else f"more {spec.key} than one server holds"
    text = f"For {where} FP16 needs {before}, {best} {fewer[best]}. Its loss of quality: {FORMATS[best]}."
    return Advice(id, title, "change", text, tuple(basis))


def _plan(shape: ModelShape, spec: GpuSpec, name: str, context: int, concurrency: int) -> Capacity:
    return plan_capacity(shape, spec, quant=name, context=context, concurrency=concurrency)


def _gpu(case: Case) -> GpuSpec | None:
    """The one GPU product that serves; None for none, several or an unknown one."""
    products = {gpu["product"] for gpu in case.target.get("gpus") or ()}
    return find_gpu(products.pop()) if len(products) == 1 else None


def _format(case: Case, model: str) -> str | None:
    """The format that a setting or the model's name states; None for none, and for the 16-bit ones."""
    for _, engine in case.engines():
        if value := engine.value("quantization"):
            return value
    hit = _QUANTISED.search(model)
    return hit[0].lower() if hit else None


def _load(case: Case) -> tuple[int, int, str]:
    """Tokens a request holds, requests at once, and where the tokens were seen."""
    at_once = max(1, math.ceil(case.in_flight() or 1))
    tokens, ok = case.benchmark.get("tokens") or {}, (case.benchmark.get("requests") or {}).get("ok")
    if ok and tokens.get("input") is not None and tokens.get("output") is not None:
        return max(1, math.ceil((tokens["input"] + tokens["output"]) / ok)), at_once, "benchmark.tokens, mean"
    longest = max((m.max_model_len for m in case.fact("endpoint.models") or () if m.max_model_len), default=None)
    if longest:
        return longest, at_once, "endpoint.models[].max_model_len"
    return CONTEXT, at_once, "assumed"
