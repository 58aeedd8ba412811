"""What can be refused before load is sent (limits, files, lengths, the API), and what workers need to know."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from inferaudit.bench.decision import objectives
from inferaudit.bench.discovery import fixed_request
from inferaudit.bench.profiles import check_limits
from inferaudit.bench.protocols import protocol
from inferaudit.bench.requests import check_template, read_dataset
from inferaudit.bench.schedule import parse_trace
from inferaudit.bench.tokens import parse_distribution
from inferaudit.bench.worker import Setup
from inferaudit.errors import UsageError
from inferaudit.plan import LoadPlan, StagePlan

_MAX_FILE_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the files hold that a plan names, and whether answers are streamed."""

    stream: bool
    dataset: tuple[Any, ...] = ()
    template: str = ""
    trace: tuple[int, ...] = ()


def foresee(plan: LoadPlan) -> tuple[LoadPlan, Inputs]:
    """All that can be refused without a word to the server, which may know the model, and the stages to be run."""
    api = protocol(plan.api)
    plan = replace(plan, api=api.name)
    plan = with_warmup(plan)
    trace = parse_trace(_read(plan.trace), plan.trace) if plan.trace else ()
    if any(stage.arrival == "trace" and stage.concurrency is None for stage in plan.stages) and not trace:
        raise UsageError("arrival trace needs a trace file (--trace FILE)")
    check_limits(plan, trace)
    worker_count(plan)
    objectives(plan)
    for stage in plan.stages:
        parse_distribution(stage.input_tokens or plan.input_tokens)
        parse_distribution(stage.output_tokens or plan.output_tokens, "--output-tokens")
    stream = api.stream_default and api.event is not None if plan.stream is None else plan.stream
    if stream and api.event is None:
        raise UsageError(f"--stream: the API {api.name} does not stream")
    dataset = tuple(read_dataset(_read(plan.dataset), plan.dataset)) if plan.dataset else ()
    template = _read(plan.template) if plan.template else ""
    if plan.template and not template.strip():
        raise UsageError(f"{plan.template} is empty")
    if dataset and (api.rpc or api.content):
        raise UsageError(f"--dataset: the API {api.name} takes tensors; give a request with --template FILE")
    if template and not (api.rpc or api.content):
        check_template(template, plan.model)
    return plan, Inputs(stream, dataset, template, trace)


def with_warmup(plan: LoadPlan) -> LoadPlan:
    """The plan with the warm-up that it asks for as its first stage."""
    if not plan.warmup or any(stage.name == "warmup" for stage in plan.stages):
        return plan
    first = plan.stages[0] if plan.stages else StagePlan("sustained", concurrency=1)
    streams = min(first.concurrency or 8, plan.warmup)
    return replace(plan, stages=(StagePlan("warmup", concurrency=streams, requests=plan.warmup), *plan.stages))


def prepare(plan: LoadPlan) -> tuple[LoadPlan, Setup]:
    """The plan as it will be run, and what workers need to know; a server of tensors is asked what it takes."""
    plan, inputs = foresee(plan)
    if lacks_model(plan):
        raise UsageError(f"--model is needed for the API {plan.api}")
    nonce = os.urandom(4)
    setup = Setup(
        plan=plan,
        stream=inputs.stream,
        run_id=f"inferaudit-{nonce.hex()}",
        nonce=int.from_bytes(nonce),
        worker=0,
        workers=1,
        dataset=inputs.dataset,
        template=inputs.template,
        trace=inputs.trace,
    )
    fixed = None if inputs.dataset else fixed_request(plan, protocol(plan.api), inputs.template)
    if fixed is None:
        return plan, setup
    return plan, replace(setup, fixed_body=fixed.body, fixed_headers=fixed.headers, template="")


def lacks_model(plan: LoadPlan) -> bool:
    """Is no model named where requests have to name one?"""
    return not plan.model and protocol(plan.api).name in ("openai-chat", "openai-completions", "ollama")


def worker_count(plan: LoadPlan) -> int:
    """How many processes; auto takes one for 800 streams or 15 000 requests/s, at most one fewer than the cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if plan.workers != "auto":
        if not 1 <= plan.workers <= 256:
            raise UsageError("--workers lies between 1 and 256")
        return plan.workers
    streams = max((s.concurrency or 0 for s in plan.stages), default=0)
    rate = max((s.rate or 0.0 for s in plan.stages), default=0.0)
    return max(1, min(cores - 1, math.ceil(max(streams / 800, rate / 15_000))))


def _read(path: str) -> str:
    try:
        if Path(path).stat().st_size > _MAX_FILE_BYTES:
            raise UsageError(f"{path}: larger than {_MAX_FILE_BYTES >> 20} MiB")
        return Path(path).read_text("utf-8")
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path}: not UTF-8 text") from None


def file_limit() -> int:
    """How many descriptors this process may open; the soft limit is raised to the hard one."""
    try:
        import resource
    except ImportError:
        return 512
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard if hard != resource.RLIM_INFINITY else 1 << 20, 1 << 20)
    if soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
        except (OSError, ValueError):
            return soft
    return soft
