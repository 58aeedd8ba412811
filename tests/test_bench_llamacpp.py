"""The engine against a real llama.cpp server: every API, streamed and not, and the server's own counts."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.llamacpp import start_llamacpp

from inferaudit.bench.runner import LoadOutcome, run_load
from inferaudit.benchmark import benchmark_section
from inferaudit.plan import HttpAuth, LoadPlan, StagePlan


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with start_llamacpp(tmp_path_factory.mktemp("llamacpp")) as running:
        yield running


def load(url: str, api: str, stream: bool | None = None, **changes: object) -> LoadOutcome:
    stage = StagePlan("sustained", concurrency=4, requests=20)
    fields = {"model": "tiny", "input_tokens": "12", "output_tokens": "9", "stages": (stage,), "stream": stream}
    return run_load(LoadPlan(url=url, api=api, profile="test", **{**fields, **changes}))  # type: ignore[arg-type]


def counters(url: str) -> tuple[int, int]:
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:  # noqa: S310  # our own server
        text = answer.read().decode()
    found = [
        re.search(rf"^llamacpp:{name} (\d+)", text, re.M) for name in ("prompt_tokens_total", "tokens_predicted_total")
    ]
    return int(found[0][1]), int(found[1][1])  # type: ignore[index]


@pytest.mark.parametrize("base", ["", "/v1", "/v1/"])
@pytest.mark.parametrize(
    ("api", "stream"),
    [
        ("openai-chat", True),
        ("openai-chat", False),
        ("openai-completions", True),
        ("openai-completions", False),
        ("llamacpp", True),
        ("llamacpp", False),
    ],
)
def test_tokens_are_those_of_the_server(url: str, api: str, stream: bool, base: str) -> None:
    before = counters(url)
    outcome = load(url + base, api, stream)
    after = counters(url)
    section = benchmark_section(outcome.result, outcome.records, {"ttft_p99": 60_000.0})
    assert section["errors"] == {}
    assert section["requests"] == {"scheduled": 20, "sent": 20, "ok": 20, "failed": 0, "cancelled": 0}
    assert section["tokens"]["source"] == "usage"
    assert section["tokens"]["output"] == after[1] - before[1] == 20 * 9
    assert section["tokens"]["input"] == after[0] - before[0] + (section["tokens"]["cached"] or 0)
    assert section["latency_ms"]["count"] == 20
    if stream:
        assert section["ttft_ms"]["count"] == section["tpot_ms"]["count"] == 20
        assert section["itl_ms"]["count"] > 0
        assert section["goodput"] == pytest.approx(section["request_rate"])
    else:
        assert section["ttft_ms"]["p50"] is section["itl_ms"]["p99"] is section["tpot_ms"]["mean"] is None
        assert section["goodput"] == 0


def test_prompts_are_not_answered_from_a_cache(url: str) -> None:
    unique = load(url, "llamacpp", stream=False, input_tokens="40")
    tokens = benchmark_section(unique.result, unique.records, {})["tokens"]
    assert tokens["cached"] < tokens["input"] / 20  # the start of text, and now and then the same first letters
    again = load(url, "llamacpp", False, input_tokens="40",
                 stages=(StagePlan("sustained", concurrency=1, requests=8, repeat_prompts=True),))  # fmt: skip
    repeated = benchmark_section(again.result, again.records, {})["tokens"]
    assert repeated["cached"] > repeated["input"] / 2


def test_embeddings(tmp_path: Path) -> None:
    with start_llamacpp(tmp_path, embedding=True) as url:
        outcome = load(url, "openai-embeddings")
    section = benchmark_section(outcome.result, outcome.records, {})
    assert section["requests"]["ok"] == 20
    assert section["tokens"]["input"] > 20 * 12
    assert section["tokens"]["output"] is None
    assert section["token_rate"] is None


def test_the_key_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEY", "invented-key")
    with start_llamacpp(tmp_path, api_key="invented-key") as url:
        allowed = load(url, "openai-chat", False, auth=HttpAuth(api_key_env="TEST_KEY"))
        denied = load(url, "openai-chat", False)
    assert benchmark_section(allowed.result, allowed.records, {})["requests"]["ok"] == 20
    assert benchmark_section(denied.result, denied.records, {})["errors"]["http_4xx"]["count"] > 0
    assert "invented-key" not in repr(allowed.result)


def test_a_template_makes_any_json_api_work(url: str, tmp_path: Path) -> None:
    template = tmp_path / "body.json"
    template.write_text('{"prompt": "{{prompt}} \\"{{index}}\\"", "n_predict": {{max_tokens}}, "model": "{{model}}"}')
    outcome = load(f"{url}/completion", "custom", template=str(template))
    assert benchmark_section(outcome.result, outcome.records, {})["requests"]["ok"] == 20
