"""What does measuring cost, and what does the tool say when it is busy? inferaudit beside aiperf and guidellm.

    python benchmarks/load_cost.py [--streams 100,400] [--tools aiperf,aiperf-usage,guidellm]

Every tool sends the same number of streamed requests (four a stream, 100 tokens each, 20 ms apart, first token after
200 ms) to a fresh ground-truth server, on all cores, as a user would run it. The two are installed from PyPI,
pinned, into throw-away environments under `.cache/tools` the first time. aiperf runs with its defaults, which tokenize
every answer, and once more told to believe the server's token counts. CPU counts the whole run and all children;
"steady" is less a run of two requests, which is start-up. Bound: CPU a token at most 1/20 of each other tool's in the
same conditions, steady as well as whole. Exit 1 when it breaks.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from load_common import ROOT, BenchmarkError, Cost, cores, fail, inferaudit, machine, pinned, table
from support import groundtruth

from inferaudit.latency import percentile

TOOLS = {"aiperf": "aiperf==0.13.0", "guidellm": "guidellm==0.8.1"}
CACHE = ROOT / ".cache" / "tools"
TOKENS, ROUNDS, SHARE = 100, 4, 20
TOKENIZER = """
import sys
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
words = ["<unk>", "<s>", "</s>", "word", *(f"w{i}" for i in range(2000))]
plain = Tokenizer(models.WordLevel({word: at for at, word in enumerate(words)}, unk_token="<unk>"))
plain.pre_tokenizer = pre_tokenizers.Whitespace()
PreTrainedTokenizerFast(
    tokenizer_object=plain, unk_token="<unk>", bos_token="<s>", eos_token="</s>"
).save_pretrained(sys.argv[1])
"""

Told = tuple[float | None, float | None]
"""TTFT p99 and ITL p99 in ms, as the tool reports them."""


@dataclass(frozen=True)
class Run:
    told: Told
    true: Told
    tokens: int
    tokens_per_s: float
    cost: Cost


def with_inferaudit(url: str, streams: int, requests: int, _: Path) -> tuple[Told, Cost]:
    flags: list[str | int] = ["--api", "openai-chat", "--stream", "--concurrency", streams, "--requests", requests]
    found, cost = inferaudit(url, *flags, "--output-tokens", TOKENS, "--workers", 1, cpus=None)
    return (found["ttft_ms"]["p99"], found["itl_ms"]["p99"]), cost


def with_aiperf(url: str, streams: int, requests: int, folder: Path, *flags: str) -> tuple[Told, Cost]:
    tool = installed("aiperf")
    line: list[str | Path] = [
        tool / "aiperf",
        "profile",
        "-m",
        "truth",
        "--url",
        url,
        "--endpoint-type",
        "chat",
        "--streaming",
    ]
    line += ["--concurrency", str(streams), "--request-count", str(requests), "--isl", "16", "--osl", str(TOKENS)]
    line += ["--tokenizer", str(CACHE / "tokenizer"), "--ui-type", "none", *flags]
    line += ["--no-server-metrics", "--no-gpu-telemetry", "--artifact-dir", str(folder)]
    cost = pinned(line, None)
    report = json.loads((folder / "profile_export_aiperf.json").read_text())
    # Its "inter_token_latency" is TPOT; the gaps between arrivals are its inter-chunk latency.
    return (report["time_to_first_token"]["p99"], report["inter_chunk_latency"]["p99"]), cost


def with_aiperf_usage(url: str, streams: int, requests: int, folder: Path) -> tuple[Told, Cost]:
    """Told to believe the server's usage, as inferaudit does, instead of tokenizing every answer."""
    return with_aiperf(url, streams, requests, folder, "--use-server-token-count")


def with_guidellm(url: str, streams: int, requests: int, folder: Path) -> tuple[Told, Cost]:
    tool = installed("guidellm")
    line: list[str | Path] = [tool / "guidellm", "run", "--backend", f"kind=openai_http,target={url},model=truth"]
    line += ["--profile", f"kind=concurrent,streams={streams}", "--constraint", f"kind=max_requests,count={requests}"]
    line += ["--tokenizer", f"kind=hf_auto,model={CACHE / 'tokenizer'}"]
    line += ["--data", f"kind=synthetic_text,prompt_tokens=16,output_tokens={TOKENS}"]
    line += ["--output", f"kind=json,path={folder / 'guidellm.json'}", "--disable-console"]
    cost = pinned(line, None)
    found = json.loads((folder / "guidellm.json").read_text())["benchmarks"][0]["metrics"]
    first, gaps = (found[name]["successful"] for name in ("time_to_first_token_ms", "inter_token_latency_ms"))
    return (first["percentiles"]["p99"], gaps["percentiles"]["p99"]), cost


