"""``inferaudit demo``: the whole way through on one machine, with nothing set up."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from inferaudit.cli import options as o

app = typer.Typer(add_completion=False)

HOW_TO_READ = """
How to read it
  {folder}/report.html   open it in a browser: verdict, blockers with remedies, checklist, SLA, every finding
  {folder}/report.json   for programs; report.md for a pull request, report.xml (JUnit) for CI
  {folder}/service.yaml  the sample manifests: mend one and run `inferaudit run --manifests {folder}/service.yaml`
  {folder}/snapshot      what was seen; `inferaudit evaluate {folder}/snapshot` judges it again, offline

The verdict is {verdict}: the sample service has faults on purpose, no cluster was asked and no GPU was seen, so it
cannot be GO. What was not looked at is `unknown`, and each line says which flag would supply it.

Next, your own service:  inferaudit run -n NAMESPACE --workload deployment/NAME --url URL --load smoke
"""


@app.command()
def demo(
    folder: Annotated[Path, typer.Option("--folder", help="Where the report goes.", rich_help_panel=o.OUTPUT)] = Path(
        "demo-report"
    ),
    duration: Annotated[str, typer.Option("--duration", help="How long the load lasts.")] = "10s",
    quiet: o.Quiet = False,
    no_progress: o.NoProgress = False,
) -> None:
    """A full audit of a tiny model served on this machine and of sample manifests; writes demo-report/.

    Starts a llama.cpp server on a free loopback port, puts a bounded load on it, audits it together with the manifests
    of a sample service, and stops it. Needs the extra inferaudit[demo]; no cluster, no GPU, no compiler.
    """
    import sys
    import tempfile

    from inferaudit.catalog import load_catalog
    from inferaudit.cli.flags import Flags
    from inferaudit.cli.outputs import Output, deliver, verdict_line, write_text
    from inferaudit.cli.progress import Reporter
    from inferaudit.cli.session import gather
    from inferaudit.demo_server import demo_server
    from inferaudit.planning import overridden
    from inferaudit.policy import Policy
    from inferaudit.report import audit_report
    from inferaudit.resources import resource_folder
    from inferaudit.snapshot import dump
    from inferaudit.snapshot import load as load_snapshot

    reporter = Reporter(quiet=quiet, progress=not no_progress)
    manifests = folder / "service.yaml"
    write_text(manifests, (resource_folder("templates") / "demo" / "service.yaml").read_text("utf-8"))
    with tempfile.TemporaryDirectory(prefix="inferaudit-demo-") as scratch:
        reporter.note("starting llama.cpp with a tiny random model")
        with demo_server(Path(scratch)) as url:
            policy = overridden(
                Policy(),
                {
                    "service": {"name": "chat (demo)", "owner": "team-chat"},
                    "target": {"namespace": "demo", "workload": "deployment/chat", "url": url},
                    "slo": {"ttft_p99": "500ms", "itl_p99": "100ms", "error_rate": "1%"},
                    "load": {"profile": "sla", "concurrency": 4, "duration": duration, "output_tokens": "16"},
                },
            )
            flags = Flags(manifests=[str(manifests)], yes=True)
            collected = gather(flags, policy, reporter)
    dump(collected.snapshot, folder / "snapshot")
    seen = load_snapshot(folder / "snapshot")
    report = audit_report(load_catalog(), seen, Policy.model_validate(seen.policy))
    files = {"html": "html", "json": "json", "markdown": "md", "junit": "xml", "sarif": "sarif", "csv": "csv"}
    deliver(
        report,
        [*(Output(name, folder / f"report.{suffix}") for name, suffix in files.items()), Output("terminal", None)],
    )
    if not quiet:
        print(HOW_TO_READ.format(folder=folder, verdict=report.verdict.value.replace("_", "-")))
    print(verdict_line(report), file=sys.stderr)
    raise typer.Exit(collected.interrupted_by or 0)
