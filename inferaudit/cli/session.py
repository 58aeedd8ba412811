"""From flags to a collected snapshot: policy and flags merged, targets settled, signals turned into partial results."""

from __future__ import annotations

import datetime as dt
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from inferaudit.audit import Collected, Interrupted, Interruption, collect, cut_short
from inferaudit.catalog import Catalog, load_catalog
from inferaudit.cli.access import http_auth
from inferaudit.cli.flags import Flags
from inferaudit.cli.gpu_probe import proposed_probe, run_proposal
from inferaudit.cli.progress import Reporter
from inferaudit.cli.reach import opened, settle, told
from inferaudit.errors import PolicyError, UsageError
from inferaudit.model import Check, Fact, Scope, Snapshot, Target
from inferaudit.plan import CollectPlan, LoadPlan
from inferaudit.planning import Asked, overridden, words
from inferaudit.policy import Policy, load_policy, with_people
from inferaudit.slo import parse_slo_flag
from inferaudit.units import parse_duration_s

DEFAULT_POLICY = Path("inferaudit.yaml")

EXAMPLES = """nothing to audit: give a policy or a target. For example
  inferaudit run -n llm-prod --workload deployment/chat --url https://chat.example.com
  inferaudit run --manifests deploy/ --scope manifests
  inferaudit run --url http://127.0.0.1:8000 --scope endpoint"""


def judge_flags(
    scope: str,
    phase: str = "",
    fail_on: str = "",
    select: Sequence[str] | None = None,
    skip: Sequence[str] | None = None,
) -> dict[str, Any]:
    """The flags that override the policy's judgement, under the policy's own names."""
    return {
        "scope": list(words([scope])) if scope else None,
        "phase": phase,
        "gate.fail_on": fail_on,
        "select": list(words(select)) or None,
        "skip": list(words(skip)) or None,
    }


def effective_policy(flags: Flags, reporter: Reporter, judge: Mapping[str, Any] | None = None) -> Policy:
    """The policy file (``./inferaudit.yaml`` where it exists) with the flags put over it, `judge` among them."""
    path = flags.file
    if path is None and DEFAULT_POLICY.exists():
        path = DEFAULT_POLICY
        reporter.note(f"policy: {DEFAULT_POLICY}")
    policy = load_policy(path) if path else Policy()
    policy = with_people(policy, flags.attestations or (), _base(flags))
    over: dict[str, Any] = {
        "target.context": flags.context,
        "target.namespace": flags.namespace,
        "target.workload": flags.workload,
        "target.url": flags.url,
        "target.api": flags.api,
        "target.model": flags.model,
        "target.metrics_url": flags.metrics_url,
        "target.prometheus": flags.prometheus,
        "target.alertmanager": flags.alertmanager,
        "cost.hourly_usd": flags.hourly,
        **(judge or {}),
    }
    if flags.slo:
        current = {} if isinstance(policy.slo, str) else policy.slo
        over["slo"] = {**current, **parse_slo_flag(flags.slo)}
    policy = overridden(policy, over)
    if flags.load == "off":
        return policy.model_copy(update={"load": None})
    return overridden(policy, {"load.profile": flags.load})


def policy_files(flags: Flags) -> tuple[Path, ...]:
    """The files that the policy comes from."""
    policy = flags.file or (DEFAULT_POLICY if DEFAULT_POLICY.exists() else None)
    return tuple(path for path in (policy, *(flags.attestations or ())) if path)


def catalog_for(policy: Policy, folders: Sequence[Path] | None, base: Path | None = None) -> Catalog:
    """Built-ins, plug-ins, the policy's folders (beside it) and those of ``--checks``."""
    own = [(base or Path()) / folder for folder in policy.checks]
    for folder in own:
        if not folder.is_dir():
            raise PolicyError(f"checks: {folder}: no such folder; the policy names it, from where it lies")
    return load_catalog([*own, *(folders or ())])


