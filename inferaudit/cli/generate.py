"""``inferaudit generate``: files derived from the definitions."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from inferaudit.cli import options as o

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Write files derived from the definitions.")

Out = Annotated[
    Path | None, typer.Option("-o", "--output", help="File to write; stdout without.", rich_help_panel=o.OUTPUT)
]


@app.command()
def schema(
    what: Annotated[str, typer.Argument(help="policy or report.")] = "policy",
    output: Out = None,
) -> None:
    """The JSON Schema of the policy file or of the JSON report, for editors and pipelines."""
    from inferaudit.errors import UsageError

    if what == "policy":
        from inferaudit.policy import Policy

        document: Any = {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            **Policy.model_json_schema(),
            "title": "inferaudit.yaml",
        }
    elif what == "report":
        from inferaudit.resources import resource_folder

        document = json.loads((resource_folder("templates") / "report.schema.json").read_text("utf-8"))
    else:
        raise UsageError(f"no schema is called {what!r}; known are policy and report")
    _write(json.dumps(document, indent=2, ensure_ascii=False) + "\n", output)


@app.command()
def rbac(
    namespace: o.Namespace = "default",
    service_account: Annotated[
        str, typer.Option("--service-account", help="ServiceAccount that runs the audit.")
    ] = "inferaudit",
    select: o.Select = None,
    skip: o.Skip = None,
    checks: o.CheckFolders = None,
    output: Out = None,
) -> None:
    """The Role and ClusterRole that the checks need, and nothing more: read verbs alone."""
    from inferaudit.catalog import load_catalog
    from inferaudit.planning import words
    from inferaudit.rbac import rbac_manifests

    chosen = load_catalog(checks or ()).select(words(select), words(skip))
    _write(rbac_manifests(chosen, namespace=namespace, service_account=service_account), output)


def _write(text: str, path: Path | None) -> None:
    if path is None or str(path) == "-":
        sys.stdout.write(text)
        return
    from inferaudit.cli.outputs import write_text

    write_text(path, text)
