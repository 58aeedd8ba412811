"""``inferaudit evaluate``: a snapshot judged offline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from inferaudit.cli import options as o

app = typer.Typer(add_completion=False)


@app.command()
def evaluate(
    snapshot: Annotated[Path, typer.Argument(help="Snapshot file, from run --snapshot or collect.")],
    file: o.PolicyFile = None,
    slo: o.Slo = "",
    scope: o.ScopeWords = "",
    phase: o.PhaseWord = "",
    select: o.Select = None,
    skip: o.Skip = None,
    fail_on: o.FailOn = "",
    checks: o.CheckFolders = None,
    attestations: o.Attestations = None,
    follow_links: o.FollowLinks = False,
    hourly: o.Hourly = None,
    output: o.Outputs = None,
    quiet: o.Quiet = False,
) -> None:
    """Judge a snapshot offline: the policy it holds, unless flags override; the same bytes as the run that made it.

    Attestations that the snapshot does not know yet, from -f or --attestations, are looked at first.
    """
    import sys

    from inferaudit.cli.outputs import EXIT_CODES, deliver, parse_outputs, verdict_line
    from inferaudit.cli.session import catalog_for, judge_flags, with_attestations
    from inferaudit.escape import line
    from inferaudit.planning import overridden
    from inferaudit.policy import Policy, load_policy, with_people
    from inferaudit.policy_names import check_names
    from inferaudit.report import audit_report
    from inferaudit.slo import parse_slo_flag
    from inferaudit.snapshot import load

    outputs = parse_outputs(output)
    seen = load(snapshot)
    policy = load_policy(file) if file else Policy.model_validate(seen.policy)
    base = file.parent if file else Path()
    policy = with_people(policy, attestations or (), base)
    seen = with_attestations(seen, policy, base, follow=follow_links)
    over = {**judge_flags(scope, phase, fail_on, select, skip), "cost.hourly_usd": hourly}
    if slo:
        over["slo"] = {**({} if isinstance(policy.slo, str) else policy.slo), **parse_slo_flag(slo)}
    policy = overridden(policy, over)
    catalog = catalog_for(policy, checks, file.parent if file else None)
    check_names(catalog, policy, [*([file] if file else []), *(attestations or ())])
    report = audit_report(catalog, seen, policy)
    deliver(report, outputs)
    if not quiet:
        print(line(verdict_line(report), 2000), file=sys.stderr)
    raise typer.Exit(EXIT_CODES[report.verdict])
