"""Whatever an endpoint answers, the collector reads it without falling over: any JSON, any bytes, any page."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from support.replay import SERVERS, Replay, whole

from inferaudit.collect.endpoint import collect_endpoint
from inferaudit.collect.endpoint_golden import answer_text
from inferaudit.collect.endpoint_look import models
from inferaudit.collect.endpoint_stream import Events
from inferaudit.collect.endpoint_wire import WIRES, error_text, read_answer, read_event, tensor_body, usage_of
from inferaudit.collect.http_client import Reply, Scrubber
from inferaudit.facts.endpoint import FACTS
from inferaudit.plan import EndpointPlan
from inferaudit.runtime_registry import runtimes

KEYS = [
    *("choices", "delta", "content", "role", "text", "message", "usage", "prompt_tokens", "completion_tokens", "error"),
    *("prompt_tokens_details", "object", "data", "id", "models", "model_id", "inputs", "outputs", "shape", "datatype"),
    *("name", "metadata", "signature_def", "serving_default", "dtype", "dim", "size", "tensor_shape", "done", "token"),
    *("details", "generated_tokens", "meta", "n_ctx", "finish_reason", "eval_count", "embedding"),
]
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5), inner),
    max_leaves=25,
)


@settings(max_examples=300)
@given(JSON)
def test_any_json_is_read(document: Any) -> None:
    text = json.dumps(document)
    for api in WIRES:
        read_answer(api, text)
        for late in (False, True):
            read_event(api, text, first_token_seen=late)
    for api in ("oip-v2", "tf-serving"):
        tensor_body(api, document)
    usage_of(document)
    error_text(text)
    answer_text(document, "")


@settings(max_examples=150)
@given(JSON, st.sampled_from(sorted(runtimes())))
def test_any_listing_is_a_fact_that_can_be_stored(document: Any, name: str) -> None:
    reply = Reply(200, {}, json.dumps(document).encode())
    fact = models(runtimes()[name], lambda path: reply, lambda path, body: reply, Scrubber(()))
    assert (fact.value is None) != (fact.error is None)
    msgspec.json.encode(fact.value)


@given(st.binary(max_size=400), st.sampled_from(["sse", "ndjson"]), st.integers(1, 9))
def test_any_bytes_give_the_same_events_however_they_are_cut(data: bytes, framing: str, step: int) -> None:
    def cut(size: int) -> list[str]:
        events = Events(framing)
        return [e for i in range(0, len(data), size) for e in events.feed(data[i : i + size])] + list(events.rest())

    assert cut(step) == cut(len(data) or 1)


def test_a_server_that_answers_nonsense_to_everything() -> None:
    nonsense = (b"[" * 50_000, b"null", b'{"data": [[]]}', "\u202e\x1b[31mred".encode(), b"\xff\xfe\x00", b"")
    for body in nonsense:
        answers = dict.fromkeys(
            ("/", "/v1/models", "/v2", "/info", "/metrics", "/health", "/ready", "/openapi.json", "/version"),
            whole(body),
        )
        routes = {f"GET {path}": answer for path, answer in answers.items()} | {
            "POST /v1/chat/completions": whole(body)
        }
        with Replay(routes) as server:
            facts = collect_endpoint(
                EndpointPlan(url=server.url, api="openai-chat", model="m", active=True), environ={}
            )
        assert set(facts) == {spec.name for spec in FACTS}
        for name, fact in facts.items():
            assert fact.error is not None or msgspec.json.encode(fact.value) is not None, name
        assert "\x1b" not in repr([f.value for f in facts.values()] + [f.error for f in facts.values()])


def test_a_key_in_every_answer_reaches_no_fact() -> None:
    secret = "hf_InventedTokenOfAModelHub0123456789"
    listing = whole(json.dumps({"object": "list", "data": [{"id": secret, "owned_by": secret}]}).encode())
    page = whole(f'a{{token="{secret}"}} 1\n'.encode(), "200 OK", "text/plain")
    answers = {
        **SERVERS["vllm"],
        "GET /v1/models": listing,
        "GET /metrics": page,
        "GET /health": whole(secret.encode()),
    }
    with Replay(answers) as server:
        facts = collect_endpoint(EndpointPlan(url=server.url), environ={})
    assert secret not in repr(facts)
