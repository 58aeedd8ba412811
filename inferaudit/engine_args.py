"""What a serving container runs and how it is set, from a pod template and the ConfigMaps it mounts. Pure.

The names of flags, variables and keys are the registry's (``runtimes/*.yaml``); nothing about a product stands here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from inferaudit.redact import is_marker
from inferaudit.runtime_recognition import Recognition, recognise_container
from inferaudit.runtime_registry import Runtime, SettingConcept, runtime
from inferaudit.runtime_settings import SettingValue, command_words, read_settings
from inferaudit.units import whole_number

FROM_SECRET = "<from a Secret>"  # noqa: S105  # says where a value comes from, and is none
"""Stands for the value of a variable that comes from a Secret: it is set, and not known."""

_PORT_FLAGS = ("--port", "--http-port", "--http_port", "--rest_api_port")
_PORT_VARIABLES = ("PORT", "LLAMA_ARG_PORT", "NIM_SERVER_PORT", "AIP_HTTP_PORT")
_HEX_COMMIT = re.compile(r"[0-9a-f]{40}")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_QUANTISED_NAME = re.compile(
    r"(?:^|[-_./])(awq|gptq|fp8|int8|int4|w4a16|w8a8|nvfp4|mxfp4|bnb|4bit|8bit|q[2-8]_\w+|iq[1-4]_\w+|gguf|exl2|hqq)"
    r"(?:[-_./:]|$)",
    re.IGNORECASE,
)

# Where the runtimes' images keep what they fetch, unless they are told otherwise.
_CACHES = {
    "vllm": "/root/.cache/huggingface",
    "sglang": "/root/.cache/huggingface",
    "tgi": "/data",
    "tei": "/data",
    "ollama": "/root/.ollama",
    "nim": "/opt/nim/.cache",
}


@dataclass(frozen=True, slots=True)
class Engine:
    """One serving container as its runtime understands it.

    `settings` holds what was given, by concern; a concern that is not in it has the runtime's default. `env` are the
    literal variables, with :data:`FROM_SECRET` for those that come from a Secret. `files` are its configuration
    files, as far as ConfigMaps hold them, by ``map/key``. `visible`
    False: command and arguments are the image's own and cannot be seen.
    """

    recognition: Recognition
    profile: Runtime
    settings: Mapping[SettingConcept, SettingValue]
    env: Mapping[str, str]
    words: Sequence[str]
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def known(self) -> bool:
        """True when the runtime was recognised as a product."""
        return self.recognition.name != "unknown"

    @property
    def title(self) -> str:
        """The runtime's name for a message."""
        return self.profile.title if self.known else "an unrecognised server"

    @property
    def visible(self) -> bool:
        """True when the pod template gives a command or arguments."""
        return bool(self.words)

    def value(self, concept: SettingConcept) -> str | None:
        """What was given for a concern: the text, "" for a flag alone, None when nothing was given."""
        setting = self.settings.get(concept)
        return None if setting is None else setting.value

    def number(self, concept: SettingConcept) -> float | None:
        """What was given for a concern as a number; None when nothing was given or it is no number."""
        try:
            number = float(self.value(concept) or "")
        except ValueError:
            return None
        return number if math.isfinite(number) else None


def engine_of(container: Mapping[str, Any], configmaps: Iterable[Mapping[str, Any]] = ()) -> Engine:
    """The engine in a container of ``workload.containers``; `configmaps` are those of ``service.configmaps``."""
    maps = {str((m.get("metadata") or {}).get("name")): m.get("data") or {} for m in configmaps}
    env = environment(container, maps)
    command = [str(word) for word in container.get("command") or ()]
    args = [str(word) for word in container.get("args") or ()]
    words = command_words(command, args, env)
    recognition = recognise_container(str(container.get("image") or ""), words, (), env)
    profile = runtime(recognition.name if recognition.name != "unknown" else recognition.profile)
    files = {
        f"{name}/{key}": str(text)
        for name, data in maps.items()
        for key, text in data.items()
        if _is_engine_file(key, (*words, *env.values()))
    }
    settings = {**_from_files(profile, files), **read_settings(profile, command, args, env)}
    return Engine(recognition, profile, settings, env, words, files)


def serving_engines(
    containers: Iterable[Mapping[str, Any]], configmaps: Iterable[Mapping[str, Any]] = ()
) -> list[tuple[Mapping[str, Any], Engine]]:
    """Each serving container of ``workload.containers`` with its engine."""
    maps = list(configmaps)
    return [(container, engine_of(container, maps)) for container in containers if container["serving"]]


def silent_engine(containers: Iterable[Mapping[str, Any]]) -> tuple[str, str] | None:
    """The finding that explains why nothing of the engines can be watched: none of them has metrics at all."""
    engines = serving_engines(containers)
    silent = [c["subject"] for c, engine in engines if engine.known and engine.profile.metrics_default == "none"]
    return ("engine-metrics", silent[0]) if silent and len(silent) == len(engines) else None


