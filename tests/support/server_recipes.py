"""How each model server of `make test` starts. What they serve lies in ``servers/``."""

import json
import os
import shutil
import sys
import sysconfig
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).with_name("servers")


@dataclass(frozen=True)
class Recipe:
    """How a server starts: its command line, the files of the folder it runs in, the ports it is given.

    `home` is its environment. `prepare` ends the installation there; `seed` gives the running server its model.
    With `alone` it runs in a network that holds loopback alone, for it listens on every interface.
    """

    command: Callable[[Path, Sequence[int]], list[str]]
    models: tuple[str, ...]
    ready: str
    files: Callable[[Path, Path, Sequence[int]], None] | None = None
    environment: Callable[[Path, Path], Mapping[str, str]] | None = None
    ports: int = 1
    metrics_port: int | None = 0  # the index of its port; None where it has no metrics
    grpc_port: int | None = None
    prepare: Callable[[Path], None] | None = None
    seed: Callable[[str, Path], None] | None = None
    ready_s: float = 60.0  # the first start compiles thousands of modules, on a busy two-core machine
    alone: bool = False


def packages(home: Path) -> Path:
    """The site-packages of an environment."""
    return Path(sysconfig.get_path("purelib", vars={"base": str(home), "platbase": str(home)}))


def python(home: Path, *arguments: str) -> list[str]:
    """A command line of an environment's Python."""
    return [str(home / "bin" / "python"), *arguments]


# --- Triton: out of pytriton's wheel, with the Python backend


def _triton_files(home: Path, folder: Path, ports: Sequence[int]) -> None:
    wheel = packages(home) / "pytriton" / "tritonserver"
    backend = folder / "backends" / "python"
    shutil.copytree(wheel / "backends" / "python", backend)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    shutil.copy2(wheel / "python_backend_stubs" / version / "triton_python_backend_stub", backend)
    # Not called "triton": the folder is on every server's path, and torch would take it for the package of that name.
    for model in (HERE / "triton_models").iterdir():
        (folder / "models" / model.name / "1").mkdir(parents=True)
        shutil.copy2(model / "config.pbtxt", folder / "models" / model.name)
        shutil.copy2(model / "model.py", folder / "models" / model.name / "1")


def _triton(home: Path, ports: Sequence[int]) -> list[str]:
    wheel = packages(home) / "pytriton" / "tritonserver"
    libraries = f"{packages(home) / 'nvidia_pytriton.libs'}:{sysconfig.get_config_var('LIBDIR')}"
    # The stub's interpreter ignores PYTHONPATH and takes the packages of the first python3 on PATH: it must be ours,
    # for with another numpy (2 and newer) tensors have wrong sizes.
    path = f"{home / 'bin'}:{os.environ['PATH']}"
    return [
        *("/usr/bin/env", f"LD_LIBRARY_PATH={libraries}", f"PATH={path}", str(wheel / "bin" / "tritonserver")),
        *("--model-repository", "models", "--backend-directory", "backends"),
        *("--cache-directory", str(wheel / "caches")),
        *("--http-address", "127.0.0.1", "--http-port", str(ports[0])),
        *("--grpc-address", "127.0.0.1", "--grpc-port", str(ports[2])),
        *("--metrics-address", "127.0.0.1", "--metrics-port", str(ports[1])),
        *("--model-control-mode", "explicit", "--load-model", "*", "--exit-timeout-secs", "2"),
    ]


# --- MLServer


def _mlserver_files(home: Path, folder: Path, ports: Sequence[int]) -> None:
    http_port, metrics_port, grpc_port = ports
    server = {"host": "127.0.0.1", "http_port": http_port, "metrics_port": metrics_port, "grpc_port": grpc_port}
    server |= {"parallel_workers": 0, "gzip_enabled": False, "debug": False}  # or infer_stream is a 500
    (folder / "settings.json").write_text(json.dumps(server))
    model = {
        "name": "tiny",
        "implementation": "mlserver_model.Tiny",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 1]}],
    }
    (folder / "tiny").mkdir()
    (folder / "tiny" / "model-settings.json").write_text(json.dumps(model))


LIGHT: dict[str, Recipe] = {
    "triton": Recipe(
        _triton, ("double", "words"), "/v2/health/ready", _triton_files, ports=3, metrics_port=1, grpc_port=2
    ),
    "mlserver": Recipe(
        lambda home, ports: python(home, "-m", "mlserver.cli.main", "start", "."),
        ("tiny",),
        "/v2/models/tiny/ready",
        _mlserver_files,
        ports=3,
        metrics_port=1,
        grpc_port=2,
    ),
    "kserve": Recipe(
        lambda home, ports: python(
            *(home, str(HERE / "kserve_model.py"), "--http_port", str(ports[0]), "--grpc_port", str(ports[1]))
        ),
        ("tiny",),
        "/v2/models/tiny/ready",
        ports=2,
        grpc_port=1,
    ),
    "bentoml": Recipe(
        lambda home, ports: python(
            *(home, "-m", "bentoml", "serve", "bentoml_service:Tiny", "--host", "127.0.0.1", "--port", str(ports[0]))
        ),
        ("tiny",),
        "/readyz",
        environment=lambda home, folder: {"BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": "home"},
    ),
    "fastapi": Recipe(
        lambda home, ports: python(
            *(home, "-m", "uvicorn", "fastapi_app:app", "--host", "127.0.0.1", "--port", str(ports[0]))
        ),
        ("tiny",),
        "/health",
    ),
}
