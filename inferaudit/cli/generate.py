"""``inferaudit generate``: files derived from the definitions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from inferaudit.cli import options as o

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Write files derived from the definitions.")

Out = Annotated[
    Path | None, typer.Option("-o", "--output", help="File to write; stdout without.", rich_help_panel=o.OUTPUT)
]
RULES = "Rules"
Runtime = Annotated[
    str,
    typer.Option(
        "--runtime", help="vllm, triton, tgi, …; recognised from --url if left out.", rich_help_panel=o.TARGET
    ),
]
Job = Annotated[str, typer.Option("--job", help="Prometheus job of the service's targets.", rich_help_panel=o.TARGET)]
ServiceName = Annotated[
    str, typer.Option("--name", help="Name of the service; the policy's if left out.", rich_help_panel=o.TARGET)
]
Runbook = Annotated[
    str,
    typer.Option("--runbook", help="Address of the runbook; #alertname is added to it.", rich_help_panel=RULES),
]
RuleGpus = Annotated[str, typer.Option("--gpus", help="dcgm (rules over dcgm-exporter) or off.", rich_help_panel=RULES)]
Kind = Annotated[
    str, typer.Option("--kind", help="rules (a rule file) or PrometheusRule (for the operator).", rich_help_panel=RULES)
]
Labels = Annotated[
    list[str] | None,
    typer.Option(
        "--label", help="KEY=VALUE on the PrometheusRule, as its Prometheus selects it.", rich_help_panel=RULES
    ),
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
        str, typer.Option("--service-account", help="ServiceAccount that runs the audit; NAMESPACE/NAME if elsewhere.")
    ] = "inferaudit",
    optional: Annotated[
        list[str] | None,
        typer.Option("--with", help="Bind an optional Role too: logs, port-forward, proxy, chaos. May be repeated."),
    ] = None,
    context: o.Context = "",
    kubeconfig: o.Kubeconfig = "",
    workload: o.WorkloadName = "",
    manifests: o.Manifests = None,
    select: o.Select = None,
    skip: o.Skip = None,
    checks: o.CheckFolders = None,
    output: Out = None,
) -> None:
    """The Roles and the ClusterRole that the checks need, and nothing more.

    With a cluster (--context or --kubeconfig) rules for kinds that it does not serve are left out; with a cluster or
    --manifests the rule for Secrets names those that the service refers to.
    """
    from inferaudit.catalog import load_catalog
    from inferaudit.cli.rbac_target import from_cluster, from_manifests
    from inferaudit.planning import words
    from inferaudit.rbac import rbac_manifests

    chosen = load_catalog(checks or ()).select(words(select), words(skip))
    secrets, served = None, None
    if context or kubeconfig:
        secrets, served = from_cluster(context, kubeconfig, namespace, workload)
    elif manifests:
        secrets, served = from_manifests(manifests, namespace, workload)
    text = rbac_manifests(
        chosen,
        namespace=namespace,
        service_account=service_account,
        secrets=secrets,
        served=served,
        optional=words(optional),
    )
    _write(text, output)


@app.command()
def alerts(
    file: o.PolicyFile = None,
    slo: o.Slo = "",
    runtime: Runtime = "",
    url: o.Url = "",
    metrics_url: o.MetricsUrl = "",
    namespace: o.Namespace = "",
    job: Job = "",
    name: ServiceName = "",
    runbook: Runbook = "",
    gpus: RuleGpus = "dcgm",
    freshness_metric: Annotated[
        str,
        typer.Option("--freshness-metric", help="Metric with the model's date in Unix seconds.", rich_help_panel=RULES),
    ] = "",
    kind: Kind = "rules",
    label: Labels = None,
    header_env: o.HeaderEnv = None,
    api_key_env: o.ApiKeyEnv = "",
    ca: o.CaFile = "",
    insecure: o.Insecure = False,
    client_cert: o.ClientCert = "",
    client_key: o.ClientKey = "",
    output: Out = None,
) -> None:
    """Alerting rules for the runtime's own metric names and the policy's objectives; burn rates are among them."""
    from inferaudit.cli.flags import Flags
    from inferaudit.cli.generate_service import described_service, pairs
    from inferaudit.generate_alerts import alert_rules
    from inferaudit.rules_file import rules_text

    flags = Flags(file=file, slo=slo, url=url, metrics_url=metrics_url, namespace=namespace,
                  header_env=header_env, api_key_env=api_key_env, ca=ca, insecure=insecure,
                  client_cert=client_cert, client_key=client_key)  # fmt: skip
    service = described_service(flags, runtime, job, name, runbook, gpus, freshness_metric)
    _write(rules_text(service, "alerts", alert_rules(service), kind, pairs(label)), output)


@app.command("slo")
def slo_command(
    file: o.PolicyFile = None,
    slo: o.Slo = "",
    runtime: Runtime = "",
    url: o.Url = "",
    metrics_url: o.MetricsUrl = "",
    namespace: o.Namespace = "",
    job: Job = "",
    name: ServiceName = "",
    runbook: Runbook = "",
    kind: Kind = "rules",
    label: Labels = None,
    header_env: o.HeaderEnv = None,
    api_key_env: o.ApiKeyEnv = "",
    ca: o.CaFile = "",
    insecure: o.Insecure = False,
    client_cert: o.ClientCert = "",
    client_key: o.ClientKey = "",
    output: Out = None,
) -> None:
    """Recording rules and multi-window burn-rate alerts for the availability objective, and nothing else."""
    from inferaudit.cli.flags import Flags
    from inferaudit.cli.generate_service import described_service, pairs
    from inferaudit.generate_slo import slo_rules
    from inferaudit.rules_file import rules_text

    flags = Flags(file=file, slo=slo, url=url, metrics_url=metrics_url, namespace=namespace,
                  header_env=header_env, api_key_env=api_key_env, ca=ca, insecure=insecure,
                  client_cert=client_cert, client_key=client_key)  # fmt: skip
    service = described_service(flags, runtime, job, name, runbook)
    _write(rules_text(service, "slo", slo_rules(service), kind, pairs(label)), output)


@app.command()
def dashboard(
    file: o.PolicyFile = None,
    slo: o.Slo = "",
    runtime: Runtime = "",
    url: o.Url = "",
    metrics_url: o.MetricsUrl = "",
    namespace: o.Namespace = "",
    job: Job = "",
    name: ServiceName = "",
    runbook: Runbook = "",
    gpus: RuleGpus = "dcgm",
    header_env: o.HeaderEnv = None,
    api_key_env: o.ApiKeyEnv = "",
    ca: o.CaFile = "",
    insecure: o.Insecure = False,
    client_cert: o.ClientCert = "",
    client_key: o.ClientKey = "",
    output: Out = None,
) -> None:
    """A Grafana dashboard (JSON) for the runtime's own metric names, with the objectives as lines."""
    from inferaudit.cli.flags import Flags
    from inferaudit.cli.generate_service import described_service
    from inferaudit.generate_dashboard import dashboard as dashboard_text

    flags = Flags(file=file, slo=slo, url=url, metrics_url=metrics_url, namespace=namespace,
                  header_env=header_env, api_key_env=api_key_env, ca=ca, insecure=insecure,
                  client_cert=client_cert, client_key=client_key)  # fmt: skip
    _write(dashboard_text(described_service(flags, runtime, job, name, runbook, gpus)), output)


@app.command()
def attestation(
    report: Annotated[Path, typer.Argument(help="A JSON report (-o json=PATH).")],
    valid_days: Annotated[
        int, typer.Option("--valid-days", min=1, help="How long the attestations hold, from the day of the audit.")
    ] = 180,
    output: Out = None,
) -> None:
    """The attestations that a report still waits for, as YAML to fill in."""
    from inferaudit.attestation_template import attestation_template
    from inferaudit.report_file import load_report

    _write(attestation_template(load_report(report), valid_days=valid_days), output)


def _write(text: str, path: Path | None) -> None:
    from inferaudit.cli.outputs import print_text, write_text

    if path is None or str(path) == "-":
        print_text(text, people=False)
        return
    write_text(path, text)
