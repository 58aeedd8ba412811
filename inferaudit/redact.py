"""Redaction: secrets become typed markers before anything leaves a collector.

A marker (``<redacted kind=hf_token length=37>``) says what was there and how long it was, so that checks can judge it.
Digests, git revisions and image hashes stay as they are. Redacting twice changes nothing more.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, cast

_MARKER = re.compile(r"<redacted kind=[a-z0-9_]+ length=\d+>")

# Shapes under which issuers publish their credentials; each is a secret wherever it stands.
_EDGE, _END = r"(?<![A-Za-z0-9_])", r"(?![A-Za-z0-9_])"
_SHAPES: tuple[tuple[str, re.Pattern[str]], ...] = (
    (
        "private_key",
        re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)", re.DOTALL),
    ),
    ("jwt", re.compile(_EDGE + r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*")),
    ("hf_token", re.compile(_EDGE + r"hf_[A-Za-z0-9]{16,}")),
    ("anthropic_key", re.compile(_EDGE + r"sk-ant-[A-Za-z0-9_-]{16,}")),
    ("openai_key", re.compile(_EDGE + r"sk-[A-Za-z0-9_-]{16,}")),
    ("github_token", re.compile(_EDGE + r"(?:gh[pousr]_[A-Za-z0-9]{16,}|github_pat_[A-Za-z0-9_]{20,})")),
    ("gitlab_token", re.compile(_EDGE + r"glpat-[A-Za-z0-9_-]{16,}")),
    ("aws_access_key", re.compile(_EDGE + r"(?:AKIA|ASIA)[0-9A-Z]{16}" + _END)),
    ("slack_token", re.compile(_EDGE + r"xox[abeoprs]-[A-Za-z0-9-]{10,}")),
    ("nvidia_key", re.compile(_EDGE + r"nvapi-[A-Za-z0-9_-]{16,}")),
    ("google_key", re.compile(_EDGE + r"AIza[0-9A-Za-z_-]{35}")),
    ("wandb_key", re.compile(_EDGE + r"wandb_v1_[A-Za-z0-9_]{16,}")),
)
_URL_LOGIN = re.compile(r"(?P<scheme>\b[a-zA-Z][a-zA-Z0-9+.-]{0,30}://)(?P<login>[^\s/@:'\"<>]*:[^\s/@'\"<>]+)@")
_AUTH_HEADER = re.compile(
    r"(?P<head>\bBearer\s+|\bBasic\s+(?=[A-Za-z0-9+/]{8,}={0,2}(?:\s|$)))(?P<value>[^\s\"'<>]{8,})"
)
# key=value, key: value, --key value, "key": "value". Only keys with a telling word are tried; is_secret_name decides.
_PAIR = re.compile(
    r"(?<![\w./-])(?P<flag>--?)?(?P<key>[\w./-]{0,80}?(?:token|pass|pwd|secret|credential|key)[\w.-]{0,40})"
    r"(?P<join>[\"']?[ \t]*[=:][ \t]*|[ \t]+)"
    r"(?P<value>\"(?:[^\"\\\n<]|\\.)*\"|'[^'\n<]*'|\$\([^()\n]*\)|[^\s\"'<>&][^\s\"'<>&]*)",
    re.IGNORECASE,
)
_PROSE = re.compile(r"[a-z]+[.,;:]?|\$.*|[./].*")
_WORD = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")
_SECRET_WORDS = frozenset(
    {"token", "password", "passwd", "passphrase", "pwd", "secret", "credential", "credentials", "apikey", "accesskey"}
)
_SECRET_ENDINGS = ("password", "passwd", "passphrase", "apikey")
_SECRET_PAIRS = frozenset(
    {("api", "key"), ("access", "key"), ("private", "key"), ("secret", "key"), ("auth", "key"), ("account", "key"),
     ("encryption", "key"), ("signing", "key"), ("license", "key")}
)  # fmt: skip
# A secret-like word followed by one of these names something about the secret, not the secret.
_ABOUT = frozenset(
    {"name", "names", "namespace", "path", "file", "filename", "dir", "directory", "url", "uri", "endpoint", "host",
     "port", "address", "server", "service", "ttl", "type", "mode", "ref", "count", "limit", "length", "size", "max",
     "min", "expiration", "expiry", "lifetime", "seconds", "interval", "timeout", "mount", "store", "provider",
     "backend", "manager", "version", "enabled", "required", "policy", "class", "id", "header", "prefix", "issuer",
     "audience", "scope", "scopes", "realm", "algorithm", "format", "budget", "rotation", "field", "label", "env"}
)  # fmt: skip
# "token" beside these is a piece of text to a language model, not a credential.
_TEXT_TOKENS = frozenset(
    {"max", "min", "num", "eos", "bos", "pad", "unk", "stop", "special", "mask", "cls", "sep", "image", "prompt",
     "output", "input", "next", "first", "per", "time", "cost", "draft"}
)  # fmt: skip
_PLAIN_WORDS = frozenset(
    {"true", "false", "yes", "no", "on", "off", "none", "null", "auto", "nil", "***",
     "str", "string", "bytes", "int", "bool", "required", "optional"}
)  # fmt: skip
# What a script in a ConfigMap says of a token: os.environ["TOKEN"], settings.token, {{ .Values.token }}, token=token.
_CODE = re.compile(r"[A-Za-z_][\w.]*[(\[].*|[a-z_]+(?:\.[a-z_]+)+[),;:]*|\{\{.*", re.DOTALL)
_NUMBER = re.compile(r"[+-]?[0-9][0-9.,]*[a-zA-Z%]{0,3}")
_PATH = re.compile(r"[./~][\w./~@:-]*|file:\S+|https?://\S*|sha(?:256|512|1):[0-9a-f]+")
_VARIABLE = re.compile(r"\$(?:\([^()]*\)|\{[^{}]*\}|\w+)")
_RANDOM_PART = re.compile(r"(?=[\w+]{0,64}[0-9])(?=[\w+]{0,64}[A-Z])(?=[\w+]{0,64}[a-z])[\w+]{16,}")
_DIGEST = re.compile(r"(?:sha(?:1|256|384|512):)?(?:[0-9a-f]{40}|[0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128})")
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_TEXT_LIMIT = 64 * 1024


def marker(kind: str, text: str) -> str:
    """The marker that stands for `text`."""
    return f"<redacted kind={kind} length={len(text)}>"


def is_marker(text: str) -> bool:
    """True when `text` holds a marker."""
    return _MARKER.search(text) is not None


def is_secret_name(name: str) -> bool:
    """True for a name under which a secret is kept: ``HF_TOKEN``, ``apiKey``, ``--hf-token``.

    Not for ``max_tokens``, ``TOKENIZER_MODE``, ``secretName``, ``TOKEN_FILE``, ``eos-token``.
    """
    words = [word.lower() for word in _WORD.findall(name)]
    if not words or words[-1] in _ABOUT:
        return False
    if any(word in _SECRET_WORDS or word.endswith(_SECRET_ENDINGS) for word in words):
        return words[-1] != "token" or not _TEXT_TOKENS.intersection(words)
    return any(pair in _SECRET_PAIRS for pair in pairwise(words))


def redact_value(name: str, value: str) -> str:
    """A value that stands under `name` (an environment variable, a flag, a file of a ConfigMap), redacted."""
    clean = _shapes(value)
    if clean == value and is_secret_name(name) and value.strip() and not _is_plain(name, value.strip()):
        return marker("secret_value", value)
    return redact_text(clean)


def redact_text(text: str, *, limit: int | None = _TEXT_LIMIT) -> str:
    """`text` with every credential in it replaced: known shapes, logins in URLs, values after secret-like names.

    Beyond `limit` characters (None = no limit) the text is cut, and says so.
    """
    clean = _PAIR.sub(_pair, _shapes(text))
    return clean if limit is None or len(clean) <= limit else f"{clean[: limit - 64]}<truncated length={len(clean)}>"


def redact_object(obj: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of an API object (or any JSON-like mapping) without secrets and ``managedFields``; long text is cut."""
    result = cast(dict[str, Any], _walk(obj, "", strict=obj.get("kind") == "ConfigMap"))
    if obj.get("kind") == "Secret":
        for field in ("data", "stringData"):
            if isinstance(obj.get(field), Mapping):
                result[field] = {str(key): marker("secret_data", str(value)) for key, value in obj[field].items()}
    return result


