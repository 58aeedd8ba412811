"""What a serving container was told: its settings by concern, read from command line and environment. Pure.

Flags are taken as ``--a-b X``, ``--a_b X`` and ``--a-b=X``; a ``bash -c`` script is looked into; flags that arrive
through an environment variable (``VLLM_ADDITIONAL_ARGS``, ``NIM_PASSTHROUGH_ARGS``) count like the others.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence

import msgspec

from inferaudit.runtime_registry import Runtime, Setting, SettingConcept

_ARGUMENT_VARIABLES = ("VLLM_ADDITIONAL_ARGS", "NIM_PASSTHROUGH_ARGS", "EXTRA_ARGS")
_SHELLS = re.compile(r"(?:^|/)(?:ba|da|a|z)?sh$")


class SettingValue(msgspec.Struct, frozen=True, kw_only=True):
    """One setting as it was given. `value` "" = the flag stood alone; `off` = it was switched off.

    `source` is the flag or the variable that carried it.
    """

    concept: str
    value: str
    source: str
    off: bool = False


def command_words(command: Sequence[str], args: Sequence[str] = (), env: Mapping[str, str] | None = None) -> list[str]:
    """The words of the command line, scripts of ``sh -c`` and flags from the environment included."""
    words = [*command, *args]
    for at, word in enumerate(words[:-1]):
        if _SHELLS.search(word):
            flag = next((i for i in range(at + 1, len(words)) if re.fullmatch(r"-[a-z]*c", words[i])), None)
            if flag is not None and flag + 1 < len(words):
                words = [*words[:flag], *_split(words[flag + 1]), *words[flag + 2 :]]
            break
    for name in _ARGUMENT_VARIABLES:
        words += _split((env or {}).get(name, ""))
    return words


def read_settings(
    runtime: Runtime, command: Sequence[str], args: Sequence[str] = (), env: Mapping[str, str] | None = None
) -> dict[SettingConcept, SettingValue]:
    """The settings that were given, by concern; a concern that is not in the answer has the runtime's default.

    A flag wins over a variable, as it does in every runtime; of a flag given twice the last one wins. `env` holds
    literal values; a variable whose value comes from a Secret may be given as a marker.
    """
    flags = _flags(command_words(command, args, env))
    found: dict[SettingConcept, SettingValue] = {}
    for concept, setting in runtime.settings.items():
        value = _from_flags(concept, setting, flags) or _from_env(concept, setting, env or {})
        if value is not None:
            found[concept] = value
    if "model" not in found and (model := _positional_model(command_words(command, args, env))):
        found["model"] = SettingValue(concept="model", value=model, source="the first argument")
    return found


def _from_flags(concept: str, setting: Setting, flags: Mapping[str, str]) -> SettingValue | None:
    for flag in setting.off_flags:
        if (key := _spelling(flag)) in flags and flags[key].lower() not in ("false", "0"):
            return SettingValue(concept=concept, value=flags[key], source=flag, off=True)
    for flag in setting.flags:
        if (key := _spelling(flag)) in flags:
            off = flags[key].lower() in ("false", "off") and not setting.unit
            return SettingValue(concept=concept, value=flags[key], source=flag, off=off)
    return None


def _from_env(concept: str, setting: Setting, env: Mapping[str, str]) -> SettingValue | None:
    for name in setting.env:
        if name in env:
            return SettingValue(concept=concept, value=env[name], source=name)
    return None


def _flags(words: Sequence[str]) -> dict[str, str]:
    """Flag → value ("" for a flag that stands alone). A negative number is a value, not a flag."""
    flags = {}
    for at, word in enumerate(words):
        if not re.match(r"-{1,2}[A-Za-z]", word):
            continue
        name, equals, value = word.partition("=")
        following = words[at + 1] if at + 1 < len(words) else ""
        if not equals and following and not re.match(r"-{1,2}[A-Za-z]", following):
            value = following
        flags[_spelling(name)] = value
    return flags


def _spelling(flag: str) -> str:
    """One spelling for ``--a-b`` and ``--a_b``; short flags keep their case."""
    return flag.replace("_", "-") if flag.startswith("--") else flag


def _positional_model(words: Sequence[str]) -> str | None:
    """The model of ``vllm serve MODEL`` and ``trtllm-serve [serve] MODEL``."""
    for at, word in enumerate(words):
        program = word.rpartition("/")[2]
        if program == "vllm" and list(words[at + 1 : at + 2]) == ["serve"]:
            rest = words[at + 2 :]
        elif program == "trtllm-serve":
            rest = words[at + 2 :] if list(words[at + 1 : at + 2]) == ["serve"] else words[at + 1 :]
        else:
            continue
        return rest[0] if rest and not rest[0].startswith("-") else None
    return None


def _split(script: str) -> list[str]:
    """The words of a shell text; a text that does not parse is split at blanks, so that its flags are still seen."""
    text = re.sub(r"\\\r?\n", " ", script)
    try:
        return shlex.split(text, comments=True)
    except ValueError:
        return text.split()