def gather(
    flags: Flags,
    policy: Policy,
    reporter: Reporter,
    checks: Sequence[Check] | None = None,
    known: Mapping[str, Fact] | None = None,
) -> Collected:
    """Collect what flags and policy ask for, and of the cluster what `checks` need; signals keep what was there.

    `known` are facts that were read before.
    """
    needs = None if checks is None else frozenset(n for c in checks for n in (*c.needs, *c.optional))
    asked = replace(_asked(flags, policy), needs=needs)
    way = settle(flags, policy, asked, reporter)
    plan = way.plan
    if not (_has_target(plan) or way.facts or way.forward or flags.gpus in ("local", "dcgm")):
        raise UsageError(EXAMPLES)
    if flags.load not in ("", "off") and not plan.load and "load.result" not in way.facts:
        raise UsageError("--load needs an endpoint: give --url URL")
    if plan.kubernetes:
        context, namespace = plan.kubernetes.context, plan.kubernetes.namespace
        reporter.note(f"cluster: context {context or 'of the kubeconfig'}, namespace {namespace or 'of the context'}")
    if plan.load:
        _announce_load(plan.load, reporter)
        _confirm_load(plan.load.url, flags, reporter)
    extra: dict[str, Fact] = {**_process_facts(flags, policy), **(known or {})}
    if plan.chaos:  # until it is done, this is what there is to say of it
        extra["endpoint.degradation"] = cut_short(plan.chaos, begun=False)
    target = Target(
        context=policy.target.context,
        namespace=policy.target.namespace,
        workload=policy.target.workload,
        url=way.url,
        api=policy.target.api,
        model=policy.target.model,
    )
    proposal = proposed_probe(plan, flags.probe_image, reporter, yes=flags.yes)
    interruption = Interruption()

    def collected_of(plan: CollectPlan, facts: Mapping[str, Fact]) -> Collected:
        return collect(
            plan,
            target,
            policy.model_dump(mode="json"),
            dict(facts),
            now=_now,
            progress=reporter.step,
            load_progress=reporter.load,
            interruption=interruption,
        )

    collected, tunnel = None, None
    try:
        with _signals(interruption), reporter, opened(way, policy, asked, reporter) as reached:
            tunnel = reached.tunnel
            plan, extra = reached.plan, extra | reached.facts
            if interruption.code is None:  # else opening the way has noticed a signal, and nothing more is begun
                plan, probed = run_proposal(plan, proposal, reporter)
                extra |= probed
            collected = collected_of(plan, extra)
    except (Interrupted, KeyboardInterrupt):
        # Between the steps that take a signal themselves: what was there is kept, and nothing more is begun.
        interruption.code = interruption.code or 130
        collected = collected or collected_of(CollectPlan(), way.facts | extra)
    return told(replace(collected, interrupted_by=interruption.code), way, tunnel)


def _has_target(plan: CollectPlan) -> bool:
    return any((plan.kubernetes, plan.manifests, plan.endpoint, plan.prometheus, plan.replicas))


def with_history(snapshot: Snapshot, policy: Policy, store: str) -> Snapshot:
    """The snapshot with what the store holds of earlier runs of the same service, so that the trend can be judged."""
    if not store:
        return snapshot
    from inferaudit.history import history_facts
    from inferaudit.trend import service_key

    target = snapshot.target
    service = service_key(policy.service.name, target.namespace, target.workload, target.url)
    facts = history_facts("" if store == "default" else store, service)
    return replace(snapshot, facts={**snapshot.facts, **facts})


def with_attestations(snapshot: Snapshot, policy: Policy, base: Path, *, follow: bool) -> Snapshot:
    """The snapshot with the policy's attestations: those it knows as they were verified then, the others as of now."""
    from inferaudit.collect.attestations import collect_attestations

    fact = snapshot.facts.get("process.attestations")
    known = fact.value if fact and fact.error is None else []
    facts = collect_attestations(policy.attestations, base, follow=follow, known=known)
    if facts["process.attestations"].value == known:
        return snapshot
    return replace(snapshot, facts={**snapshot.facts, **facts})


