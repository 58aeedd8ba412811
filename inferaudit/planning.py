"""From target and policy to the collection plan. Pure: flags were merged into the policy before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import ValidationError

from inferaudit.errors import UsageError
from inferaudit.model import Scope
from inferaudit.plan import (
    CollectPlan,
    EndpointPlan,
    GpuPlan,
    HttpAuth,
    KubernetesPlan,
    Limits,
    LoadPlan,
    ManifestsPlan,
    PrometheusPlan,
    StagePlan,
)
from inferaudit.policy import LoadLimits, LoadSection, LoadStage, Policy
from inferaudit.policy_file import worded
from inferaudit.units import parse_count, parse_duration_s, parse_rate_per_s

BUILT_IN_PROFILES = ("smoke", "sla", "full", "soak")
_GPU_MODES = ("auto", "local", "dcgm", "pods", "off")


@dataclass(frozen=True, slots=True)
class Asked:
    """What flags ask of the collection that a policy does not hold."""

    kubeconfig: str = ""
    use_cluster: bool = False
    manifests: tuple[str, ...] = ()
    stdin: str | None = None
    gpus: str = "auto"
    gpus_node: str = ""
    dcgm_url: str = ""
    active: bool = False
    hold_s: float = 0.0
    golden: str = ""
    auth: HttpAuth = field(default_factory=HttpAuth)
    records: str = ""
    needs: frozenset[str] | None = None


def collect_plan(policy: Policy, asked: Asked) -> CollectPlan:
    """The plan; :class:`UsageError` for words that name nothing."""
    target = policy.target
    return CollectPlan(
        kubernetes=KubernetesPlan(
            context=target.context,
            kubeconfig=asked.kubeconfig,
            namespace=target.namespace,
            workload=target.workload,
            needs=asked.needs,
        )
        if asked.use_cluster
        else None,
        manifests=ManifestsPlan(asked.manifests, target.namespace, target.workload, asked.stdin)
        if asked.manifests
        else None,
        endpoint=EndpointPlan(
            url=target.url,
            api=target.api,
            model=target.model,
            metrics_url=target.metrics_url,
            active=asked.active,
            hold_s=asked.hold_s,
            golden=asked.golden,
            auth=asked.auth,
        )
        if target.url
        else None,
        gpu=GpuPlan(_gpu_mode(asked.gpus), asked.gpus_node, asked.dcgm_url)
        if Scope.GPU in policy.scope or asked.gpus != "auto"
        else None,
        prometheus=PrometheusPlan(target.prometheus, target.alertmanager, target.namespace, asked.auth)
        if target.prometheus or target.alertmanager
        else None,
        load=_load_plan(policy, asked) if policy.load and target.url else None,
    )


def _gpu_mode(word: str) -> Literal["auto", "local", "dcgm", "pods", "off"]:
    if word not in _GPU_MODES:
        raise UsageError(f"--gpus {word!r}: one of {', '.join(_GPU_MODES)}")
    return word  # type: ignore[return-value]  # just checked


def _load_plan(policy: Policy, asked: Asked) -> LoadPlan:
    load = policy.load
    assert load is not None  # noqa: S101  # the caller looked
    return LoadPlan(
        url=policy.target.url,
        api=policy.target.api,
        model=policy.target.model,
        profile=load.profile,
        stages=_stages(load),
        stream=load.stream,
        warmup=load.warmup or 0,
        timeout_s=parse_duration_s(load.timeout),
        input_tokens=load.input_tokens,
        output_tokens=load.output_tokens,
        seed=load.seed,
        workers=load.workers,
        dataset=load.dataset,
        template=load.template,
        slo={o.dimension: o.target for o in policy.objectives},
        limits=_limits(load.limits),
        auth=asked.auth,
        records=asked.records,
        hourly_usd=policy.cost.hourly_usd,
    )


def _stages(load: LoadSection) -> tuple[StagePlan, ...]:
    """The stages of a profile of the policy's own, or of a built-in one at the policy's rate and duration."""
    own = load.profiles.get(load.profile)
    if own is not None:
        if not own:
            raise UsageError(f"load.profiles.{load.profile} has no stages")
        return tuple(_own_stage(stage) for stage in own)
    from inferaudit.bench.profiles import profile_stages

    if load.profile not in BUILT_IN_PROFILES:
        known = ", ".join((*BUILT_IN_PROFILES, *load.profiles))
        raise UsageError(f"no load profile is called {load.profile!r}; known are {known}, off")
    return profile_stages(
        load.profile,
        rate=None if load.rate is None else parse_rate_per_s(load.rate),
        concurrency=load.concurrency,
        duration_s=None if load.duration is None else parse_duration_s(load.duration),
        requests=load.requests,
    )


def _own_stage(stage: LoadStage) -> StagePlan:
    return StagePlan(
        name=stage.name,
        concurrency=stage.concurrency,
        rate=None if stage.rate is None else parse_rate_per_s(stage.rate),
        arrival=stage.arrival,
        requests=stage.requests,
        duration_s=None if stage.duration is None else parse_duration_s(stage.duration),
        until_decided=stage.until_decided,
        input_tokens=stage.input_tokens or "",
        output_tokens=stage.output_tokens or "",
    )


def _limits(limits: LoadLimits) -> Limits:
    return Limits(
        rate=None if limits.rate is None else parse_rate_per_s(limits.rate),
        concurrency=limits.concurrency,
        tokens=None if limits.tokens is None else parse_count(limits.tokens),
        duration_s=None if limits.duration is None else parse_duration_s(limits.duration),
        spend_usd=limits.spend_usd,
    )


def overridden(policy: Policy, flags: Mapping[str, Any]) -> Policy:
    """The policy with what flags say put over it; dotted names reach into sections, None and "" change nothing."""
    data = policy.model_dump(mode="json")
    for name, value in flags.items():
        if value is None or value == "":
            continue
        section: dict[str, Any] = data
        *path, last = name.split(".")
        for part in path:
            if section.get(part) is None:
                section[part] = {}
            section = section[part]
        section[last] = value
    try:
        return Policy.model_validate(data)
    except ValidationError as error:
        problem = error.errors()[0]
        field = ".".join(str(part) for part in problem["loc"] if isinstance(part, str))
        raise UsageError(f"{field}: {worded(problem)} (got {problem['input']!r})") from error


def words(values: Sequence[str] | None) -> tuple[str, ...]:
    """``--select a,b --select c`` as one tuple."""
    return tuple(w.strip() for value in values or () for w in value.split(",") if w.strip())
