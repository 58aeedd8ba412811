"""``inferaudit capacity``: will this model fit these GPUs, and for how many at once?"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from inferaudit.cli.figures import FiguresOutput

app = typer.Typer(add_completion=False)


@app.command()
def capacity(
    model: Annotated[
        str, typer.Option("--model", help="A size (70B), a name, a config.json, a folder or a GGUF file.")
    ],
    gpu: Annotated[str, typer.Option("--gpu", help="GPU by name, for example H100-80GB.")] = "H100-80GB",
    quant: Annotated[
        str | None, typer.Option("--quant", help="Weight format: fp16, fp8, int8, awq-4bit, …; the file's own without.")
    ] = None,
    kv_dtype: Annotated[str, typer.Option("--kv-dtype", help="Format of the KV cache: fp16 or fp8.")] = "fp16",
    context: Annotated[
        str,
        typer.Option(
            "--context",
            help="Tokens of context a request may hold: 4096, 128k. k is 1 024 and M its square, as in model cards.",
        ),
    ] = "4096",
    concurrency: Annotated[
        str, typer.Option("--concurrency", help="Requests in flight at once: 8, 1k (here k is 1 000).")
    ] = "1",
    gpus: Annotated[
        int | None, typer.Option("--gpus", help="GPUs there are; the smallest count that serves, without.")
    ] = None,
    memory_fraction: Annotated[
        float, typer.Option("--memory-fraction", help="Share of a GPU's memory that the engine takes.")
    ] = 0.9,
    output: FiguresOutput = None,
) -> None:
    """Weights + KV cache + overhead against the memory of real GPUs, every term with its formula.

    Example: inferaudit capacity --model 70B --quant fp16 --context 4096 --concurrency 8 --gpu H100-80GB
    """
    from inferaudit.capacity import decode_tokens_per_second_ceiling, plan_capacity
    from inferaudit.cli.figures import deliver_figures
    from inferaudit.gpu_table import named_gpu
    from inferaudit.model_names import load_model_shape
    from inferaudit.units import flag_value, parse_count, parse_tokens

    tokens = flag_value("--context", context, parse_tokens)
    requests = flag_value("--concurrency", concurrency, parse_count)
    shape, spec = load_model_shape(model), named_gpu(gpu)
    plan = plan_capacity(
        shape,
        spec,
        quant=quant,
        kv_dtype=kv_dtype,
        context=tokens,
        concurrency=requests,
        gpus=gpus,
        memory_fraction=memory_fraction,
    )
    batch = max(1, min(requests, plan.max_concurrency or 1))
    ceiling = decode_tokens_per_second_ceiling(
        shape, spec, quant=quant, gpus=plan.planned_gpus, batch=batch, context=tokens, kv_dtype=kv_dtype
    )
    f = plan.formulas
    needed = "no count of this GPU serves it" if plan.gpus is None else f"{plan.gpus} × {plan.gpu}"
    parallel = "" if plan.tensor_parallel is None else f" (tensor parallel {plan.tensor_parallel})"
    lines = [
        ("asked for", f"{requests:,} request{'s' * (requests != 1)} at once of {tokens:,} tokens{_binary(context)}"),
        ("weights", f"{plan.weights_bytes / 1e9:.1f} GB   {f.get('weights_bytes', '')}"),
        ("KV cache a token", f"{plan.kv_bytes_per_token:,} B   {f.get('kv_bytes_per_token', '')}"),
        ("KV cache", f"{plan.kv_bytes / 1e9:.1f} GB   {f.get('kv_bytes', '')}"),
        ("overhead", f"{plan.overhead_bytes / 1e9:.1f} GB   {f.get('overhead_bytes', '')}"),
        ("GPUs needed", needed + parallel),
        (f"on {plan.planned_gpus} GPU{'s' * (plan.planned_gpus != 1)}", "fits" if plan.fits else "does not fit"),
        ("requests at once", f"{plan.max_concurrency:,} of {tokens:,} tokens"),
        ("KV tokens left", f"{plan.kv_tokens_left:,}"),
        (
            "decode ceiling",
            f"{ceiling:,.0f} tokens/s at batch {batch} (roofline; a bound, no promise)"
            if ceiling
            else "not known for this GPU",
        ),
        *(("assumed", note) for note in plan.assumptions),
    ]
    deliver_figures(output, {**asdict(plan), "decode_tokens_per_second_ceiling": ceiling}, lines)


def _binary(context: str) -> str:
    """What a suffix was taken for: engines and cards differ."""
    return f" ({context.strip()}: k is 1 024)" if context.strip()[-1:].lower() in ("k", "m") else ""
