"""``inferaudit run``: the main job."""

from __future__ import annotations

import tempfile
from pathlib import Path

import typer

from inferaudit.cli.flags import RunFlags, takes

app = typer.Typer(add_completion=False)


@app.command()
@takes(RunFlags)
def run(flags: RunFlags) -> None:
    """Audit one inference service: collect, put load on it, judge, report.

    The audit is read-only; load is sent only with --load or a load: section in the policy. What was not looked at is
    unknown, and the verdict INCOMPLETE, unless --scope narrows the audit on purpose.
    """
    import sys

    from inferaudit.cli.outputs import EXIT_CODES, deliver, parse_outputs, refuse_unwritable, verdict_line
    from inferaudit.cli.progress import Reporter
    from inferaudit.cli.session import (
        baseline_facts,
        catalog_for,
        effective_policy,
        gather,
        judge_flags,
        policy_files,
        with_history,
    )
    from inferaudit.escape import line
    from inferaudit.history import store_report
    from inferaudit.policy import Policy
    from inferaudit.policy_names import check_names
    from inferaudit.report import audit_report
    from inferaudit.snapshot import dump
    from inferaudit.snapshot import load as load_snapshot

    reporter = Reporter(quiet=flags.quiet, progress=not flags.no_progress)
    outputs = parse_outputs(flags.output)
    if flags.snapshot:
        refuse_unwritable(flags.snapshot)
    judge = judge_flags(flags.scope, flags.phase, flags.fail_on, flags.select, flags.skip)
    policy = effective_policy(flags, reporter, judge)
    catalog = catalog_for(policy, flags.checks, flags.file.parent if flags.file else None)
    check_names(catalog, policy, policy_files(flags))  # an unknown id is an error before anything is contacted
    chosen = catalog.select(policy.select, policy.skip)
    known = baseline_facts(flags.baseline, policy.service.name)
    collected = gather(flags, policy, reporter, chosen, known)
    with tempfile.TemporaryDirectory(prefix="inferaudit-") as folder:
        # The snapshot read back is what is judged: what a later `evaluate` sees, this run saw.
        kept = flags.snapshot or Path(folder) / "snapshot"
        dump(with_history(collected.snapshot, policy, flags.store), kept)
        seen = load_snapshot(kept)
    report = audit_report(catalog, seen, Policy.model_validate(seen.policy))
    deliver(report, outputs)
    if flags.store:
        store_report(report, "" if flags.store == "default" else flags.store)
    print(line(verdict_line(report), 2000), file=sys.stderr)
    raise typer.Exit(collected.interrupted_by or EXIT_CODES[report.verdict])
