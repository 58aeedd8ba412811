"""``inferaudit init``: a commented policy from what can be found."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from inferaudit.cli import options as o

app = typer.Typer(add_completion=False)


@app.command()
def init(
    context: o.Context = "",
    kubeconfig: o.Kubeconfig = "",
    namespace: o.Namespace = "",
    workload: o.WorkloadName = "",
    manifests: o.Manifests = None,
    url: o.Url = "",
    api: o.Api = "",
    model: o.Model = "",
    header_env: o.HeaderEnv = None,
    api_key_env: o.ApiKeyEnv = "",
    ca: o.CaFile = "",
    insecure: o.Insecure = False,
    client_cert: o.ClientCert = "",
    client_key: o.ClientKey = "",
    output: Annotated[
        str, typer.Option("-o", "--output", help="File to write; - is stdout.", rich_help_panel=o.OUTPUT)
    ] = "inferaudit.yaml",
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.", rich_help_panel=o.OUTPUT)] = False,
    quiet: o.Quiet = False,
    no_progress: o.NoProgress = False,
) -> None:
    """Write a commented inferaudit.yaml from what is found in the cluster, the manifests and the endpoint.

    Without a target it writes the template. Objectives are proposed, not measured: settle them with the owner.
    """
    from inferaudit.cli.flags import Flags
    from inferaudit.cli.outputs import print_text, write_text
    from inferaudit.cli.progress import Reporter
    from inferaudit.cli.session import effective_policy, gather
    from inferaudit.errors import UsageError
    from inferaudit.proposal import propose_policy

    path = None if output == "-" else Path(output)
    if path and path.exists() and not force:
        raise UsageError(f"{path} exists; give --force to replace it, or -o - to print")
    reporter = Reporter(quiet=quiet, progress=not no_progress)
    flags = Flags(
        file=None,
        context=context,
        kubeconfig=kubeconfig,
        namespace=namespace,
        workload=workload,
        manifests=manifests,
        url=url,
        api=api,
        model=model,
        gpus="off",
        load="off",
        header_env=header_env,
        api_key_env=api_key_env,
        ca=ca,
        insecure=insecure,
        client_cert=client_cert,
        client_key=client_key,
    )
    snapshot = None
    if namespace or workload or context or manifests or url:
        snapshot = gather(flags, effective_policy(flags, reporter), reporter).snapshot
    text = propose_policy(snapshot)
    if path is None:
        print_text(text, people=False)
    else:
        write_text(path, text)
        reporter.note(f"wrote {path}; read it, set the objectives, then: inferaudit run -f {path}")
