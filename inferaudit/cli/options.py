"""The options that several verbs share, each declared once with the help that teaches it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

TARGET = "Target"
JUDGE = "Judgement"
LOAD = "Load"
OUTPUT = "Output"
ACCESS = "Access"

PolicyFile = Annotated[
    Path | None,
    typer.Option("-f", "--file", help="Policy file; ./inferaudit.yaml where it exists.", rich_help_panel=JUDGE),
]
Context = Annotated[str, typer.Option("--context", help="Context of the kubeconfig.", rich_help_panel=TARGET)]
Kubeconfig = Annotated[str, typer.Option("--kubeconfig", help="Kubeconfig file.", rich_help_panel=TARGET)]
Namespace = Annotated[str, typer.Option("-n", "--namespace", help="Namespace.", rich_help_panel=TARGET)]
WorkloadName = Annotated[
    str, typer.Option("--workload", help="KIND/NAME, for example deployment/chat.", rich_help_panel=TARGET)
]
Manifests = Annotated[
    list[str] | None,
    typer.Option("--manifests", help="YAML or JSON file, folder or glob; - is stdin.", rich_help_panel=TARGET),
]
Url = Annotated[str, typer.Option("--url", help="Base URL of the serving endpoint.", rich_help_panel=TARGET)]
PortForward = Annotated[
    bool,
    typer.Option(
        "--port-forward",
        help="Reach the workload through a port-forward to its Service, where no --url is given; not for load.",
        rich_help_panel=TARGET,
    ),
]
Api = Annotated[
    str,
    typer.Option(
        "--api", help="Wire format: openai-chat, oip-v2, tgi, …; recognised if left out.", rich_help_panel=TARGET
    ),
]
Model = Annotated[str, typer.Option("--model", help="Model name to ask for.", rich_help_panel=TARGET)]
MetricsUrl = Annotated[
    str, typer.Option("--metrics-url", help="The server's metrics page, where it is elsewhere.", rich_help_panel=TARGET)
]
PrometheusUrl = Annotated[str, typer.Option("--prometheus", help="Prometheus URL.", rich_help_panel=TARGET)]
AlertmanagerUrl = Annotated[str, typer.Option("--alertmanager", help="Alertmanager URL.", rich_help_panel=TARGET)]
Gpus = Annotated[
    str,
    typer.Option(
        "--gpus",
        help="auto, local (NVML on this host), dcgm, pods (a pod on each serving node) or off.",
        rich_help_panel=TARGET,
    ),
]
GpusNode = Annotated[
    str, typer.Option("--gpus-node", help="The node that this host's NVML answers for.", rich_help_panel=TARGET)
]
ProbeImage = Annotated[
    str, typer.Option("--probe-image", help="Image that holds inferaudit, for --gpus pods.", rich_help_panel=TARGET)
]
DcgmUrl = Annotated[str, typer.Option("--dcgm", help="Metrics page of a DCGM exporter.", rich_help_panel=TARGET)]
Active = Annotated[
    bool,
    typer.Option("--active", help="Also send bad requests: malformed, oversized, … each once.", rich_help_panel=LOAD),
]
Hold = Annotated[
    str,
    typer.Option(
        "--hold",
        help="Also hold two requests open for this long, at most 10m: half a body, and one long answer.",
        rich_help_panel=LOAD,
    ),
]
Replicas = Annotated[
    bool,
    typer.Option(
        "--replicas",
        help="Ask each ready pod by itself, through the API server's proxy: version, models, readiness.",
        rich_help_panel=LOAD,
    ),
]
Chaos = Annotated[
    bool,
    typer.Option(
        "--chaos",
        help="Delete one pod of the workload, if the policy's chaos: names it, and watch the endpoint.",
        rich_help_panel=LOAD,
    ),
]
Golden = Annotated[str, typer.Option("--golden", help="JSONL of requests with expected answers.", rich_help_panel=LOAD)]
Load = Annotated[
    str,
    typer.Option(
        "--load", help="Put load on it: smoke, sla, full, soak, a profile of the policy, or off.", rich_help_panel=LOAD
    ),
]
Slo = Annotated[
    str, typer.Option("--slo", help="Objectives: ttft_p99=500ms,error_rate=0.1%,… or template.", rich_help_panel=JUDGE)
]
ScopeWords = Annotated[
    str,
    typer.Option(
        "--scope", help="Narrow on purpose: cluster,gpu,endpoint,load,metrics,process,manifests.", rich_help_panel=JUDGE
    ),
]
PhaseWord = Annotated[str, typer.Option("--phase", help="before, during or after the launch.", rich_help_panel=JUDGE)]
Select = Annotated[
    list[str] | None,
    typer.Option("--select", help="Only these checks: ids, groups, tags (comma or repeat).", rich_help_panel=JUDGE),
]
Skip = Annotated[
    list[str] | None, typer.Option("--skip", help="Leave these checks out: ids, groups, tags.", rich_help_panel=JUDGE)
]
FailOn = Annotated[
    str,
    typer.Option("--fail-on", help="Lowest severity that gates: critical, high, medium, low.", rich_help_panel=JUDGE),
]
CheckFolders = Annotated[
    list[Path] | None,
    typer.Option("--checks", help="Folder with checks of your own (Python in it is run).", rich_help_panel=JUDGE),
]
Attestations = Annotated[
    list[Path] | None,
    typer.Option("--attestations", help="A file with attestations and waivers of its own.", rich_help_panel=JUDGE),
]
FollowLinks = Annotated[
    bool,
    typer.Option(
        "--follow-links", help="See whether the links of attestations answer: one GET each.", rich_help_panel=JUDGE
    ),
]
Baseline = Annotated[
    Path | None,
    typer.Option("--baseline", help="An earlier JSON report: what failed there does not gate.", rich_help_panel=JUDGE),
]
Hourly = Annotated[
    float | None, typer.Option("--hourly", help="Price of one GPU-hour in USD, for the cost.", rich_help_panel=JUDGE)
]
Yes = Annotated[
    bool,
    typer.Option(
        "--yes",
        "-y",
        help="Do not ask before load on a remote address, --gpus pods or --chaos.",
        rich_help_panel=LOAD,
    ),
]
SnapshotFile = Annotated[
    Path,
    typer.Option("--snapshot", help="The file to write; - prints facts as a line of JSON.", rich_help_panel=OUTPUT),
]
SnapshotOut = Annotated[
    Path | None, typer.Option("--snapshot", help="Keep the snapshot in this file.", rich_help_panel=OUTPUT)
]
Store = Annotated[
    str,
    typer.Option(
        "--store",
        help="Keep the key figures and judge the trend: a folder, a database URL, or default.",
        rich_help_panel=OUTPUT,
    ),
]
Outputs = Annotated[
    list[str] | None,
    typer.Option(
        "-o",
        "--output",
        help="FORMAT[=PATH], repeatable: terminal json junit sarif codescanning markdown html csv github prometheus.",
        rich_help_panel=OUTPUT,
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no advice.", rich_help_panel=OUTPUT)]
NoProgress = Annotated[bool, typer.Option("--no-progress", help="No progress.", rich_help_panel=OUTPUT)]
HeaderEnv = Annotated[
    list[str] | None,
    typer.Option("--header-env", help="NAME=ENVVAR: a request header from the environment.", rich_help_panel=ACCESS),
]
ApiKeyEnv = Annotated[
    str, typer.Option("--api-key-env", help="Environment variable with the API key.", rich_help_panel=ACCESS)
]
CaFile = Annotated[str, typer.Option("--ca", help="CA file to trust for the endpoint.", rich_help_panel=ACCESS)]
ClientCert = Annotated[
    str,
    typer.Option(
        "--client-cert", help="PEM file with the certificate to show where TLS asks (mTLS).", rich_help_panel=ACCESS
    ),
]
ClientKey = Annotated[
    str, typer.Option("--client-key", help="Its key, where another PEM file holds it.", rich_help_panel=ACCESS)
]
Insecure = Annotated[bool, typer.Option("--insecure", help="Do not verify TLS.", rich_help_panel=ACCESS)]
