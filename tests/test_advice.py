"""Advice, decisions and governance: what the figures say, where they are missing, and that nothing is made up."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferaudit.advice import advice_section
from inferaudit.advice_capacity import pulled_s
from inferaudit.decisions import QUESTIONS, decisions_section, governance_section
from inferaudit.facts.endpoint import RuntimeFact, ServedModel
from inferaudit.model import Fact, Snapshot, Target
from inferaudit.policy import Policy

DAY = "2026-11-20T12:00:00Z"
VLLM = RuntimeFact(
    name="vllm", title="vLLM", version="0.33.0", confidence=1.0, evidence=[], profile="vllm", kind="llm",
    batching="continuous", suits="high concurrency",
)  # fmt: skip
FLASK = RuntimeFact(
    name="custom", title="Flask", version=None, confidence=0.9, evidence=[], profile="custom", batching="none",
    suits="small models at low rates", unfit="each request holds the GPU alone",
)  # fmt: skip
OLD = RuntimeFact(
    name="torchserve", title="TorchServe", version=None, confidence=1.0, evidence=[], profile="torchserve",
    batching="dynamic", unfit="new services", production=False,
)  # fmt: skip


def advise(
    id: str,
    facts: dict[str, Any] | None = None,
    policy: dict[str, Any] | None = None,
    target: dict[str, Any] | None = None,
    benchmark: dict[str, Any] | None = None,
) -> dict[str, Any]:
    snapshot = Snapshot(
        collected_at=DAY, target=Target(), facts={k: Fact(v) for k, v in (facts or {}).items()}, tool_version="0"
    )
    rows = advice_section(snapshot, Policy.model_validate(policy or {}), target or {}, benchmark)
    json.dumps(rows)
    return next(row for row in rows if row["id"] == id)


def stage(in_flight: float, rate: float) -> dict[str, Any]:
    return {"measured": True, "in_flight": in_flight, "request_rate": rate}


def pod(ready_after_s: int) -> dict[str, Any]:
    ready = f"2026-11-20T10:{ready_after_s // 60:02d}:{ready_after_s % 60:02d}Z"
    return {
        "metadata": {"name": "chat-1"},
        "status": {
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": ready}],
            "containerStatuses": [
                {"name": "server", "restartCount": 0, "state": {"running": {"startedAt": "2026-11-20T10:00:00Z"}}}
            ],
        },
    }


SERVER = {
    "name": "server", "subject": "deployment/a/chat/server", "serving": True, "image": "vllm/vllm-openai:v0.33.0",
    "args": ["--model", "meta-llama/Llama-3.1-70B-Instruct"],
}  # fmt: skip


def test_without_facts_everything_is_unknown_and_says_what_it_takes() -> None:
    snapshot = Snapshot(collected_at=DAY, target=Target(), facts={}, tool_version="0")
    rows = advice_section(snapshot, Policy(), {}, None)
    assert len(rows) == 6
    assert all(row["status"] == "unknown" and row["missing"] and row["basis"] == [] for row in rows)
    rows = decisions_section(Policy(), None, {}, {})
    assert [row["question"] for row in rows] == list(QUESTIONS.values())
    assert all(row["status"] == "unknown" and row["answer"] is None and row["source"] is None for row in rows)
    assert all(row["missing"] for row in rows)
    assert governance_section(Policy(), DAY) == dict.fromkeys(("kpis", "components", "priorities", "risks", "stages"))


@pytest.mark.parametrize(
    ("runtime", "models", "in_flight", "status", "said"),
    [
        (VLLM, 1, 20.0, "keep", "suits high concurrency"),
        (VLLM, 2, 20.0, "change", "Triton"),
        (FLASK, 1, 8.0, "change", "holds the GPU alone"),
        (FLASK, 1, 1.0, "keep", "low rates"),
        (FLASK, 1, None, "unknown", "does not batch"),
        (OLD, 1, 1.0, "change", "not made for production"),
    ],
)
def test_runtime(runtime: RuntimeFact, models: int, in_flight: float | None, status: str, said: str) -> None:
    facts = {"endpoint.runtime": runtime, "endpoint.models": [ServedModel(id=f"m{i}") for i in range(models)]}
    load = {"stages": [stage(in_flight, 10)]} if in_flight is not None else None
    row = advise("runtime", facts, benchmark=load)
    assert row["status"] == status
    assert said in row["advice"]


def test_adapters_and_aliases_are_not_several_models() -> None:
    models = [
        ServedModel(id="chat", root="m"),
        ServedModel(id="alias", root="m"),
        ServedModel(id="lora", parent="chat"),
    ]
    assert advise("runtime", {"endpoint.runtime": VLLM, "endpoint.models": models})["status"] == "keep"


def test_the_runtime_is_known_from_the_manifest_too() -> None:
    row = advise("runtime", {"workload.containers": [SERVER]})
    assert (row["status"], row["basis"][0]["value"]) == ("keep", "vLLM")


KNEE = {"knee": {"rate": 20.0, "probes": [{"achieved": 19.5}, {"achieved": 25.0}, {"achieved": None}]}}


@pytest.mark.parametrize(
    ("slo", "benchmark", "status", "said"),
    [
        ({"ttft_p99": "500ms"}, KNEE, "keep", "80% of one in real time"),
        ({"e2e_p99": "120s"}, KNEE, "change", "25 instead of 20 requests/s"),
        ({"e2e_p99": "120s"}, None, "change", "not known: no knee"),
        ({"error_rate": "1%"}, KNEE, "unknown", "no objective"),
    ],
)
def test_batch_or_real_time(slo: dict[str, str], benchmark: Any, status: str, said: str) -> None:
    row = advise("batch-or-real-time", policy={"slo": slo}, benchmark=benchmark)
    assert row["status"] == status
    assert said in row["advice"]


def budget(connect_ms: float) -> dict[str, Any]:
    return {"budget": [{"part": "connect_tls", "p50_ms": connect_ms}]}


@pytest.mark.parametrize(
    ("target", "benchmark", "status", "said"),
    [
        (
            {"api": "openai-chat"},
            {"stream": True, "latency_ms": {"p50": 2000.0}, "ttft_ms": {"p50": 150.0}},
            "keep",
            "first token after 150 ms",
        ),
        ({"api": "openai-chat"}, {"stream": False, "latency_ms": {"p50": 2000.0}}, "change", "can stream"),
        ({"api": "openai-chat"}, {"stream": False, "latency_ms": {"p50": 300.0}}, "keep", "plain HTTP"),
        (
            {"api": "oip-v2"},
            {
                "latency_ms": {"p50": 10.0},
                "series": budget(10),
                "client": {"connections_opened": 90},
                "requests": {"sent": 100},
            },
            "change",
            "gRPC",
        ),
        (
            {"api": "oip-v2"},
            {
                "latency_ms": {"p50": 10.0},
                "series": budget(10),
                "client": {"connections_opened": 1},
                "requests": {"sent": 100},
            },
            "keep",
            "no more than that",
        ),
        ({"api": "oip-v2"}, {"latency_ms": {"p50": 10.0}}, "unknown", "connecting"),
    ],
)
def test_transport(target: dict[str, Any], benchmark: dict[str, Any], status: str, said: str) -> None:
    row = advise("transport", target=target, benchmark=benchmark)
    assert row["status"] == status
    assert said in row["advice"]


@pytest.mark.parametrize(
    ("stages", "status", "said"),
    [
        ([stage(1, 5), stage(8, 30)], "keep", "6-fold"),
        ([stage(1, 5), stage(8, 5.2)], "change", "nothing is served together"),
        ([stage(8, 30)], "unknown", "several concurrencies"),
        ([stage(8, 30), stage(9, 31)], "unknown", "several concurrencies"),
        ([stage(1, 5), {**stage(8, 30), "measured": False}], "unknown", "several concurrencies"),
        # Without a count in the report, Little's law gives it: 5/s × 200 ms = 1, 30/s × 400 ms = 12.
        (
            [{"request_rate": 5, "latency_ms": {"mean": 200}}, {"request_rate": 30, "latency_ms": {"mean": 400}}],
            "keep",
            "From 1 to 12",
        ),
    ],
)
def test_batching(stages: list[dict[str, Any]], status: str, said: str) -> None:
    row = advise("batching", benchmark={"stages": stages})
    assert row["status"] == status
    assert said in row["advice"]


def test_batching_says_what_is_configured() -> None:
    container = {**SERVER, "args": ["--max-num-seqs=64"]}
    row = advise("batching", {"workload.containers": [container]}, benchmark={"stages": [stage(1, 5), stage(8, 30)]})
    assert {"configured batch": 64.0}.items() <= {f["name"]: f["value"] for f in row["basis"]}.items()


PULL = {"message": 'Successfully pulled image "x" in 4m10.5s (4m11s including waiting). Image size: 1 bytes.'}


@pytest.mark.parametrize(
    ("facts", "status", "said"),
    [
        ({"workload.pods": [pod(30)]}, "keep", "ready 30 s after"),
        ({"workload.pods": [pod(180)]}, "change", "What the pull adds was not seen"),
        ({"workload.pods": [pod(30)], "workload.events": [PULL]}, "change", "The pull is 89% of it"),
        ({"workload.pods": [pod(600)], "workload.events": [PULL]}, "change", "Loading is 71% of it"),
        ({"workload.pods": []}, "unknown", "no start"),
    ],
)
def test_cold_start(facts: dict[str, Any], status: str, said: str) -> None:
    row = advise("cold-start", {"workload.containers": [SERVER], **facts}, benchmark={"request_rate": 10.0})
    assert row["status"] == status
    assert said in row["advice"]


def test_scaling_to_zero_makes_a_cold_start_everybodys() -> None:
    scaled = {"kind": "ScaledObject", "metadata": {"name": "chat", "namespace": "a"}, "spec": {"minReplicaCount": 0}}
    facts = {"workload.containers": [SERVER], "workload.pods": [pod(180)], "service.autoscalers": [scaled]}
    row = advise("cold-start", facts, benchmark={"request_rate": 10.0})
    assert "1,800 requests come in that time" in row["advice"]
    assert "scales to zero" in row["advice"]


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ('Successfully pulled image "a:b" in 1h2m3.5s', 3723.5),
        ('Successfully pulled image "a:b" in 850ms (850ms including waiting)', 0.85),
        ("Pulling image", None),
    ],
)
def test_the_kubelets_durations(message: str, seconds: float | None) -> None:
    assert pulled_s([{"message": message}]) == (None if seconds is None else pytest.approx(seconds))


H100 = {"gpus": [{"product": "NVIDIA H100 80GB HBM3", "count": 4, "nodes": ["a"]}]}


def test_a_smaller_format_that_takes_fewer_gpus_pays() -> None:
    row = advise("quantisation", target={**H100, "model": "meta-llama/Llama-3.1-70B-Instruct"})
    gpus = {f["name"]: f["value"] for f in row["basis"]}
    assert row["status"] == "change"
    assert gpus["GPUs for fp16"] > gpus["GPUs for awq-4bit"] >= 1
    assert "at most 3 %" in row["advice"] or "golden set" in row["advice"]


@pytest.mark.parametrize(
    ("target", "facts", "status", "said"),
    [
        ({**H100, "model": "meta-llama/Llama-3.1-8B-Instruct"}, {}, "keep", "no smaller format"),
        ({**H100, "model": "org/chat"}, {}, "unknown", "states no size"),
        ({"model": "meta-llama/Llama-3.1-8B-Instruct"}, {}, "unknown", "GPU is not known"),
        (H100, {}, "unknown", "model is not known"),
        ({**H100, "model": "org/Llama-3.1-70B-Instruct-AWQ"}, {}, "keep", "awq already"),
        (
            {**H100, "model": "org/Llama-3.1-70B-Instruct"},
            {"workload.containers": [{**SERVER, "args": ["--quantization=fp8"]}]},
            "keep",
            "fp8 already",
        ),
    ],
)
def test_quantisation(target: dict[str, Any], facts: dict[str, Any], status: str, said: str) -> None:
    row = advise("quantisation", facts, target=target)
    assert row["status"] == status
    assert said in row["advice"]


def test_fp8_is_offered_where_the_gpu_computes_in_it() -> None:
    for product, has in (("NVIDIA H100 80GB HBM3", True), ("NVIDIA A100-SXM4-80GB", False)):
        target = {"gpus": [{"product": product, "count": 1, "nodes": []}], "model": "m-70B"}
        names = {f["name"] for f in advise("quantisation", target=target)["basis"]}
        assert ("GPUs for fp8" in names) is has


def answer(id: str, policy: dict[str, Any] | None = None, **sections: Any) -> dict[str, Any]:
    rows = decisions_section(
        Policy.model_validate(policy or {}),
        sections.get("benchmark"),
        sections.get("cost") or {},
        sections.get("sla") or {},
    )
    return next(row for row in rows if row["id"] == id)


def test_facts_answer_before_the_policy() -> None:
    parts = [{"part": "connect", "p50_ms": 900.0}, {"part": "wait", "p50_ms": 30.0}, {"part": "stream", "p50_ms": 70.0}]
    row = answer("value", {"components": {"batching": {"value": "most"}}}, benchmark={"series": {"budget": parts}})
    assert (row["source"], row["status"]) == ("facts", "answered")
    assert "Decoding takes 70%" in row["answer"]


def test_spikes_and_idle_gpus() -> None:
    series = {
        "timeline": [
            {"t_s": 1.0, "p99_ms": 10.0},
            {"t_s": 2.0, "p99_ms": 10.0},
            {"t_s": 3.0, "p99_ms": 50.0, "stage": "burst"},
        ],
        "gpu": [
            {"t_s": 1.0, "value": [{"utilization_gpu_percent": 20}, {"utilization_gpu_percent": None}]},
            {"t_s": 2.0, "value": [{"utilization_gpu_percent": 80}]},
        ],
    }
    row = answer("spikes", benchmark={"series": series})
    assert "3 s into the load (stage burst) at 50 ms, 5 times the usual" in row["answer"]
    assert "busy 50 % of the time under load, 20 % at the idlest" in row["answer"]


def test_a_warm_up_is_no_spike() -> None:
    timeline = [{"t_s": 0.0, "p99_ms": 900.0, "stage": "warmup"}, {"t_s": 5.0, "p99_ms": 20.0, "stage": "sustained"}]
    stages = [{"name": "warmup", "measured": False}, {"name": "sustained", "measured": True}]
    row = answer("spikes", benchmark={"series": {"timeline": timeline}, "stages": stages})
    assert "at 20 ms" in row["answer"]


def test_what_predicts_success_is_what_is_measured() -> None:
    sla = {"objectives": [{"dimension": "ttft_p99", "target": 500, "observed": 400.0, "unit": "ms", "outcome": "pass"},
                          {"dimension": "e2e_p99", "target": None, "observed": 1.0}]}  # fmt: skip
    row = answer("success", {"kpis": {"latency": "500ms", "adoption": "200 users"}}, sla=sla)
    assert row["source"] == "facts"
    assert "ttft_p99 (pass)" in row["answer"]
    assert "adoption" in row["answer"]
    assert "e2e_p99" not in row["answer"]


@pytest.mark.parametrize(
    ("even", "said"), [(0.4, "above 40% utilisation"), (3.0, "at any utilisation"), (None, "instead of $9.00.")]
)
def test_the_cost_of_another_provider(even: float | None, said: str) -> None:
    offers = [{"provider": "a", "per_million_usd": 5.0, "date": "2026-11-05", "break_even_utilisation": even},
              {"provider": "b", "per_million_usd": None}]  # fmt: skip
    assert said in answer("change", cost={"per_million_usd": 9.0, "hosted": offers})["answer"]


@pytest.mark.parametrize(
    ("id", "policy", "said"),
    [
        ("value", {"components": {"batching": {"value": "halves the bill"}}}, "batching: halves the bill"),
        ("spikes", {"priorities": {"cold starts": {"where": "at 9 am"}}}, "cold starts: at 9 am"),
        ("success", {"kpis": {"adoption": {"target": "200 users"}}}, "adoption target 200 users"),
        ("change", {"stages": {"model": {"cost_of_change": "two weeks"}}}, "model: two weeks"),
    ],
)
def test_else_the_policy_answers(id: str, policy: dict[str, Any], said: str) -> None:
    row = answer(id, policy)
    assert (row["source"], row["missing"]) == ("policy", None)
    assert said in row["answer"]


def test_governance_lists_what_is_expected_and_what_it_lacks() -> None:
    policy = Policy.model_validate({
        "kpis": {"latency": "500ms", "accuracy drift": "low"},
        "components": {"Runtime": {"version": "vllm 0.33", "owner": "team-a"}, "gateway": {"owner": "team-b"}},
        "risks": {"bad_batching": {"owner": "x", "playbook": "y", "last_review": "2026-11-10"}},
        "stages": {"retrieval": {"inputs": ["query", "user"], "owner": "z"}},
    })  # fmt: skip
    found = governance_section(policy, DAY)
    components = {row["name"]: row for row in found["components"]}
    assert list(components) == ["runtime", "autoscaling", "batching", "capacity", "gateway"]
    assert (components["runtime"]["owner"], components["runtime"]["missing"]) == ("team-a", [])
    assert components["batching"]["missing"] == ["version", "owner"]
    assert components["gateway"]["missing"] == ["version"]
    assert found["risks"][0]["review_age_days"] == 10
    assert found["stages"][0]["fields"]["inputs"] == "query, user"
    assert {row["name"]: row["numeric"] for row in found["kpis"]} == {
        "latency": True, "throughput": False, "accuracy drift": False, "adoption": False,
    }  # fmt: skip
    assert found["priorities"] is None


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=8), each, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.text(max_size=8), st.dictionaries(st.text(max_size=8), plain, max_size=3), max_size=3))
def test_whatever_the_policy_holds_is_shown_and_breaks_nothing(entries: dict[str, dict[str, Any]]) -> None:
    policy = Policy.model_validate({"risks": entries, "stages": entries, "components": entries, "priorities": entries})
    json.dumps([governance_section(policy, DAY), decisions_section(policy, None, {}, {})])
