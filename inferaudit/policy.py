"""``inferaudit.yaml``: what the owner of the service wants judged, against which objectives, and what gates.

Validated by pydantic; an error names file, line and field and suggests the nearest key. The JSON Schema is exported by
``inferaudit generate schema policy``.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from inferaudit.errors import UsageError
from inferaudit.evidence import names_file
from inferaudit.model import DEFAULT_SCOPE, Phase, Scope, Severity
from inferaudit.policy_file import read_model
from inferaudit.redact import redact_text
from inferaudit.slo import TEMPLATE, Objective, parse_objective, parse_objectives
from inferaudit.units import parse_count, parse_duration_s, parse_rate_per_s


def _checked(parse: Any) -> BeforeValidator:
    def validate(value: Any) -> Any:
        if value is None:
            return None
        try:
            number = parse(value)
        except UsageError as error:
            raise ValueError(str(error)) from error
        if number <= 0:
            raise ValueError(f"{str(value)!r} is out of bounds: above 0 is wanted")
        return str(value)

    return BeforeValidator(validate)


def _as_date(value: Any) -> Any:
    # YAML reads 2026-12-31 as a date; inside we keep ISO text of one form, which compares as the days do.
    if isinstance(value, dt.datetime):
        value = value.date()
    try:
        return value.isoformat() if isinstance(value, dt.date) else dt.date.fromisoformat(str(value)).isoformat()
    except ValueError as error:
        raise ValueError(f"{str(value)!r} is no day: write YYYY-MM-DD, for example 2026-12-31") from error


DurationText = Annotated[str, _checked(parse_duration_s)]
RateText = Annotated[str, _checked(parse_rate_per_s)]
CountText = Annotated[str, _checked(parse_count)]
DateText = Annotated[str, BeforeValidator(_as_date)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _empty_is_not_written(cls, data: Any) -> Any:
        # `waivers:` with every entry deleted or commented out is what YAML calls null.
        return {key: value for key, value in data.items() if value is not None} if isinstance(data, dict) else data


class Service(_Section):
    """Who the service is and who answers for it."""

    name: str = ""
    owner: str = ""
    interruption_tolerant: bool = Field(False, description="May run on spot nodes: requests can be lost and retried.")
    public: bool | None = Field(None, description="Reachable from outside the organisation; null = not stated.")


class TargetSection(_Section):
    """What is audited; the flags of the same names override."""

    context: str = ""
    namespace: str = ""
    workload: str = Field("", description="KIND/NAME, for example deployment/chat")
    url: str = ""
    api: str = ""
    model: str = ""
    prometheus: str = ""
    alertmanager: str = ""
    metrics_url: str = ""


class LoadLimits(_Section):
    """What load may never exceed."""

    rate: RateText | None = None
    concurrency: int | None = Field(None, ge=1)
    tokens: CountText | None = None
    duration: DurationText | None = None
    spend_usd: float | None = Field(None, ge=0)


class LoadStage(_Section):
    """One stage of a load profile of your own."""

    name: str
    concurrency: int | None = Field(None, ge=1)
    rate: RateText | None = None
    arrival: Literal["constant", "poisson", "burst", "trace"] = "poisson"
    requests: int | None = Field(None, ge=1)
    duration: DurationText | None = None
    until_decided: bool = False
    input_tokens: str | None = None
    output_tokens: str | None = None


class LoadSection(_Section):
    """Load to put on the endpoint when `run` is started; without it none is sent."""

    profile: str = "sla"
    rate: RateText | None = None
    concurrency: int | None = Field(None, ge=1)
    duration: DurationText | None = None
    requests: int | None = Field(None, ge=1)
    warmup: int | None = Field(None, ge=0)
    timeout: DurationText = "30s"
    input_tokens: str = "128"
    output_tokens: str = "64"
    stream: bool | None = None
    seed: int = 0
    workers: int | Literal["auto"] = 1
    dataset: str = ""
    template: str = ""
    limits: LoadLimits = LoadLimits()
    profiles: dict[str, list[LoadStage]] = {}


class Chaos(_Section):
    """What --chaos may do, and to which workloads; it deletes one pod. Without targets it does nothing."""

    targets: tuple[str, ...] = Field((), description="Workloads as KIND/NAMESPACE/NAME; one pod of one may be deleted.")
    rate: RateText = Field("2/s", description="Light requests sent meanwhile, at most 10/s.")
    before: DurationText = Field("5s", description="How long the endpoint is watched first, at most 60s.")
    recovery: DurationText = Field("2m", description="How long the recovery is waited for, at most 15m.")
    abrupt: bool = Field(False, description="One second of grace for the pod instead of its own.")

    @field_validator("targets")
    @classmethod
    def _whole_names(cls, targets: tuple[str, ...]) -> tuple[str, ...]:
        for each in targets:
            parts = each.split("/")
            if len(parts) != 3 or not all(parts) or "*" in each:
                raise ValueError(
                    f"{each!r} names no workload: write KIND/NAMESPACE/NAME, for example deployment/llm/chat"
                )
        return targets

    @field_validator("rate", "before", "recovery")
    @classmethod
    def _bounded(cls, value: str, info: ValidationInfo) -> str:
        parse, limit, words = _CHAOS_BOUNDS[str(info.field_name)]
        if not 0 < parse(value) <= limit:
            raise ValueError(f"{value} is out of bounds: above 0, at most {words}")
        return value


_CHAOS_BOUNDS: dict[str, tuple[Any, float, str]] = {
    "rate": (parse_rate_per_s, 10.0, "10/s"),
    "before": (parse_duration_s, 60.0, "60s"),
    "recovery": (parse_duration_s, 900.0, "15m"),
}


class Gate(_Section):
    """What stops a launch."""

    fail_on: Severity = Severity.HIGH
    attestations: Literal["optional", "required"] = "optional"


class WaiverSection(_Section):
    """A failure accepted by a person, for a reason, until a day."""

    check: str
    owner: str = Field(min_length=1)
    reason: str = Field(min_length=1)
    expires: DateText
    subject: str | None = None


class AttestationSection(_Section):
    """Evidence that a person gives for a checklist row."""

    item: str
    evidence: str = Field(min_length=1)
    owner: str = Field(min_length=1)
    date: DateText
    expires: DateText | None = None

    @field_validator("evidence")
    @classmethod
    def _no_secret(cls, evidence: str) -> str:
        parts = urlsplit(evidence) if "://" in evidence else None
        if redact_text(evidence) != evidence or (parts and parts.username is not None):
            raise ValueError("this holds what looks like a credential, and evidence is shown to everybody")
        return evidence


class PeopleFile(_Section):
    """A file of its own for what people answer for: ``--attestations FILE``."""

    attestations: tuple[AttestationSection, ...] = ()
    waivers: tuple[WaiverSection, ...] = ()


class OwnPrice(_Section):
    """A row of the site's own price sheet: what one GPU and hour cost it, since when, and where that is written."""

    cloud: str = Field(min_length=1, description="Where: a name of your own, or one of the release's sheet.")
    gpu: str = Field(min_length=1, description="The GPU as the driver or the release's sheet names it.")
    usd: float = Field(gt=0)
    date: DateText
    source: str = Field(min_length=1, description="Contract, invoice or page that says so.")
    kind: Literal["on-demand", "spot", "serverless"] = "on-demand"
    region: str | None = None


