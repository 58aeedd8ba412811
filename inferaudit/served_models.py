"""How many models one server holds, and what keeps them from each other, by its flags and configuration files. Pure.

https://docs.vllm.ai/en/latest/features/lora/, https://docs.sglang.io/advanced_features/lora.html,
https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/user_guide/model_configuration.html,
https://github.com/ollama/ollama/blob/main/docs/faq.mdx and https://docs.pytorch.org/serve/configuration.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from inferaudit.engine_args import Engine, flag_value, flag_values

_SGLANG_BATCH = 8


@dataclass(frozen=True, slots=True)
class ServedModels:
    """The models of one server. `names` None: how many there are is not in view. `lacks` says what is missing."""

    names: tuple[str, ...] | None
    source: str
    lacks: tuple[str, ...] = ()


def served_models(engine: Engine) -> ServedModels:
    """The models that an engine is told to serve; adapters count, other names of one model do not."""
    reader = {
        "vllm": _vllm,
        "sglang": _sglang,
        "triton": _triton,
        "ollama": _ollama,
        "torchserve": _torchserve,
        "tf-serving": _tf_serving,
    }.get(engine.recognition.name)
    return reader(engine) if reader else ServedModels(("",), "a runtime that serves one model")


def _vllm(engine: Engine) -> ServedModels:
    adapters = [_adapter(word) for word in flag_values(engine, "--lora-modules")]
    if not adapters:
        return ServedModels((engine.value("model") or "",), "--model")
    lacks = []
    if flag_value(engine, "--enable-lora") is None:
        lacks.append("--lora-modules without --enable-lora: the server does not start")
    at_once = _count(flag_value(engine, "--max-loras"), 1)
    if at_once < len(adapters):
        lacks.append(f"{len(adapters)} adapters, and a batch holds {at_once} (--max-loras): they wait for each other")
    return ServedModels((engine.value("model") or "", *adapters), "--lora-modules", tuple(lacks))


def _sglang(engine: Engine) -> ServedModels:
    adapters = [_adapter(word) for word in flag_values(engine, "--lora-paths")]
    if not adapters:
        return ServedModels((engine.value("model") or "",), "--model-path")
    at_once = _count(flag_value(engine, "--max-loras-per-batch"), _SGLANG_BATCH)
    lacks = f"{len(adapters)} adapters, and a batch holds {at_once} (--max-loras-per-batch): they wait for each other"
    found = (lacks,) if at_once < len(adapters) else ()
    return ServedModels((engine.value("model") or "", *adapters), "--lora-paths", found)


def _triton(engine: Engine) -> ServedModels:
    files = {name: text for name, text in engine.files.items() if name.endswith("config.pbtxt")}
    named = flag_values(engine, "--load-model")
    if flag_value(engine, "--model-control-mode") == "explicit" and len(named) == 1 and len(files) < 2:
        return ServedModels(tuple(named), "--load-model")
    if not files and len(named) < 2:
        return ServedModels(None, "the model repository")
    own = {_pbtxt_name(name, text): text for name, text in files.items()}
    if len(own) < 2 and len(named) < 2:
        return ServedModels(None, "the model repository, of which one configuration is in view")
    names = tuple(dict.fromkeys((*named, *own)))
    lacks = []
    for model, text in own.items():
        # An ensemble or a decoupled backend of vLLM queues by itself and has no instances of its own.
        if re.search(r'platform\s*:\s*"ensemble"|backend\s*:\s*"vllm"', text):
            continue
        if not re.search(r"instance_group\s*[\[{:]", text):
            lacks.append(f"{model} has no instance_group: an instance on each GPU, beside those of the others")
        if not re.search(r"max_queue_size\s*:\s*[1-9]", text):
            lacks.append(f"{model} has no max_queue_size: its queue takes memory and time of the others without end")
    return ServedModels(names, "config.pbtxt", tuple(lacks))


def _pbtxt_name(path: str, text: str) -> str:
    stated = re.search(r'(?m)^\s*name\s*:\s*"([^"]+)"', text)
    return stated[1] if stated else path


def _ollama(engine: Engine) -> ServedModels:
    most = engine.env.get("OLLAMA_MAX_LOADED_MODELS", "")
    if most == "1":
        return ServedModels(("",), "OLLAMA_MAX_LOADED_MODELS")
    if not most.isdigit():
        return ServedModels(None, "OLLAMA_MAX_LOADED_MODELS: three for each GPU by default")
    limits = [name for name in ("OLLAMA_NUM_PARALLEL", "OLLAMA_MAX_QUEUE") if name not in engine.env]
    lacks = tuple(f"{name} is not set: requests of one model take the room of the others" for name in limits)
    return ServedModels(tuple(f"model {i + 1}" for i in range(int(most))), "OLLAMA_MAX_LOADED_MODELS", lacks)


def _torchserve(engine: Engine) -> ServedModels:
    text = "\n".join(text for name, text in engine.files.items() if name.endswith("config.properties"))
    given = flag_values(engine, "--models") or _listed(text)
    if not given or given == ["all"]:
        return ServedModels(None, "load_models")
    names = tuple(each.partition("=")[0].removesuffix(".mar") for each in given)
    if len(names) < 2:
        return ServedModels(names, "load_models")
    bounded = re.search(r"(?m)^\s*(models\s*=.*maxWorkers|default_workers_per_model\s*=)", text.replace("\\\n", " "))
    lacks = "neither `models=` with maxWorkers nor default_workers_per_model: each takes a worker on every GPU"
    return ServedModels(names, "load_models", () if bounded else (lacks,))


def _listed(text: str) -> list[str]:
    found = re.search(r"(?m)^\s*load_models\s*=\s*(\S+)", text)
    return [each for each in found[1].split(",") if each] if found else []


def _tf_serving(engine: Engine) -> ServedModels:
    file = flag_value(engine, "--model_config_file")
    if not file:
        return ServedModels((flag_value(engine, "--model_name") or "",), "--model_name")
    key = file.rpartition("/")[2]
    text = next((text for name, text in engine.files.items() if name.endswith(f"/{key}")), None)
    if text is None:
        return ServedModels(None, f"--model_config_file={file}")
    names = tuple(re.findall(r'\bname\s*:\s*"([^"]+)"', text))
    batched = flag_value(engine, "--batching_parameters_file") is not None
    lacks = "no --batching_parameters_file with max_enqueued_batches: one model's queue takes the threads of all"
    return ServedModels(names, key, () if batched or len(names) < 2 else (lacks,))


def _adapter(word: str) -> str:
    """The name in ``name=path``, or in the JSON that newer versions take."""
    stated = re.search(r'"name"\s*:\s*"([^"]+)"', word)
    return stated[1] if stated else word.partition("=")[0]


def _count(text: str | None, default: int) -> int:
    return int(text) if text and text.isdigit() else default


def several(models: ServedModels) -> bool:
    """True where more than one is known of."""
    return models.names is not None and len(models.names) > 1


def evidence_of(models: ServedModels) -> Mapping[str, object]:
    """What was seen, for a finding."""
    return {"models": None if models.names is None else list(models.names), "source": models.source}
