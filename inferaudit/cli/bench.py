"""``inferaudit bench``: a load test alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from inferaudit.cli import options as o

app = typer.Typer(add_completion=False)

SHAPE = "Shape of the load"
REQUEST = "Requests"


def register(app: typer.Typer) -> None:
    """Add the verb to an application."""
    app.command("bench")(bench)


@app.command()
def bench(
    url: Annotated[
        str,
        typer.Argument(
            help="The server's base URL (https://host[:port]; grpc:// or grpcs:// for gRPC) or unix:/path/to/socket."
        ),
    ] = "",
    api: Annotated[
        str,
        typer.Option(
            help="openai-chat (the default), openai-completions, openai-embeddings, openai-rerank, oip-v2, "
            "oip-v2-binary, oip-v2-grpc (that of grpc://), tgi, tei, tf-serving, tf-serving-grpc, torchserve, "
            "ollama, llama.cpp, triton-generate, custom.",
            rich_help_panel=REQUEST,
        ),
    ] = "",
    model: Annotated[str, typer.Option(help="Model name to ask for.", rich_help_panel=REQUEST)] = "",
    stream: Annotated[
        bool | None,
        typer.Option(
            "--stream/--no-stream", help="Stream the answers; default where the API does.", rich_help_panel=REQUEST
        ),
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option(help="Closed loop: this many streams, each sending when it was answered.", rich_help_panel=SHAPE),
    ] = None,
    rate: Annotated[
        str,
        typer.Option(
            help="Open loop: requests arrive at this rate (20/s), whatever the server does.", rich_help_panel=SHAPE
        ),
    ] = "",
    arrival: Annotated[
        str, typer.Option(help="How they arrive: constant, poisson, burst or trace.", rich_help_panel=SHAPE)
    ] = "poisson",
    burst: Annotated[
        int, typer.Option(help="Requests in a burst; default one second's worth.", rich_help_panel=SHAPE)
    ] = 0,
    trace: Annotated[
        Path | None,
        typer.Option(help="Arrival times in seconds, one a line (first column of a CSV).", rich_help_panel=SHAPE),
    ] = None,
    requests: Annotated[int | None, typer.Option(help="Stop after this many requests.", rich_help_panel=SHAPE)] = None,
    duration: Annotated[str, typer.Option(help="Stop sending after this time: 30s, 5m.", rich_help_panel=SHAPE)] = "",
    until_decided: Annotated[
        bool, typer.Option("--until-decided", help="Stop as soon as every --slo is decided.", rich_help_panel=SHAPE)
    ] = False,
    warmup: Annotated[
        int, typer.Option(help="Requests before the clock starts; they count for nothing.", rich_help_panel=SHAPE)
    ] = 0,
    profile: Annotated[str, typer.Option(help="Several stages: smoke, sla, full or soak.", rich_help_panel=SHAPE)] = "",
    find_knee: Annotated[
        bool, typer.Option("--find-knee", help="Search the highest rate at which --slo holds.", rich_help_panel=SHAPE)
    ] = False,
    slo: o.Slo = "",
    timeout: Annotated[
        str, typer.Option(help="A request is given up after this time.", rich_help_panel=REQUEST)
    ] = "30s",
    timeout_headers: Annotated[str, typer.Option(help="… without response headers.", rich_help_panel=REQUEST)] = "",
    timeout_stall: Annotated[
        str, typer.Option(help="… without a byte in the middle of an answer.", rich_help_panel=REQUEST)
    ] = "",
    input_tokens: Annotated[
        str,
        typer.Option(
            help="Length of prompts: 128, uniform:64,256, normal:128,32, mix:64@9,2048@1, …", rich_help_panel=REQUEST
        ),
    ] = "128",
    output_tokens: Annotated[
        str, typer.Option(help="Length of answers asked for, written alike.", rich_help_panel=REQUEST)
    ] = "64",
    dataset: Annotated[
        Path | None,
        typer.Option(help="JSON Lines of prompts (prompt, text, messages or body).", rich_help_panel=REQUEST),
    ] = None,
    template: Annotated[
        Path | None,
        typer.Option(help="JSON body with {{prompt}}, {{max_tokens}}, {{model}}, {{index}}.", rich_help_panel=REQUEST),
    ] = None,
    keep_alive: Annotated[
        bool,
        typer.Option(
            "--keep-alive/--no-keep-alive", help="Reuse connections, or open one a request.", rich_help_panel=REQUEST
        ),
    ] = True,
    workers: Annotated[str, typer.Option(help="Processes that send: a number or auto.", rich_help_panel=SHAPE)] = "1",
    seed: Annotated[
        int | None,
        typer.Option(help="Seed of schedule and prompts; a new one each time if left out.", rich_help_panel=SHAPE),
    ] = None,
    limit_rate: Annotated[str, typer.Option(help="Refuse more than this rate.", rich_help_panel=SHAPE)] = "",
    limit_tokens: Annotated[str, typer.Option(help="Stop at this many tokens: 1M.", rich_help_panel=SHAPE)] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be sent, and send nothing.", rich_help_panel=SHAPE)
    ] = False,
    metrics_url: Annotated[
        str,
        typer.Option(
            help="The server's metrics page: read around each stage, to tell queue, prefill and decode apart.",
            rich_help_panel=REQUEST,
        ),
    ] = "",
    records: Annotated[
        Path | None,
        typer.Option(help="Keep every request and token arrival in this .npz file.", rich_help_panel=o.OUTPUT),
    ] = None,
    from_: Annotated[
        Path | None,
        typer.Option("--from", help="Compute everything again from a --records file.", rich_help_panel=o.OUTPUT),
    ] = None,
    header_env: o.HeaderEnv = None,
    api_key_env: o.ApiKeyEnv = "",
    ca: o.CaFile = "",
    insecure: o.Insecure = False,
    client_cert: o.ClientCert = "",
    client_key: o.ClientKey = "",
    yes: o.Yes = False,
    quiet: o.Quiet = False,
    no_progress: o.NoProgress = False,
    output: Annotated[
        list[str] | None,
        typer.Option("-o", "--output", help="terminal or json, with =PATH for a file.", rich_help_panel=o.OUTPUT),
    ] = None,
) -> None:
    """Put measured load on an endpoint and print latencies with their confidence intervals.

    Exit codes: 0 objectives met, or none given · 1 an objective is broken · 2 usage · 3 nothing succeeded, an objective
    stayed undecided, or the client was the limit · 130 interrupted (what was measured is written).
    """
    from inferaudit.cli.bench_run import Asked, run_bench

    values: dict[str, Any] = {**locals(), "from_": from_}
    raise typer.Exit(run_bench(Asked(**{name: values[name] for name in Asked.__dataclass_fields__})))