def environment(container: Mapping[str, Any], maps: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """The container's variables, those of ConfigMaps resolved as far as `maps` (name → data) holds them."""
    env: dict[str, str] = {}
    for source in container.get("envFrom") or ():
        name = (source.get("configMapRef") or {}).get("name")
        prefix = str(source.get("prefix") or "")
        env |= {prefix + key: str(value) for key, value in maps.get(str(name), {}).items()}
    for entry in container.get("env") or ():
        origin = entry.get("valueFrom") or {}
        if "secretKeyRef" in origin:
            env[str(entry.get("name"))] = FROM_SECRET
        elif reference := origin.get("configMapKeyRef"):
            value = maps.get(str(reference.get("name")), {}).get(str(reference.get("key")))
            if value is not None:
                env[str(entry.get("name"))] = str(value)
        elif entry.get("value") is not None:
            env[str(entry.get("name"))] = str(entry["value"])
    return env


def _is_engine_file(key: str, mentions: Iterable[str]) -> bool:
    """True for a file that the engine is told to read, or whose name is fixed; other files are not its settings."""
    fixed = key.endswith("config.pbtxt") or key in ("model-settings.json", "settings.json", "config.properties")
    return fixed or any(key in mention for mention in mentions)


def _from_files(profile: Runtime, files: Mapping[str, str]) -> dict[SettingConcept, SettingValue]:
    """Settings in configuration files: YAML, properties and Triton's text format write ``key: value`` or ``key=value``.

    A flag's name without its dashes counts too, for that is how engines spell their options in a file.
    """
    found: dict[SettingConcept, SettingValue] = {}
    for concept, setting in profile.settings.items():
        keys = [key.rpartition(".")[2] for key in setting.config]
        keys += [flag.lstrip("-") for flag in setting.flags if flag.startswith("--")]
        for name, text in files.items():
            # Triton's text format may write several settings on one line, in braces.
            start = r'^(?:[^#\n]*[\s{])?"?' if name.endswith(".pbtxt") else r'^[\s{"]*'
            for key in keys:
                spelt = "[-_]".join(re.escape(part) for part in re.split(r"[-_]", key))
                if hit := re.search(rf'(?m){start}{spelt}"?[ \t]*([:=\[{{])[ \t]*"?([^\s",#}}]*)', text):
                    value, source = hit[2], f"{name}: {key}"
                    off = value.lower() in ("false", "off")
                    found.setdefault(concept, SettingValue(concept=concept, value=value, source=source, off=off))
    return found


def engine_port(engine: Engine) -> int | None:
    """The port it was told to serve HTTP on; None when it was not told."""
    of_grpc = engine.profile.grpc_port.flags if engine.profile.grpc_port is not None else ()
    for at, word in enumerate(engine.words):
        name, equals, value = word.partition("=")
        if name in _PORT_FLAGS and name not in of_grpc:
            text = value if equals else next(iter(engine.words[at + 1 : at + 2]), "")
            return whole_number(text)
    given = (whole_number(engine.env.get(name, "")) for name in _PORT_VARIABLES)
    return next((number for number in given if number is not None), None)


def other_ports(engine: Engine) -> set[int]:
    """Ports that it was told to open beside: every flag and variable whose name ends in ``port``."""
    flags = {word.partition("=")[0] for word in engine.words if re.match(r"--[\w-]*port(=|$)", word)}
    texts = [flag_value(engine, flag) for flag in flags - {*_PORT_FLAGS}]
    texts += [value for name, value in engine.env.items() if name.endswith("_PORT") and name not in _PORT_VARIABLES]
    return {number for text in texts if (number := whole_number(text or "")) is not None}


def grpc_port(engine: Engine) -> int | None:
    """The port it was told to serve gRPC on, else the runtime's own; None where it has none or is not recognised."""
    setting = engine.profile.grpc_port
    if not engine.known or setting is None:
        return None
    given = [flag_value(engine, *setting.flags)] if setting.flags else []
    given += [engine.env.get(name) for name in setting.env]
    told = (whole_number(text or "") for text in given)
    return next((number for number in told if number is not None), engine.profile.ports.get("grpc"))


def flag_value(engine: Engine, *flags: str) -> str | None:
    """What one of `flags` was given, for flags the registry has no concern for; "" for a flag that stands alone."""
    wanted = {flag.replace("_", "-") for flag in flags}
    for at, word in enumerate(engine.words):
        name, equals, value = word.partition("=")
        if name.replace("_", "-") in wanted:
            following = next(iter(engine.words[at + 1 : at + 2]), "")
            return value if equals else "" if following.startswith("-") else following
    return None


def cache_folder(engine: Engine) -> str:
    """The folder where the engine keeps what it fetches from a hub; empty where that is not known."""
    return engine.env.get("HF_HOME") or engine.env.get("HF_HUB_CACHE") or _CACHES.get(engine.profile.name, "")


def flag_values(engine: Engine, *flags: str) -> list[str]:
    """All that was given to a flag that takes several words, or that may come more than once."""
    wanted = {flag.replace("_", "-") for flag in flags}
    found: list[str] = []
    taking = False
    for word in engine.words:
        name, equals, value = word.partition("=")
        if word.startswith("-"):
            taking = name.replace("_", "-") in wanted
            found += [value] if taking and equals else []
        elif taking:
            found.append(word)
    return found


def is_hub_model(model: str) -> bool:
    """True for ``owner/name`` as a model hub has it: not a path, a URL or a bucket."""
    return _HUB_ID.fullmatch(model) is not None and not is_marker(model)


def is_commit(revision: str) -> bool:
    """True for a full commit hash, which nobody can move; a branch or tag can be."""
    return _HEX_COMMIT.fullmatch(revision) is not None


def quantised_as(engine: Engine) -> str | None:
    """What the weights are quantised with, by its setting or by the model's name; None when neither says."""
    setting = engine.settings.get("quantization")
    if setting is not None and not setting.off and setting.value.lower() not in ("", "none"):
        return setting.value
    name = _QUANTISED_NAME.search(engine.value("model") or "")
    return name[1] if name else None


def is_generative(engine: Engine) -> bool:
    """True for a runtime that generates token by token, whose answers last seconds to minutes."""
    return engine.profile.kind == "llm"
