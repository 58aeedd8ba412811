"""The runtime registry: every file loads, real servers and containers are recognised, settings are read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.replay import SERVERS

from inferaudit.errors import ResourceError
from inferaudit.runtime_recognition import HttpAnswer, json_values, next_probe, recognise, recognise_container
from inferaudit.runtime_registry import decode_runtime, runtime, runtimes
from inferaudit.runtime_settings import command_words, read_settings

FOLDER = Path(__file__).parent.parent / "inferaudit" / "runtimes"
EXPECTED = {
    "vllm sglang tgi tei triton tensorrt-llm nim ollama llamacpp torchserve tf-serving ray-serve kserve mlserver "
    "bentoml transformers-serve openai-generic oip-generic custom"
}


def answer(path: str, raw: bytes) -> HttpAnswer:
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
    return HttpAnswer(path, int(first.split()[1]), headers, body.decode("utf-8", "replace"))


def asked(server: dict[str, object], model: str = "") -> list[HttpAnswer]:
    answers: list[HttpAnswer] = []
    while (path := next_probe(answers)) is not None:
        raw = server.get(f"GET {path}", b"HTTP/1.1 404 Not Found\r\n\r\n")
        assert isinstance(raw, bytes)
        answers.append(answer(path, raw))
    return answers


def test_every_runtime_has_its_file_and_no_more() -> None:
    assert set(runtimes()) == set(" ".join(EXPECTED).split()) == {p.stem for p in FOLDER.glob("*.yaml")}


@pytest.mark.parametrize("name", sorted(runtimes()))
def test_a_file_says_what_others_build_on(name: str) -> None:
    entry = runtime(name)
    assert entry.name == name
    assert entry.life_cycle.source.startswith("https://")
    assert entry.health, "a health route"
    assert entry.apis, "an API"
    assert entry.fit.suits
    if not entry.generic:
        assert entry.recognise.http
        assert entry.recognise.images or entry.recognise.commands
        assert entry.settings
    if entry.kind == "llm" and not entry.generic and entry.metrics_default != "none":
        assert {"waiting", "running"} <= set(entry.metrics)
    for names in entry.metrics.values():
        assert names
        for metric in names:
            assert metric.unit, f"{metric.name} states no unit"


@pytest.mark.parametrize("name", sorted(set(SERVERS) - {"unknown"}))
def test_a_real_server_is_recognised_with_few_requests(name: str) -> None:
    answers = asked(SERVERS[name])
    said = recognise(answers)
    assert said.name == name == said.profile
    assert 0.6 <= said.confidence <= 1
    assert said.evidence
    assert len(answers) <= 8
    for source in runtime(name).recognise.version:
        assert said.version, f"{source} gives no version"


def test_versions_are_read_where_the_server_states_them() -> None:
    versions = {name: recognise(asked(server)).version for name, server in SERVERS.items()}
    assert versions["vllm"] == "0.32.0"
    assert versions["triton"] == "2.51.0"
    assert versions["ollama"] == "0.17.4"
    assert versions["mlserver"] == "1.7.1"
    assert versions["kserve"] == "0.21.0"
    assert versions["torchserve"] is None


def test_a_custom_service_is_unknown_and_costs_at_most_eight_requests() -> None:
    answers = asked(SERVERS["unknown"])
    assert (recognise(answers).name, recognise(answers).profile) == ("unknown", "custom")
    assert len(answers) <= 8


def test_tf_serving_is_told_by_its_refusals_and_then_by_its_model() -> None:
    refused = '{ "error": "Malformed request: GET %s" }'
    status = '{"model_version_status": [{"version": "3", "state": "AVAILABLE"}, {"version": "2", "state": "END"}]}'
    answers: list[HttpAnswer] = []
    while (path := next_probe(answers)) is not None:
        known = path == "/v1/models/{model}"
        answers.append(HttpAnswer(path, 200 if known else 400, {}, status if known else refused % path))
    said = recognise(answers)
    assert (said.name, said.profile) == ("tf-serving", "tf-serving")
    assert said.confidence > 0.9
    assert len(answers) <= 3


def test_an_openai_server_that_names_nobody_is_unknown_with_generic_knowledge() -> None:
    body = '{"object":"list","data":[{"id":"tiny","owned_by":"x"}]}'
    said = recognise([HttpAnswer("/v1/models", 200, {}, body)])
    assert (said.name, said.profile) == ("unknown", "openai-generic")


def test_two_equally_likely_products_are_none() -> None:
    body = '{"data":[{"owned_by":"vllm"},{"owned_by":"sglang"}]}'
    said = recognise([HttpAnswer("/v1/models", 200, {}, body)])
    assert said.name == "unknown"
    assert len(said.evidence) == 2


def test_nim_is_named_before_the_engine_it_hides() -> None:
    answers = [
        HttpAnswer("/v1/models", 200, {}, '{"data":[{"owned_by":"vllm","max_model_len":1}]}'),
        HttpAnswer("/metrics", 404, {}, ""),
        HttpAnswer("/version", 200, {}, '{"version":"0.9"}'),
    ]
    assert next_probe(answers) in ("/v1/health/ready", "/v2", "/-/healthz")
    answers.append(HttpAnswer("/v1/health/ready", 200, {}, '{"object":"health.response","status":"ready"}'))
    said = recognise(answers)
    assert (said.name, said.engine) == ("nim", "vllm")


def test_nothing_is_recognised_from_nothing() -> None:
    said = recognise([])
    assert (said.name, said.confidence, said.evidence) == ("unknown", 0.0, [])


@given(st.lists(st.tuples(st.sampled_from(["/", "/v1/models", "/v2", "/info"]), st.text(max_size=60))))
def test_no_answer_breaks_the_recognition(pairs: list[tuple[str, str]]) -> None:
    said = recognise([HttpAnswer(path, 200, {"server": body}, body) for path, body in pairs])
    assert 0 <= said.confidence <= 1


@pytest.mark.parametrize(
    ("image", "command", "name", "version"),
    [
        ("vllm/vllm-openai:v0.11.0", [], "vllm", "0.11.0"),
        ("vllm/vllm-openai:latest", ["--model", "m"], "vllm", None),
        ("reg.example/own:1", ["vllm", "serve", "m"], "vllm", None),
        ("reg.example/own:1", ["python", "-m", "vllm.entrypoints.openai.api_server"], "vllm", None),
        ("lmsysorg/sglang:v0.5.2-cu126", [], "sglang", "0.5.2"),
        ("reg.example/own:1", ["python3", "-m", "sglang.launch_server"], "sglang", None),
        ("ghcr.io/huggingface/text-generation-inference:3.3.6", [], "tgi", "3.3.6"),
        ("ghcr.io/huggingface/text-embeddings-inference:1.8", [], "tei", "1.8"),
        ("nvcr.io/nvidia/tritonserver:25.08-py3", [], "triton", "25.08"),
        ("nvcr.io/nim/meta/llama-3.1-8b-instruct:1.8", [], "nim", "1.8"),
        ("nvcr.io/nvidia/tensorrt-llm/release:1.1", ["trtllm-serve", "m"], "tensorrt-llm", "1.1"),
        ("ollama/ollama", [], "ollama", None),
        ("ghcr.io/ggml-org/llama.cpp:server-cuda", [], "llamacpp", None),
        ("pytorch/torchserve:0.12.0-gpu", [], "torchserve", "0.12.0"),
        ("tensorflow/serving:2.18.0", [], "tf-serving", "2.18.0"),
        ("rayproject/ray-llm:2.46.0", ["serve", "run", "app"], "ray-serve", "2.46.0"),
        ("kserve/huggingfaceserver:v0.15.0", [], "kserve", "0.15.0"),
        ("docker.io/seldonio/mlserver:1.7.1", [], "mlserver", "1.7.1"),
        ("reg.example/own@sha256:" + "0" * 64, ["bentoml", "serve", "service:App"], "bentoml", None),
        ("reg.example/own:1", ["transformers", "serve"], "transformers-serve", None),
        ("nginx:1.27", [], "unknown", None),
        ("reg.example/own:1", ["uvicorn", "app:app"], "unknown", None),
        ("", [], "unknown", None),
    ],
)
def test_containers_are_recognised(image: str, command: list[str], name: str, version: str | None) -> None:
    said = recognise_container(image, command)
    assert (said.name, said.version) == (name, version)


def test_an_unknown_web_app_has_the_custom_profile() -> None:
    assert recognise_container("reg.example/own:1", ["uvicorn", "app:app"]).profile == "custom"


def test_environment_names_support_but_do_not_decide() -> None:
    assert recognise_container("reg.example/own:1", [], [], ["VLLM_API_KEY"]).name == "unknown"


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"title": "x"}, "missing required field"),
        ({"titel": "x"}, "unknown field"),
    ],
)
def test_a_bad_file_is_named(document: dict[str, object], words: str) -> None:
    with pytest.raises(ResourceError, match=f"runtimes/bad.yaml.*{words}"):
        decode_runtime("bad", document)


def test_a_bad_pattern_weight_or_empty_signal_is_named() -> None:
    base = {
        "title": "x", "kind": "llm", "evidence": "documented", "versions": [],
        "life_cycle": {"status": "maintained", "source": "https://x", "as_of": "2026-01-01"}, "fit": {"suits": "x"},
    }  # fmt: skip
    for recognise_part, words in (
        ({"images": ["("]}, "does not compile"),
        ({"http": [{"get": "/", "says": "x", "weight": 1.5, "text": "x"}]}, "weight"),
        ({"http": [{"get": "/", "says": "x", "weight": 0.5}]}, "no condition"),
    ):
        with pytest.raises(ResourceError, match=words):
            decode_runtime("bad", {**base, "recognise": recognise_part})


def test_json_values_steps_into_lists_and_forgives_everything_else() -> None:
    assert json_values('{"data":[{"id":"a"},{"id":"b"},{}]}', "data.*.id") == ["a", "b"]
    assert json_values("no json", "a") == json_values("[1]", "a") == json_values("{}", "a.*.b") == []
    assert json_values("[" * 100_000, "a") == []


@pytest.mark.parametrize(
    "words",
    [
        ["vllm", "serve", "meta/m", "--max-num-seqs", "64", "--dtype=bfloat16"],
        ["vllm", "serve", "meta/m", "--max_num_seqs", "64", "--dtype", "bfloat16"],
        ["bash", "-c", "exec vllm serve meta/m \\\n  --max-num-seqs=64 --dtype 'bfloat16'"],
        ["/bin/sh", "-ec", "set -x; vllm serve meta/m --max-num-seqs 64 --dtype bfloat16"],
    ],
)
def test_flags_are_read_in_every_spelling(words: list[str]) -> None:
    settings = read_settings(runtime("vllm"), words)
    assert settings["batch_size"].value == "64"
    assert settings["precision"].value == "bfloat16"
    assert settings["model"].value == "meta/m"
    assert "auth" not in settings


def test_settings_from_the_environment_and_what_wins() -> None:
    tgi = runtime("tgi")
    assert read_settings(tgi, [], env={"QUANTIZE": "awq"})["quantization"].source == "QUANTIZE"
    both = read_settings(tgi, ["--quantize", "gptq"], env={"QUANTIZE": "awq"})
    assert both["quantization"].value == "gptq"
    carried = read_settings(runtime("vllm"), [], env={"VLLM_ADDITIONAL_ARGS": "--max-num-seqs 8"})
    assert carried["batch_size"].value == "8"


def test_switches_and_their_negations() -> None:
    vllm = runtime("vllm")
    assert read_settings(vllm, ["--no-enable-prefix-caching"])["prefix_cache"].off
    assert not read_settings(vllm, ["--enable-prefix-caching", "--port", "1"])["prefix_cache"].off
    assert read_settings(vllm, ["--disable-log-stats"])["metrics"].off
    assert read_settings(runtime("llamacpp"), ["-np", "-1"])["batch_size"].value == "-1"
    assert read_settings(runtime("llamacpp"), ["--parallel", "4", "--parallel", "8"])["batch_size"].value == "8"


@given(st.lists(st.text(max_size=20), max_size=8))
def test_no_command_line_breaks_the_reader(words: list[str]) -> None:
    for name in ("vllm", "llamacpp"):
        read_settings(runtime(name), words)


def test_a_script_with_a_broken_quote_is_still_looked_into() -> None:
    assert command_words(["sh", "-c", "a 'b"]) == ["sh", "a", "'b"]


def test_the_page_of_runtimes_is_in_step() -> None:
    script = FOLDER.parent.parent / "docs" / "runtimes_page.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
