"""The options of the verbs that collect, each verb's set declared once: a dataclass whose fields are options.

A command is written against the dataclass; :func:`takes` gives it the options on the command line.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from typing import Any, TypeVar, get_type_hints

from inferaudit.cli import options as o

F = TypeVar("F")


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """What `run` and `collect` have in common: the target, the load, and how to get there. Empty = not given."""

    file: o.PolicyFile = None
    context: o.Context = ""
    kubeconfig: o.Kubeconfig = ""
    namespace: o.Namespace = ""
    workload: o.WorkloadName = ""
    manifests: o.Manifests = None
    url: o.Url = ""
    port_forward: o.PortForward = False
    api: o.Api = ""
    model: o.Model = ""
    metrics_url: o.MetricsUrl = ""
    prometheus: o.PrometheusUrl = ""
    alertmanager: o.AlertmanagerUrl = ""
    gpus: o.Gpus = "auto"
    gpus_node: o.GpusNode = ""
    dcgm: o.DcgmUrl = ""
    probe_image: o.ProbeImage = ""
    load: o.Load = ""
    active: o.Active = False
    hold: o.Hold = ""
    replicas: o.Replicas = False
    chaos: o.Chaos = False
    golden: o.Golden = ""
    yes: o.Yes = False
    slo: o.Slo = ""
    scope: o.ScopeWords = ""
    attestations: o.Attestations = None
    follow_links: o.FollowLinks = False
    hourly: o.Hourly = None
    header_env: o.HeaderEnv = None
    api_key_env: o.ApiKeyEnv = ""
    ca: o.CaFile = ""
    insecure: o.Insecure = False
    client_cert: o.ClientCert = ""
    client_key: o.ClientKey = ""
    quiet: o.Quiet = False
    no_progress: o.NoProgress = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectFlags(Flags):
    """`collect`: and where the facts go."""

    snapshot: o.SnapshotFile


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFlags(Flags):
    """`run`: and how they are judged and told."""

    phase: o.PhaseWord = ""
    select: o.Select = None
    skip: o.Skip = None
    fail_on: o.FailOn = ""
    checks: o.CheckFolders = None
    baseline: o.Baseline = None
    snapshot: o.SnapshotOut = None
    store: o.Store = ""
    output: o.Outputs = None


def takes(flags: type[F]) -> Callable[[Callable[[F], None]], Callable[..., None]]:
    """Let a command that is written against `flags` be called with its options, as the command line does."""
    hints = get_type_hints(flags, include_extras=True)
    parameters = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in fields(flags)  # type: ignore[arg-type]  # every set of flags is a dataclass
    ]

    def wrap(command: Callable[[F], None]) -> Callable[..., None]:
        def called(**given: Any) -> None:
            command(flags(**given))

        called.__name__, called.__doc__ = command.__name__, command.__doc__
        called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what inspect looks for
        called.__annotations__ = {p.name: p.annotation for p in parameters}
        return called

    return wrap
