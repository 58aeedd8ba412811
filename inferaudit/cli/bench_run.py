"""What ``inferaudit bench`` does once its options are read: plan, confirm, run, write, and the exit code."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from inferaudit.cli.access import http_auth
from inferaudit.cli.outputs import print_text, refuse_twice, refuse_unwritable, write_text
from inferaudit.cli.progress import Reporter, say
from inferaudit.errors import CollectError, UsageError
from inferaudit.plan import Limits, LoadPlan, StagePlan
from inferaudit.rpc.urls import is_rpc
from inferaudit.slo import parse_objectives, parse_slo_flag
from inferaudit.units import flag_value, parse_count, parse_duration_s, parse_rate_per_s

T = TypeVar("T")
ARRIVALS = ("constant", "poisson", "burst", "trace")
DEFAULT_DURATION_S = 30.0
# What of the load's shape a profile leaves to nobody.
_FIXED = {"smoke": ("--rate", "--concurrency", "--requests", "--duration"), "soak": ("--requests",)}


@dataclass(frozen=True, slots=True)
class Asked:
    """The options as given; names are those of the flags."""

    url: str
    api: str
    model: str
    stream: bool | None
    concurrency: int | None
    rate: str
    arrival: str
    burst: int
    trace: Path | None
    requests: int | None
    duration: str
    until_decided: bool
    warmup: int
    profile: str
    find_knee: bool
    slo: str
    timeout: str
    timeout_headers: str
    timeout_stall: str
    input_tokens: str
    output_tokens: str
    dataset: Path | None
    template: Path | None
    keep_alive: bool
    workers: str
    seed: int | None
    limit_rate: str
    limit_tokens: str
    dry_run: bool
    metrics_url: str
    records: Path | None
    from_: Path | None
    header_env: list[str] | None
    api_key_env: str
    ca: str
    insecure: bool
    client_cert: str
    client_key: str
    yes: bool
    quiet: bool
    no_progress: bool
    output: list[str] | None


def run_bench(asked: Asked) -> int:
    """The exit code."""
    outputs = _outputs(asked.output)
    files = [*filter(None, [asked.records, *(path for _, path in outputs)])]
    for path in files:
        refuse_unwritable(path)
    refuse_twice(files)
    if asked.from_ is not None:
        if asked.url or asked.records:
            raise UsageError(f"--from reads a records file and sends nothing: leave out {asked.url or '--records'}")
        return _again(asked, asked.from_, outputs)
    plan = load_plan(asked)
    from inferaudit.bench.endpoint import refuse_credentials, resolve
    from inferaudit.bench.prepare import foresee
    from inferaudit.bench.profiles import describe

    refuse_credentials(plan.url)
    plan, inputs = foresee(plan)
    said = describe(plan, inputs.trace)
    if asked.dry_run:
        print("\n".join(said))
        return 0
    reporter = Reporter(quiet=asked.quiet, progress=not asked.no_progress)
    for text in said:
        reporter.note(text)
    if not asked.yes and not resolve(plan.url, plan.api, plan.auth).local:
        _confirm(plan, reporter)
    return _run(plan, reporter, outputs)


def load_plan(asked: Asked) -> LoadPlan:
    """The plan that the options ask for; :class:`UsageError` where they contradict each other."""
    if not asked.url:
        raise UsageError(
            "which endpoint? for example: inferaudit bench http://127.0.0.1:8000 --model m --concurrency 8"
        )
    slo = {o.dimension: o.target for o in parse_objectives(parse_slo_flag(asked.slo))} if asked.slo else {}
    workers: int | Literal["auto"] = (
        "auto" if asked.workers == "auto" else flag_value("--workers", asked.workers, parse_count)
    )
    if asked.warmup < 0:
        raise UsageError("--warmup is a number of requests, 0 or more")
    return LoadPlan(
        url=asked.url,
        api=asked.api or ("oip-v2-grpc" if is_rpc(asked.url, "") else "openai-chat"),
        model=asked.model,
        profile=asked.profile or "bench",
        stages=_stages(asked),
        stream=asked.stream,
        warmup=asked.warmup,
        timeout_s=flag_value("--timeout", asked.timeout, parse_duration_s),
        timeout_headers_s=_given("--timeout-headers", asked.timeout_headers, parse_duration_s),
        timeout_stall_s=_given("--timeout-stall", asked.timeout_stall, parse_duration_s),
        input_tokens=asked.input_tokens,
        output_tokens=asked.output_tokens,
        # A seed of its own by default: the prompts of an earlier run may still be in the server's caches.
        seed=int.from_bytes(os.urandom(4)) if asked.seed is None else asked.seed,
        workers=workers,
        dataset=str(asked.dataset or ""),
        template=str(asked.template or ""),
        trace=str(asked.trace or ""),
        slo=slo,
        limits=Limits(
            rate=_given("--limit-rate", asked.limit_rate, parse_rate_per_s),
            tokens=_given("--limit-tokens", asked.limit_tokens, parse_count),
        ),
        auth=http_auth(asked),
        records=str(asked.records or ""),
        keep_alive=asked.keep_alive,
        metrics_url=asked.metrics_url,
    )


def _stages(asked: Asked) -> tuple[StagePlan, ...]:
    from inferaudit.bench.profiles import profile_stages

    rate = _given("--rate", asked.rate, parse_rate_per_s)
    duration = _given("--duration", asked.duration, parse_duration_s)
    if rate is not None and asked.concurrency is not None:
        raise UsageError("--rate (open loop) and --concurrency (closed loop) exclude each other")
    if asked.arrival not in ARRIVALS:
        raise UsageError(f"--arrival {asked.arrival!r}: known are {', '.join(ARRIVALS)}")
    _refuse_what_would_be_ignored(asked)
    if asked.profile:
        return profile_stages(
            asked.profile, rate=rate, concurrency=asked.concurrency, duration_s=duration, requests=asked.requests
        )
    trace = asked.arrival == "trace"
    if duration is None and asked.requests is None and not trace:
        duration = 8.0 if asked.find_knee else DEFAULT_DURATION_S
    if asked.find_knee:
        start = () if rate is None else (StagePlan("start", rate=rate, duration_s=duration),)
        first = start or (StagePlan("start", concurrency=_streams(asked), duration_s=duration or DEFAULT_DURATION_S),)
        return (
            *first,
            StagePlan("knee", duration_s=duration or 8.0, search=True),
            StagePlan("sustained", times_knee=1.0, duration_s=duration or 8.0),
        )
    closed = rate is None and not trace
    return (
        StagePlan(
            "sustained",
            concurrency=_streams(asked) if closed else None,
            rate=rate,
            arrival=asked.arrival,  # type: ignore[arg-type]  # one of ARRIVALS
            burst=asked.burst,
            requests=asked.requests,
            duration_s=duration,
            until_decided=asked.until_decided,
        ),
    )


def _given(flag: str, text: str, parse: Callable[[str], T]) -> T | None:
    """The flag's value; None where it was left out."""
    return flag_value(flag, text, parse) if text else None


