"""Every kind of expectation that a golden request may have, and what is refused when the file is read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.replay import Replay, whole
from support.right_endpoint import KEY, MODEL, RightEndpoint

from inferaudit.collect.endpoint import collect_endpoint
from inferaudit.collect.golden_file import read_golden
from inferaudit.errors import UsageError
from inferaudit.json_shape import mismatch, schema_error
from inferaudit.plan import EndpointPlan


def answer(document: Any) -> bytes:
    body = json.dumps(document).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def passed(tmp_path: Path, document: Any, expect: dict[str, Any]) -> bool | None:
    file = tmp_path / "golden.jsonl"
    file.write_text(json.dumps({"body": {"x": 1}, "expect": expect}))
    with Replay({"POST /p": answer(document)}) as server:
        plan = EndpointPlan(url=f"{server.url}/p", api="custom", golden=str(file))
        (result,) = collect_endpoint(plan, environ={})["endpoint.golden"].value
    assert result.expected
    return bool(result.passed) if result.passed is not None else None


CHAT = {"choices": [{"message": {"role": "assistant", "content": '```json\n{"total": 3}\n```'}}]}
SHAPE = {"type": "object", "required": ["total"], "properties": {"total": {"type": "integer", "maximum": 5}}}


@pytest.mark.parametrize(
    ("document", "expect", "holds"),
    [
        ({"choices": [{"text": " Paris "}]}, {"equals": "Paris"}, True),
        ({"choices": [{"text": "Paris"}]}, {"equals": "paris"}, False),
        ({"choices": [{"text": "It is Paris."}]}, {"contains": "paris"}, True),
        ({"choices": [{"text": "It is Rome."}]}, {"contains": "paris"}, False),
        ({"choices": [{"text": "42 km"}]}, {"matches": "^[0-9]+ km$"}, True),
        ({"choices": [{"text": "far"}]}, {"matches": "^[0-9]+"}, False),
        (CHAT, {"schema": SHAPE}, True),
        (CHAT, {"schema": {**SHAPE, "required": ["sum"]}}, False),
        ({"choices": [{"text": "no JSON"}]}, {"schema": {"type": "string"}}, False),
        ({"predictions": [[0.621]]}, {"near": {"path": "predictions.0.0", "value": 0.62, "tolerance": 0.01}}, True),
        ({"predictions": [[0.7]]}, {"near": {"path": "predictions.0.0", "value": 0.62, "tolerance": 0.01}}, False),
        ({"predictions": [[10**400]]}, {"near": {"path": "predictions.0.0", "value": 1, "tolerance": 0.01}}, False),
        ({"predictions": [[10**300]]}, {"near": {"path": "predictions.0.0", "value": 1, "tolerance": 0.01}}, False),
        ({"data": [{"embedding": [10**400, 0.0]}]}, {"cosine": {"vector": [1.0, 0.0]}}, False),
        ({"data": [{"embedding": [1e308, 1e308]}]}, {"cosine": {"vector": [9.0, 9.0]}}, False),
        ({"data": [{"embedding": [2.0, 0.0]}]}, {"cosine": {"vector": [1.0, 0.0]}}, True),
        ({"data": [{"embedding": [1.0, 1.0]}]}, {"cosine": {"vector": [1.0, 0.0]}}, False),
        ({"data": [{"embedding": [1.0, 1.0]}]}, {"cosine": {"vector": [1.0, 0.0], "at_least": 0.7}}, True),
        ({"data": [{"embedding": [1.0]}]}, {"cosine": {"vector": [1.0, 0.0]}}, False),
        ({"data": [{"embedding": [0.0, 0.0]}]}, {"cosine": {"vector": [1.0, 0.0]}}, False),
        ([[1.0, 0.0]], {"cosine": {"vector": [1.0, 0.0]}}, True),
        ([[{"label": "NEG", "score": 0.2}, {"label": "POS", "score": 0.8}]], {"label": {"is": "POS"}}, True),
        ([{"label": "NEG", "score": 0.9}, {"label": "POS", "score": 0.1}], {"label": {"is": "POS"}}, False),
        ({"predictions": [7]}, {"label": {"path": "predictions.0", "is": 7}}, True),
        ({"predictions": ["dog"]}, {"label": {"path": "predictions", "is": "cat"}}, False),
        ({"choices": [{"text": "Paris"}]}, {"contains": "Paris", "within": "30s"}, True),
        ({"choices": [{"text": "Paris"}]}, {"contains": "Paris", "within": "1us"}, False),
    ],
)
def test_each_kind_of_expectation(tmp_path: Path, document: Any, expect: dict[str, Any], holds: bool) -> None:
    assert passed(tmp_path, document, expect) is holds


@pytest.mark.parametrize(
    ("expect", "said"),
    [
        ({"schema": {"oneOf": []}}, "the keyword oneOf is not supported"),
        ({"schema": {"type": "text"}}, "no type is called text"),
        ({"schema": {"properties": {"a": {"pattern": "("}}}}, "schema.properties.a.pattern"),
        ({"cosine": {"vector": []}}, "cosine.vector is empty"),
        ({"cosine": {"vector": [0.0]}}, "all zeros"),
        ({"within": "soon"}, "soon"),
        ({}, "expects nothing"),
        ({"closest": "x"}, "closest"),
    ],
)
def test_what_cannot_be_tested_is_refused_when_the_file_is_read(
    tmp_path: Path, expect: dict[str, Any], said: str
) -> None:
    file = tmp_path / "golden.jsonl"
    file.write_text(json.dumps({"prompt": "x", "expect": expect}))
    with pytest.raises(UsageError, match=said):
        read_golden(str(file))


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": ["string", "null"]}, None, 3),
        ({"type": "integer"}, 2.0, 2.5),
        ({"type": "number"}, 1, True),
        ({"enum": ["a", "b"]}, "a", "c"),
        ({"const": 1}, 1, 2),
        ({"minimum": 1, "maximum": 2}, 1.5, 3),
        ({"minimum": 1}, 1, 0),
        ({"minLength": 2, "maxLength": 3}, "ab", "a"),
        ({"pattern": "^a"}, "ab", "b"),
        ({"type": "array", "items": {"type": "string"}, "minItems": 1}, ["a"], [1]),
        ({"type": "array", "maxItems": 1}, [1], [1, 2]),
        ({"properties": {"a": {}}, "additionalProperties": False}, {"a": 1}, {"b": 1}),
        ({"additionalProperties": {"type": "integer"}}, {"a": 1}, {"a": "x"}),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, None, 1),
    ],
)
def test_each_keyword_of_a_schema_tells_right_from_wrong(schema: dict[str, Any], good: Any, bad: Any) -> None:
    assert schema_error(schema) is None
    assert mismatch(schema, good) is None
    assert mismatch(schema, bad) is not None


# --- a baseline and a candidate


def command(*args: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "inferaudit.cli.app", *map(str, args)], capture_output=True, text=True, timeout=120,
        env={**os.environ, "KEY": KEY}, check=False,
    )  # fmt: skip


def report(folder: Path, name: str, said: dict[str, str], min_score: float) -> Path:
    """The report of a server that says `said` to prompts; it is the right one otherwise."""
    golden, policy, out = folder / "golden.jsonl", folder / "policy.json", folder / f"{name}.json"
    items = [{"name": word, "prompt": f"Say {word}.", "expect": {"contains": word}} for word in ("one", "two", "six")]
    golden.write_text("\n".join(map(json.dumps, items)))
    policy.write_text(json.dumps({"parameters": {"endpoint-golden": {"min_score": min_score}}}))
    (folder / name).mkdir()
    server = RightEndpoint(folder / name, tls=False)

    def chat(head: str, body: bytes) -> bytes | None:
        word = next((w for w in said if f"Say {w}.".encode() in body), "") if server.keyed(head) else ""
        message = {"role": "assistant", "content": said.get(word, "")}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        document = {"object": "chat.completion", "model": MODEL, "choices": [choice]}
        return whole(json.dumps(document).encode()) if word else None

    server.routes["POST /v1/chat/completions"] = chat
    with server:
        done = command("run", "-f", policy, "--url", server.url, "--model", MODEL, "--scope", "endpoint",
                       "--golden", golden, "--api-key-env", "KEY", "-o", f"json={out}", "--no-progress")  # fmt: skip
    assert out.exists(), done.stderr
    return out


@pytest.mark.parametrize("min_score", [1.0, 0.1])
def test_a_candidate_that_lost_an_answer_is_a_regression_whatever_the_floor(tmp_path: Path, min_score: float) -> None:
    base = report(tmp_path, "base", {"six": "half a dozen"}, min_score)
    same = report(tmp_path, "same", {"six": "a few"}, min_score)
    worse = report(tmp_path, "worse", {"two": "a pair"}, min_score)
    better = report(tmp_path, "better", {}, min_score)
    for candidate, code, outcome, lost, won in (
        (same, 0, "same", [], []), (worse, 1, "worse", ["two"], ["six"]), (better, 0, "better", [], ["six"])
    ):  # fmt: skip
        done = command("diff", base, candidate, "--fail-on", "regression", "-o", "json")
        assert done.returncode == code, (candidate, done.stdout, done.stderr)
        golden = json.loads(done.stdout)["golden"]
        assert (golden["outcome"], golden["lost"], golden["won"]) == (outcome, lost, won)
        assert (golden["compared"], golden["old_score"]) == (3, pytest.approx(2 / 3))
    told = command("diff", base, worse).stdout
    assert "Golden requests: worse; 3 golden requests are in both; score 66.7% → 66.7%." in told
    assert "  lost: two\n  won: six\n" in told