def _walk(value: Any, key: str, *, strict: bool) -> Any:
    """`strict`: every secret-like key counts (a ConfigMap); else only one whose value also looks random, for
    Kubernetes' own fields name secrets without holding any (``auth-secret: basic-auth``)."""
    if isinstance(value, Mapping):
        return _mapping(value, strict=strict)
    if isinstance(value, str):
        trusted = not strict and not looks_random(value)
        return redact_text(value) if not key or trusted else redact_value(key, value)
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        return _sequence(value, key, strict=strict)
    return value


def _mapping(value: Mapping[str, Any], *, strict: bool) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, child in value.items():
        text = str(name)
        if text == _LAST_APPLIED and isinstance(child, str):
            result[text] = child if _MARKER.fullmatch(child) else marker("last_applied", child)
        elif text != "managedFields":
            result[text] = _walk(child, text, strict=strict)
    label, literal = value.get("name"), value.get("value")
    if isinstance(label, str) and isinstance(literal, str):  # an environment variable, a header, an argument
        result["value"] = redact_value(label, literal)
    return result


def _sequence(value: Sequence[Any], key: str, *, strict: bool) -> list[Any]:
    """A list; in one of strings the element after ``--api-key`` is that flag's value."""
    result: list[Any] = []
    before = ""
    for item in value:
        if isinstance(item, str) and before.startswith("-") and "=" not in before and is_secret_name(before):
            result.append(redact_text(item) if item.startswith("--") else redact_value(before, item))
        else:
            result.append(_walk(item, "" if isinstance(item, str) else key, strict=strict))
        before = item if isinstance(item, str) else ""
    return result