class Cost(_Section):
    """What a GPU-hour costs; without it cost is not computed. The other keys are what savings are computed from."""

    hourly_usd: float | None = Field(None, gt=0)
    cloud: str = Field("", description="Take the GPU-hour from the price sheet: aws, azure, google, lambda, runpod, …")
    prices: tuple[OwnPrice, ...] = Field((), description="Prices of your own, in the place of the sheet's.")
    gpus: int | None = Field(None, ge=1)
    utilisation: float = Field(0.7, gt=0, le=1)
    hosted_input_usd: float | None = Field(None, ge=0, description="A hosted model's price of a million tokens in.")
    hosted_output_usd: float | None = Field(None, ge=0, description="A hosted model's price of a million tokens out.")
    spot_hourly_usd: float | None = Field(None, gt=0, description="Price of the same GPU-hour on spot.")
    burst_share: float | None = Field(None, ge=0, le=1, description="Share of the GPU-hours above the steady load.")
    idle_share: float | None = Field(None, ge=0, lt=1, description="Share of the hours in which nobody asks.")
    quantised_rate_per_s: float | None = Field(None, gt=0, description="Measured rate of the quantised model.")
    routed_share: float | None = Field(None, ge=0, le=1, description="Share of requests a smaller model can answer.")
    routed_cost_ratio: float | None = Field(
        None, ge=0, description="The smaller model's cost, as a share of this one's."
    )
    cached_share: float | None = Field(None, ge=0, lt=1, description="Share of requests answered from a cache.")
    cpu_hourly_usd: float | None = Field(None, gt=0, description="Price of an hour of a CPU node that serves it too.")
    cpu_rate_per_s: float | None = Field(None, gt=0, description="Measured rate of that node.")