def _streams(asked: Asked) -> int:
    return 1 if asked.concurrency is None else asked.concurrency


def _refuse_what_would_be_ignored(asked: Asked) -> None:
    """An option that another one makes void is a misunderstanding, and better said than measured."""
    shape = {
        "--arrival": asked.arrival != "poisson",
        "--burst": asked.burst != 0,
        "--trace": asked.trace is not None,
        "--until-decided": asked.until_decided,
        "--find-knee": asked.find_knee,
    }
    search = {name: given for name, given in shape.items() if name != "--find-knee"}
    others = {"--profile": shape} if asked.profile else {}
    others |= {"--find-knee": search | {"--requests": asked.requests is not None}} if asked.find_knee else {}
    for option, excluded in others.items():
        if wrong := [name for name, given in excluded.items() if given]:
            raise UsageError(f"{option} shapes the load itself: it does not go with {', '.join(wrong)}")
    given = {
        "--rate": bool(asked.rate),
        "--concurrency": asked.concurrency is not None,
        "--requests": asked.requests is not None,
        "--duration": bool(asked.duration),
    }
    if wrong := [name for name in _FIXED.get(asked.profile, ()) if given[name]]:
        raise UsageError(
            f"--profile {asked.profile} does not go by {', '.join(wrong)}: see --dry-run for what it sends"
        )
    if asked.arrival == "trace" and asked.concurrency is not None:
        raise UsageError("--arrival trace says when requests are sent: it does not go with --concurrency")
    if asked.until_decided and not asked.slo:
        raise UsageError("--until-decided needs --slo: without an objective there is nothing to decide")
    if asked.trace is not None and asked.arrival != "trace":
        raise UsageError("--trace is read with --arrival trace only")
    if asked.burst and asked.arrival != "burst":
        raise UsageError("--burst is read with --arrival burst only")
    if asked.arrival in ("constant", "burst") and not asked.rate:
        raise UsageError(f"--arrival {asked.arrival} needs --rate: in a closed loop requests follow the answers")