def _shapes(text: str) -> str:
    for kind, pattern in _SHAPES:
        text = pattern.sub(lambda match, kind=kind: marker(kind, match[0]), text)  # type: ignore[misc]
    if "://" in text:
        text = _URL_LOGIN.sub(lambda m: f"{m['scheme']}{marker('basic_auth', m['login'])}@", text)
    return _AUTH_HEADER.sub(
        lambda m: m[0] if _PROSE.fullmatch(m["value"]) else m["head"] + marker("authorization", m["value"]), text
    )


def _pair(match: re.Match[str]) -> str:
    """One ``key<join>value``. With a blank between, only a flag (``--api-key x``) counts: prose is full of pairs."""
    written, blank = match["value"], not match["join"].strip()
    quote = written[0] if written[0] in "\"'" else ""
    value = written[1:-1] if quote else written
    path, _, key = match["key"].rpartition("/")
    if path and match["join"] == ":":  # an image and its tag, a host and its port
        return match[0]
    if not is_secret_name(key) or (blank and (not match["flag"] or value.startswith("-"))):
        return match[0]
    if not value.strip() or _is_plain(match["key"], value.strip()):
        return match[0]
    if not quote and (_CODE.fullmatch(value) or value.rstrip("),;:") == key.lstrip("-")):
        return match[0]
    return f"{match[0][: -len(written)]}{quote}{marker('secret_value', value)}{quote}"


def _is_plain(name: str, value: str) -> bool:
    """True for what cannot be a secret though it stands under a secret's name: a path, a variable, a switch.

    A number can be a password, but not a token or key.
    """
    if _MARKER.search(value) or value.lower().rstrip(",;") in _PLAIN_WORDS or _VARIABLE.fullmatch(value):
        return True
    if _NUMBER.fullmatch(value):
        return "pass" not in name.lower() and "pwd" not in name.lower()
    return _PATH.fullmatch(value) is not None and _RANDOM_PART.search(value) is None


def looks_random(value: str) -> bool:
    """True for text with the entropy of a key: at least 16 characters, no blanks, 3.2 bits a character or more.

    A Kubernetes name (lower-case words joined by dashes) and a digest are not.
    """
    text = value.strip()
    if len(text) < 16 or re.search(r"\s", text) or _is_plain("", text) or _DIGEST.fullmatch(text):
        return False
    if re.fullmatch(r"[a-z]+(?:[-./][a-z0-9]+)*", text):
        return False
    counts = Counter(text)
    entropy = -sum(n / len(text) * math.log2(n / len(text)) for n in counts.values())
    return entropy >= 3.2
