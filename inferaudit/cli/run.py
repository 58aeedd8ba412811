"""``inferaudit run``: the main job."""

from __future__ import annotations

import tempfile
from pathlib import Path

import typer

from inferaudit.cli import options as o

app = typer.Typer(add_completion=False)


@app.command()
def run(
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
    phase: o.PhaseWord = "",
    select: o.Select = None,
    skip: o.Skip = None,
    fail_on: o.FailOn = "",
    checks: o.CheckFolders = None,
    attestations: o.Attestations = None,
    follow_links: o.FollowLinks = False,
    baseline: o.Baseline = None,
    hourly: o.Hourly = None,
    header_env: o.HeaderEnv = None,
    api_key_env: o.ApiKeyEnv = "",
    ca: o.CaFile = "",
    insecure: o.Insecure = False,
    snapshot: o.SnapshotOut = None,
    store: o.Store = "",
    output: o.Outputs = None,
    quiet: o.Quiet = False,
    no_progress: o.NoProgress = False,
) -> None:
    """Audit one inference service: collect, put load on it, judge, report.

    The audit is read-only; load is sent only with --load or a load: section in the policy. What was not looked at is
    unknown, and the verdict INCOMPLETE, unless --scope narrows the audit on purpose.
    """
    import sys

    from inferaudit.cli.outputs import EXIT_CODES, deliver, parse_outputs, verdict_line
    from inferaudit.cli.progress import Reporter
    from inferaudit.cli.session import Flags, catalog_for, effective_policy, gather, judge_flags, with_history
    from inferaudit.escape import line
    from inferaudit.history import store_report
    from inferaudit.report import audit_report
    from inferaudit.snapshot import dump
    from inferaudit.snapshot import load as load_snapshot

    reporter = Reporter(quiet=quiet, progress=not no_progress)
    outputs = parse_outputs(output)
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
        checks=checks or (),
        baseline=baseline,
        header_env=header_env or (),
        api_key_env=api_key_env,
        ca=ca,
        insecure=insecure,
        attestations=attestations or (),
        follow_links=follow_links,
        judge=judge_flags(scope, phase, fail_on, select, skip),
    )
    policy = effective_policy(flags, reporter)
    catalog = catalog_for(policy, checks, file.parent if file else None)
    chosen = catalog.select(policy.select, policy.skip)  # an unknown id is an error before anything is contacted
    collected = gather(flags, policy, reporter, chosen)
    with tempfile.TemporaryDirectory(prefix="inferaudit-") as folder:
        # The snapshot read back is what is judged: what a later `evaluate` sees, this run saw.
        kept = snapshot or Path(folder) / "snapshot"
        dump(with_history(collected.snapshot, policy, store), kept)
        seen = load_snapshot(kept)
    report = audit_report(catalog, seen, policy)
    deliver(report, outputs)
    if store:
        store_report(report, "" if store == "default" else store)
    print(line(verdict_line(report), 2000), file=sys.stderr)
    raise typer.Exit(collected.interrupted_by or EXIT_CODES[report.verdict])