def _asked(flags: Flags, policy: Policy) -> Asked:
    # The kubeconfig's current context is used only when a namespace or workload names what to look at there, and no
    # cluster at all where the scope leaves it out, unless a context is given.
    target = policy.target
    in_scope = {Scope.CLUSTER, Scope.MANIFESTS} & set(policy.scope)
    named = in_scope and (target.namespace or target.workload) and not flags.manifests
    return Asked(
        kubeconfig=flags.kubeconfig,
        use_cluster=bool(target.context or named),
        manifests=tuple(flags.manifests or ()),
        stdin=sys.stdin.read() if "-" in (flags.manifests or ()) else None,
        gpus=flags.gpus,
        gpus_node=flags.gpus_node,
        dcgm_url=flags.dcgm,
        active=flags.active,
        hold_s=_hold_s(flags.hold),
        golden=flags.golden,
        auth=http_auth(flags),
    )


def _hold_s(text: str) -> float:
    """Seconds to hold requests open; 0 where nothing was asked for."""
    seconds = parse_duration_s(text) if text else 0.0
    if text and not 1 <= seconds <= 600:
        raise UsageError(f"--hold {text!r}: between 1s and 10m")
    return seconds


def _base(flags: Flags) -> Path:
    """Where the policy lies: paths in it are from there."""
    return (flags.file or DEFAULT_POLICY).parent


def _process_facts(flags: Flags, policy: Policy) -> dict[str, Fact]:
    from inferaudit.collect.attestations import collect_attestations

    return collect_attestations(policy.attestations, _base(flags), follow=flags.follow_links)


def baseline_facts(report: Path | None, service: str = "") -> dict[str, Fact]:
    """What failed in an earlier report; nothing without one. :class:`UsageError` for one of another `service`."""
    if report is None:
        return {}
    from inferaudit.report_file import load_report

    data = load_report(report).data
    name = (data.get("service") or {}).get("name")
    if name and service and name != service:
        raise UsageError(f"--baseline {report}: a report of {name!r}, and this audit is of {service!r}")
    return {"process.baseline": Fact([f["fingerprint"] for f in data["findings"] if f["outcome"] == "fail"])}


def _announce_load(load: LoadPlan, reporter: Reporter) -> None:
    """Say what will be sent; what cannot be run as asked is refused before anything is collected."""
    from inferaudit.bench.endpoint import refuse_credentials
    from inferaudit.bench.prepare import foresee, with_warmup
    from inferaudit.bench.profiles import check_limits, describe

    refuse_credentials(load.url)
    load = foresee(load)[0] if load.api else with_warmup(load)  # an API that is to be recognised is not known yet
    check_limits(load)
    for text in describe(load):
        reporter.note(text)


def _confirm_load(url: str, flags: Flags, reporter: Reporter) -> None:
    from urllib.parse import urlsplit

    from inferaudit.bench.endpoint import is_local

    if flags.yes or url.startswith("unix:") or is_local(urlsplit(url).hostname or ""):
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(f"load on {url}, which is not this machine, needs --yes")
    if not reporter.confirm(f"Put load on {url}?"):
        raise UsageError("no load was sent; use --load off to audit without it")


@contextmanager
def _signals(interruption: Interruption) -> Iterator[None]:
    """Ctrl-C and SIGTERM as one thing, with the exit code that tells which, so that what was collected is kept."""
    codes = {signal.SIGINT: 130, signal.SIGTERM: 143}

    def handle(number: int, _: object) -> None:
        interruption.signal(codes[signal.Signals(number)])

    before = {number: signal.signal(number, handle) for number in codes}
    try:
        yield
    finally:
        interruption.closing = True  # a signal between these lines is noted, and leaves no handler behind
        for number, handler in before.items():
            signal.signal(number, handler)


def _now() -> str:
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
