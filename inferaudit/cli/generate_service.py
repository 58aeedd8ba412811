"""For whom `generate` writes: policy and flags, and the runtime as given or as the endpoint shows it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from inferaudit.cli.access import http_auth
from inferaudit.cli.flags import Flags
from inferaudit.cli.progress import Reporter
from inferaudit.cli.session import effective_policy
from inferaudit.errors import UsageError
from inferaudit.generators import Service
from inferaudit.plan import HttpAuth
from inferaudit.rules_file import runbook_address
from inferaudit.runtime_registry import Runtime, runtimes

_TIMEOUT_S = 10.0
_GPUS = ("dcgm", "off")


def described_service(
    flags: Flags,
    runtime: str,
    job: str,
    name: str,
    runbook: str,
    gpus: str = "dcgm",
    freshness_metric: str = "",
) -> Service:
    """The service that the files are for; :class:`UsageError` when its runtime is not known."""
    reporter = Reporter()
    policy = effective_policy(flags, reporter)
    if gpus not in _GPUS:
        raise UsageError(f"--gpus takes one of {', '.join(_GPUS)}, not {gpus!r}")
    if freshness_metric and not _is_metric(freshness_metric):
        raise UsageError(f"--freshness-metric {freshness_metric!r} is no name of a metric")
    names = None
    if runtime:
        if runtime not in runtimes():
            raise UsageError(f"no runtime is called {runtime!r}; known are {', '.join(runtimes())}")
        found = runtimes()[runtime]
    elif policy.target.url:
        found, names = _seen(policy.target.url, policy.target.metrics_url, http_auth(flags), reporter)
    else:
        raise UsageError(
            f"which runtime? Give --runtime NAME, or --url URL to have it recognised; known are {', '.join(runtimes())}"
        )
    return Service(
        runtime=found,
        objectives=policy.objectives,
        name=name or policy.service.name,
        owner=policy.service.owner,
        namespace=policy.target.namespace,
        job=job,
        runbook=runbook_address(runbook),
        names=names,
        gpus=gpus == "dcgm",
        freshness_metric=freshness_metric,
    )


def pairs(values: Sequence[str] | None) -> dict[str, str]:
    """``--label KEY=VALUE`` as a mapping."""
    found = {}
    for value in values or ():
        key, equals, text = value.partition("=")
        if not key or not equals:
            raise UsageError(f"--label {value!r}: write KEY=VALUE, for example release=prometheus")
        found[key] = text
    return found


def _seen(url: str, metrics_url: str, auth: HttpAuth, reporter: Reporter) -> tuple[Runtime, frozenset[str] | None]:
    """The runtime behind `url` and the metric names on its page (None where there is no page). Nothing but GETs."""
    from inferaudit.collect.endpoint import parse_place
    from inferaudit.collect.http_client import Http, credentials
    from inferaudit.errors import CollectError
    from inferaudit.exposition import parse_exposition
    from inferaudit.runtime_recognition import HttpAnswer, next_probe, recognise
    from inferaudit.tls import tls_context

    place = parse_place(url)
    with Http(place.base, credentials(auth, os.environ), tls_context(auth), _TIMEOUT_S) as http:
        answers: list[HttpAnswer] = []
        while (path := next_probe(answers)) is not None:
            reply = http.get(path)
            if not answers and reply.status is None:
                raise UsageError(f"{place.origin} does not answer ({reply.error}); name the runtime with --runtime")
            answers.append(HttpAnswer(path, reply.status or 0, reply.headers, reply.text if reply.status else ""))
        seen = recognise(answers)
        if seen.name == "unknown":
            raise UsageError(
                f"the runtime behind {place.origin} is not known; name it with --runtime (custom fits most)"
            )
        runtime = runtimes()[seen.profile]
        page = http.get(metrics_url or runtime.metrics_path)
    reporter.note(f"runtime: {runtime.title} {seen.version or ''} ({seen.confidence:.0%} sure)")
    try:
        families = parse_exposition(page.text, page.headers.get("content-type", "")) if page.status == 200 else []
    except CollectError:
        families = []
    names = frozenset({family.name for family in families} | {s.name for family in families for s in family.samples})
    if not names:
        print("inferaudit: no metrics page was found; the newest names are taken", file=sys.stderr)
    return runtime, names or None


def _is_metric(text: str) -> bool:
    import re

    return re.fullmatch(r"[A-Za-z_][A-Za-z0-9_:]*", text) is not None
