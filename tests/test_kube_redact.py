"""Secrets never leave a collector: planted anywhere, they are gone, typed, and nothing else is."""

from __future__ import annotations

import json
import string
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferaudit.redact import is_marker, is_secret_name, looks_random, redact_object, redact_text, redact_value

ALNUM = string.ascii_letters + string.digits


def body(least: int, alphabet: str = ALNUM) -> st.SearchStrategy[str]:
    return st.text(alphabet, min_size=least, max_size=least + 20)


SHAPED = st.one_of(
    body(20).map("hf_{}".format),
    body(20).map("sk-{}".format),
    body(20).map("sk-ant-api03-{}".format),
    body(36).map("ghp_{}".format),
    body(22).map("github_pat_{}".format),
    body(20).map("glpat-{}".format),
    st.text(string.ascii_uppercase + string.digits, min_size=16, max_size=16).map("AKIA{}".format),
    body(20).map("xoxb-{}".format),
    body(30).map("nvapi-{}".format),
    st.text(ALNUM + "-_", min_size=35, max_size=35).map("AIza{}".format),
    st.tuples(body(20), body(20), body(20)).map(lambda p: f"eyJ{p[0]}.{p[1]}.{p[2]}"),
    body(64).map(lambda b: f"-----BEGIN RSA PRIVATE KEY-----\n{b}\n-----END RSA PRIVATE KEY-----"),
)
SURROUNDINGS = st.sampled_from(
    ["{}", "export T={}", "curl -H 'X: {}' x", "a: {}\nb: c", '{{"k": "{}"}}', "({})", "https://h/?q={}&r=1", "--x={}"]
)


@given(SHAPED, SURROUNDINGS)
def test_known_shapes_vanish_wherever_they_stand(secret: str, around: str) -> None:
    clean = redact_text(around.format(secret))
    assert secret not in clean
    assert is_marker(clean)


# Not a number, a path, a variable or a switch: those are plain.
PASSWORD = st.text(ALNUM + "!#%*_", min_size=6, max_size=30).filter(
    lambda s: any(c.isdigit() for c in s) and any(c.isalpha() for c in s) and s[0].isalpha()
)
PLACES = st.sampled_from(
    [
        lambda s: {"env": [{"name": "DB_PASSWORD", "value": s}]},
        lambda s: {"env": [{"name": "HF_TOKEN", "value": s}]},
        lambda s: {"args": ["--api-key", s, "--model", "m"]},
        lambda s: {"args": [f"--api-key={s}"]},
        lambda s: {"command": ["bash", "-c", f"vllm serve m --api-key {s} --port 8000"]},
        lambda s: {"command": ["sh", "-c", f"export API_KEY={s}; exec server"]},
        lambda s: {"kind": "ConfigMap", "data": {"password": s}},
        lambda s: {"kind": "ConfigMap", "data": {"app.yaml": f"user: me\napi_key: {s}\n"}},
        lambda s: {"kind": "ConfigMap", "data": {".env": f'TOKEN="{s}"'}},
        lambda s: {"kind": "Secret", "data": {"any": s}, "stringData": {"other": s}},
        lambda s: {"metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": s}}},
        lambda s: {"metadata": {"annotations": {"note": f"postgres://me:{s}@db/x"}}},
        lambda s: {"spec": {"httpHeaders": [{"name": "Authorization", "value": f"Bearer {s}0000"}]}},
    ]
)


@given(PASSWORD, PLACES)
@settings(max_examples=300)
def test_planted_passwords_vanish_from_objects(secret: str, place: Any) -> None:
    clean = json.dumps(redact_object(place(secret)))
    assert secret not in clean
    assert "<redacted kind=" in clean


@given(st.text(max_size=200))
def test_redaction_is_idempotent_on_any_text(text: str) -> None:
    once = redact_text(text)
    assert redact_text(once) == once


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(max_size=10), JSON, max_size=4))
def test_any_object_is_redacted_once_and_for_all(obj: dict[str, Any]) -> None:
    once = redact_object(obj)
    assert redact_object(once) == once
    assert set(once) == set(obj) - {"managedFields"}


HEX = st.text("0123456789abcdef", min_size=64, max_size=64)


@given(HEX)
def test_digests_and_revisions_stay(digest: str) -> None:
    obj = {
        "image": f"r.example.com/vllm@sha256:{digest}",
        "imageID": f"docker-pullable://r.example.com/vllm@sha256:{digest}",
        "args": [f"--revision={digest[:40]}", "--tokenizer-revision", digest[:40]],
        "metadata": {"annotations": {"git-commit": digest[:40], "checksum/secret": digest}, "uid": digest[:32]},
    }
    assert redact_object(obj) == obj


@pytest.mark.parametrize(
    "text",
    [
        "--max-tokens 100 --tokenizer-mode auto --max-num-batched-tokens 8192 --eos-token </s>",
        "HF_TOKEN_PATH=/var/run/secrets/token",
        "api_key: $(API_KEY)",
        "token: ${TOKEN}",
        "--api-key-file /etc/keys/api",
        "rate(vllm:generation_tokens_total[5m]) / 60",
        "secretName: hf-token",
        "the token was refused, and the password too",
        "sk-learn and hf_hub are libraries",
        "https://example.com:8443/path@2",
        "max_token: 5",
        'token = os.environ["HF_TOKEN"]',
        "login(token=token, api_key=settings.api_key)",
        "def f(token: str, password: str = None):",
        "api_key: {{ .Values.apiKey }}",
        "image: ghcr.io/o/token-service:v1",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact_text(text) == text


def test_fields_that_name_secrets_stay() -> None:
    obj = {
        "secretName": "chat-tls-2026-prod-abcdef",
        "secretKeyRef": {"name": "hf-token", "key": "token"},
        "automountServiceAccountToken": False,
        "serviceAccountToken": {"path": "token", "expirationSeconds": 3607},
        "metadata": {"annotations": {"nginx.ingress.kubernetes.io/auth-secret": "llm-prod/basic-auth"}},
        "env": [{"name": "TOKENIZERS_PARALLELISM", "value": "false"}, {"name": "MAX_TOKENS", "value": "4096"}],
    }
    assert redact_object(obj) == obj


def test_markers_are_typed_and_carry_the_length() -> None:
    assert redact_text("x hf_" + "a" * 34) == "x <redacted kind=hf_token length=37>"
    assert redact_value("API_KEY", "hunter2") == "<redacted kind=secret_value length=7>"
    assert redact_value("DB_PASSWORD", "12345") == "<redacted kind=secret_value length=5>"
    assert redact_value("URL", "redis://:pw@h") == "redis://<redacted kind=basic_auth length=3>@h"


def test_long_text_is_cut_and_says_so() -> None:
    cut = redact_text("x " * 100_000)
    assert len(cut) <= 64 * 1024
    assert cut.endswith("<truncated length=200000>")


@pytest.mark.parametrize(
    "name", ["HF_TOKEN", "apiKey", "--hf-token", "OPENAI_API_KEY", "PGPASSWORD", "AWS_SECRET_ACCESS_KEY"]
)
def test_names_of_secrets(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name", ["MAX_TOKENS", "TOKENIZER", "secretName", "TOKEN_FILE", "pad_token", "key", "SECRET_NAMESPACE", ""]
)
def test_names_of_other_things(name: str) -> None:
    assert not is_secret_name(name)


def test_randomness() -> None:
    assert looks_random("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    assert not looks_random("chat-model-cache-production")
    assert not looks_random("short")
    assert not looks_random("a" * 40)