class Policy(_Section):
    """The whole of ``inferaudit.yaml``. Every key is optional."""

    service: Service = Service()
    target: TargetSection = TargetSection()
    scope: tuple[Scope, ...] = Field(DEFAULT_SCOPE, min_length=1)
    phase: Phase = Phase.BEFORE
    select: tuple[str, ...] = Field((), description="Only these checks: ids, groups, tags.")
    skip: tuple[str, ...] = Field((), description="Checks to leave out: ids, groups, tags.")
    slo: dict[str, str | float] | Literal["template"] = {}
    load: LoadSection | None = None
    chaos: Chaos = Chaos()
    gate: Gate = Gate()
    severity: dict[str, Severity] = {}
    parameters: dict[str, dict[str, Any]] = {}
    waivers: tuple[WaiverSection, ...] = ()
    attestations: tuple[AttestationSection, ...] = ()
    cost: Cost = Cost()
    checks: tuple[str, ...] = Field((), description="Folders with checks of your own.")
    kpis: dict[str, Any] = {}
    components: dict[str, dict[str, Any]] = {}
    priorities: dict[str, dict[str, Any]] = {}
    risks: dict[str, dict[str, Any]] = {}
    stages: dict[str, dict[str, Any]] = {}

    @field_validator("scope")
    @classmethod
    def _each_once(cls, scope: tuple[Scope, ...]) -> tuple[Scope, ...]:
        return tuple(dict.fromkeys(scope))

    @field_validator("slo", mode="before")
    @classmethod
    def _known_objectives(cls, slo: Any) -> Any:
        if slo == "template":
            return slo
        if not isinstance(slo, dict):
            raise ValueError("objectives such as {ttft_p99: 500ms}, or the word template, are wanted")
        faults = {str(name): fault for name, value in slo.items() if (fault := _objective_fault(name, value))}
        if faults:
            raise PydanticCustomError("objectives", "{text}", {"faults": faults, "text": "; ".join(faults.values())})
        return slo

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """The SLOs, parsed."""
        return parse_objectives(TEMPLATE if isinstance(self.slo, str) else self.slo)


def _objective_fault(name: Any, value: Any) -> str:
    """What is wrong with an objective; nothing where it can be parsed."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return "a value such as 500ms or 0.1% is wanted"
    try:
        parse_objective(str(name), value)
    except UsageError as error:
        return str(error)
    return ""


def load_policy(path: Path) -> Policy:
    """The policy in `path`; :class:`PolicyError` names file, line and field."""
    return read_model(path, Policy, "policy", "; write one with `inferaudit init`")


def with_people(policy: Policy, paths: Sequence[Path], base: Path) -> Policy:
    """The policy with the attestations and waivers of files of their own.

    A file given as evidence lies beside the file that names it; its path is rewritten to one from `base`, the policy's
    folder. Raises :class:`PolicyError`, which names file, line and field.
    """
    attestations, waivers = list(policy.attestations), list(policy.waivers)
    for path in paths:
        given = read_model(path, PeopleFile, "file of attestations")
        waivers += given.waivers
        for attestation in given.attestations:
            shown = attestation.evidence
            if names_file(shown):
                shown = Path(os.path.relpath(path.parent / shown, base)).as_posix()
            attestations.append(attestation.model_copy(update={"evidence": shown}))
    return policy.model_copy(update={"attestations": tuple(attestations), "waivers": tuple(waivers)})
