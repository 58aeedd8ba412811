"""``inferaudit collect``: facts into a snapshot file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from inferaudit.cli import options as o

app = typer.Typer(add_completion=False)


@app.command()
def collect(
    snapshot: Annotated[
        Path,
        typer.Option(
            "--snapshot", help="The file to write; - prints facts as a line of JSON.", rich_help_panel=o.OUTPUT
        ),
    ],
    file: o.PolicyFile = None,
    context: o.Context = "",
    kubeconfig: o.Kubeconfig = "",
    namespace: o.Namespace = "",
    workload: o.WorkloadName = "",
    manifests: o.Manifests = None,
    url: o.Url = "",
    api: o.Api = "",
    model: o.Model = "",
    metrics_url: o.MetricsUrl = "",
    prometheus: o.PrometheusUrl = "",
    alertmanager: o.AlertmanagerUrl = "",
    gpus: o.Gpus = "auto",
    gpus_node: o.GpusNode = "",
    dcgm: o.DcgmUrl = "",
    probe_image: o.ProbeImage = "",
    load: o.Load = "",
    active: o.Active = False,
    golden: o.Golden = "",
    yes: o.Yes = False,
    slo: o.Slo = "",
    scope: o.ScopeWords = "",
    attestations: o.Attestations = None,
    follow_links: o.FollowLinks = False,
    hourly: o.Hourly = None,
    header_env: o.HeaderEnv = None,
    api_key_env: o.ApiKeyEnv = "",
    ca: o.CaFile = "",
    insecure: o.Insecure = False,
    quiet: o.Quiet = False,
    no_progress: o.NoProgress = False,
) -> None:
    """Collect facts into a snapshot file (mode 0600, secrets redacted) and judge nothing.

    Judge it later, anywhere, with `inferaudit evaluate FILE`. With `--snapshot -` the facts go to stdout as one line of
    JSON, less request records: what `--gpus pods` reads from its pods' logs.
    """
    import sys

    from inferaudit.cli.progress import Reporter
    from inferaudit.cli.session import Flags, effective_policy, gather, judge_flags
    from inferaudit.snapshot import dump
    from inferaudit.snapshot_line import to_line

    reporter = Reporter(quiet=quiet, progress=not no_progress)
    flags = Flags(
        file=file,
        context=context,
        kubeconfig=kubeconfig,
        namespace=namespace,
        workload=workload,
        manifests=manifests or (),
        url=url,
        api=api,
        model=model,
        metrics_url=metrics_url,
        prometheus=prometheus,
        alertmanager=alertmanager,
        gpus=gpus,
        gpus_node=gpus_node,
        dcgm=dcgm,
        probe_image=probe_image,
        active=active,
        golden=golden,
        load=load,
        slo=slo,
        hourly=hourly,
        yes=yes,
        header_env=header_env or (),
        api_key_env=api_key_env,
        ca=ca,
        insecure=insecure,
        attestations=attestations or (),
        follow_links=follow_links,
        judge=judge_flags(scope, "", ""),
    )
    collected = gather(flags, effective_policy(flags, reporter), reporter)
    if str(snapshot) == "-":
        print(to_line(collected.snapshot), flush=True)
        raise typer.Exit(collected.interrupted_by or 0)
    dump(collected.snapshot, snapshot)
    unread = sum(fact.error is not None for fact in collected.snapshot.facts.values())
    read = len(collected.snapshot.facts) - unread
    print(f"inferaudit: {read} facts in {snapshot}, {unread} without a value", file=sys.stderr)
    raise typer.Exit(collected.interrupted_by or 0)