def _run(plan: LoadPlan, reporter: Reporter, outputs: list[tuple[str, Path | None]]) -> int:
    from inferaudit.bench.runner import run_load

    with _stoppable() as (stop, signals), reporter:
        try:
            outcome = run_load(plan, progress=reporter.load, stop=stop)
        except CollectError as error:
            say(f"error: {error}")
            return 3
    code = _deliver(
        outcome.result, outcome.records, plan.slo, outputs, signals[0] if signals else None, quiet=reporter.quiet
    )
    if plan.records and outcome.result.token_records is None and not signals:
        raise UsageError(f"cannot write {plan.records}: the records are lost, the figures are not")
    return code


def _again(asked: Asked, path: Path, outputs: list[tuple[str, Path | None]]) -> int:
    """Everything recomputed from a records file."""
    import msgspec

    from inferaudit.facts.load import LoadResult
    from inferaudit.records import from_npz

    try:
        records = from_npz(path.read_bytes())
        result = msgspec.convert(records.meta["result"], LoadResult)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, KeyError, msgspec.ValidationError) as error:
        raise UsageError(f"{path}: {error}") from None
    slo = (
        {o.dimension: o.target for o in parse_objectives(parse_slo_flag(asked.slo))} if asked.slo else dict(result.slo)
    )
    return _deliver(result, records, slo, outputs, None, quiet=asked.quiet)


def _deliver(
    result: Any,
    records: Any,
    slo: Any,
    outputs: list[tuple[str, Path | None]],
    signalled: int | None,
    *,
    quiet: bool,
) -> int:
    import msgspec

    from inferaudit.benchmark import benchmark_section
    from inferaudit.cli.bench_text import terminal
    from inferaudit.cli.bench_verdict import exit_code, judge

    section = benchmark_section(result, records, slo)
    judged = judge(section, slo, result, records)
    document = {"schema": "inferaudit.bench/v1", "benchmark": section, "objectives": judged}
    faults = []
    for name, path in outputs:
        if name == "json":
            text = msgspec.json.format(msgspec.json.encode(document), indent=1).decode() + "\n"
        else:
            text = terminal(section, judged)
        try:
            if path is None:
                print_text(text, people=name == "terminal")
            else:
                write_text(path, text)
        except UsageError as error:  # it keeps none of the others from what was measured
            faults.append(str(error))
    if faults:
        raise UsageError("\n".join(faults))
    code = exit_code(section, judged) if signalled is None else 128 + signalled
    if not quiet:
        said = {0: "ok", 1: "an objective is broken", 3: "no verdict"}.get(
            code, "interrupted, this is what was measured"
        )
        say(f"inferaudit bench: {said}")
    return code


def _outputs(values: list[str] | None) -> list[tuple[str, Path | None]]:
    outputs: list[tuple[str, Path | None]] = []
    for value in values or ("terminal",):
        name, equals, path = value.partition("=")
        if name not in ("terminal", "json") or (equals and not path):
            raise UsageError(f"-o {value!r}: bench writes terminal or json, with =PATH for a file")
        outputs.append((name, None if path in ("", "-", "/dev/stdout") else Path(path)))
    if sum(path is None for _, path in outputs) > 1:
        raise UsageError("two outputs on stdout; give all but one a path, for example -o json=bench.json")
    return outputs


def _confirm(plan: LoadPlan, reporter: Reporter) -> None:
    if not sys.stdin.isatty():
        raise UsageError(f"{plan.url} is not this machine: give --yes to put load on it")
    if not reporter.confirm(f"put this load on {plan.url}?"):
        raise UsageError("not confirmed; nothing was sent")


@contextmanager
def _stoppable() -> Iterator[tuple[threading.Event, list[int]]]:
    """Ctrl-C and SIGTERM end the load cleanly, once; the second time they act as ever."""
    stop, signals = threading.Event(), list[int]()

    def hear(number: int, _: object) -> None:
        signals.append(number)
        stop.set()
        signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.default_int_handler)

    before = {number: signal.signal(number, hear) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop, signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