RUNNERS: dict[str, Callable[[str, int, int, Path], tuple[Told, Cost]]] = {
    "inferaudit": with_inferaudit,
    "aiperf": with_aiperf,
    "aiperf-usage": with_aiperf_usage,
    "guidellm": with_guidellm,
}


def installed(tool: str) -> Path:
    """The tool's `bin` folder, in an environment of its own, with a tokenizer both can load without a network."""
    folder = CACHE / tool
    if not (folder / "bin" / tool).exists():
        print(f"installing {TOOLS[tool]} into {folder.relative_to(ROOT)}", file=sys.stderr)
        for line in (
            [sys.executable, "-m", "venv", str(folder)],
            [str(folder / "bin" / "pip"), "install", "--quiet", TOOLS[tool]],
        ):
            try:
                code = subprocess.run(line, check=False, timeout=1800).returncode
            except subprocess.TimeoutExpired:
                raise BenchmarkError(f"{TOOLS[tool]} was not installed within half an hour") from None
            if code:
                raise BenchmarkError(f"{TOOLS[tool]} could not be installed")
    if not (CACHE / "tokenizer" / "tokenizer.json").exists():
        pinned([folder / "bin" / "python", "-c", TOKENIZER, CACHE / "tokenizer"], None)
    return folder / "bin"


def measure(tool: str, streams: int, requests: int) -> Run:
    with (
        tempfile.TemporaryDirectory() as folder,
        groundtruth.start("stream", ttft_us=200_000, itl_us=20_000, tokens=TOKENS, cpu=int(cores(0))) as server,
    ):
        told, cost = RUNNERS[tool](server.url, streams, requests, Path(folder))
    truth = server.truth()
    done = truth.complete
    if len(done) < (requests if tool == "inferaudit" else 0.99 * requests):  # what others lose they need not pay for
        raise BenchmarkError(f"{tool}: {len(done)} of {requests} requests were answered")
    span = max(r.end for r in done) - min(r.arrival for r in done)
    first, gap = percentile(sorted(truth.ttft), 99), percentile(sorted(truth.itl), 99)
    assert first is not None
    assert gap is not None
    tokens = sum(len(r.tokens) for r in done)
    return Run(told, (first / 1e6, gap / 1e6), tokens, tokens * 1e9 / span, cost)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", default="100,400")
    parser.add_argument("--tools", default="aiperf,aiperf-usage,guidellm")
    options = parser.parse_args()
    where = machine()
    rows: list[list[str]] = []
    verdicts: list[tuple[bool, str]] = []
    try:
        tools = ["inferaudit", *options.tools.split(",")]
        startup = {tool: measure(tool, 1, 2).cost.cpu_s for tool in tools}
        for streams in map(int, options.streams.split(",")):
            ours: tuple[float, float] | None = None
            for tool in tools:
                run = measure(tool, streams, ROUNDS * streams)
                whole = run.cost.cpu_s / run.tokens * 1e6
                steady = max(run.cost.cpu_s - startup[tool], 0.01) / run.tokens * 1e6  # 10 ms: the clock's tick
                pairs = [f"{t:.1f} / {r:.1f}" for t, r in zip(run.told, run.true, strict=True)]
                cpu = [f"{run.cost.cpu_s:.1f}", f"{whole:.1f}", f"{steady:.1f}", f"{run.cost.peak_mb:.0f}"]
                rows.append([f"{streams}", tool, *pairs, f"{run.tokens_per_s:,.0f}", *cpu])
                if ours is None:
                    ours = whole, steady
                else:
                    ratios = whole / ours[0], steady / ours[1]
                    what = f"{streams} streams: {tool} takes {ratios[0]:.0f}× the CPU a token, {ratios[1]:.0f}× steady"
                    verdicts.append((min(ratios) >= SHARE, what))
    except (BenchmarkError, groundtruth.NoGroundTruthError) as error:
        return fail(error)
    header = "streams,tool,TTFT p99 told / true ms,ITL p99 told / true ms,tokens/s,CPU s,CPU µs/token,steady,MB"
    print(f"{where}\n\n{table(header.split(','), rows)}\n")
    for met, what in verdicts:
        print(f"- {'PASS' if met else 'FAIL'}: {what}")
    return 0 if all(met for met, _ in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
