"""``inferaudit collect``: facts into a snapshot file."""

from __future__ import annotations

import typer

from inferaudit.cli.flags import CollectFlags, takes

app = typer.Typer(add_completion=False)


@app.command()
@takes(CollectFlags)
def collect(flags: CollectFlags) -> None:
    """Collect facts into a snapshot file (mode 0600, secrets redacted) and judge nothing.

    Judge it later, anywhere, with `inferaudit evaluate FILE`. With `--snapshot -` the facts go to stdout as one line of
    JSON, less request records: what `--gpus pods` reads from its pods' logs.
    """
    import sys

    from inferaudit.cli.outputs import refuse_unwritable
    from inferaudit.cli.progress import Reporter
    from inferaudit.cli.session import effective_policy, gather, judge_flags
    from inferaudit.snapshot import dump
    from inferaudit.snapshot_line import to_line

    reporter = Reporter(quiet=flags.quiet, progress=not flags.no_progress)
    if str(flags.snapshot) != "-":
        refuse_unwritable(flags.snapshot)
    policy = effective_policy(flags, reporter, judge_flags(flags.scope))
    collected = gather(flags, policy, reporter)
    if str(flags.snapshot) == "-":
        print(to_line(collected.snapshot), flush=True)
        raise typer.Exit(collected.interrupted_by or 0)
    dump(collected.snapshot, flags.snapshot)
    unread = sum(fact.error is not None for fact in collected.snapshot.facts.values())
    read = len(collected.snapshot.facts) - unread
    print(f"inferaudit: {read} facts in {flags.snapshot}, {unread} without a value", file=sys.stderr)
    raise typer.Exit(collected.interrupted_by or 0)
