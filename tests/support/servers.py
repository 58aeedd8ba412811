"""Real model servers, each out of a virtual environment of its own: their dependencies clash with ours.

``PYTHONPATH=tests python -m support.servers install [NAME…]`` installs them once into the cache folder;
``… run NAME`` serves until Ctrl-C. In tests ``with start("triton", tmp_path) as server``.
"""

import argparse
import contextlib
import fcntl
import hashlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from support.processes import Processes, free_port

HERE = Path(__file__).with_name("servers")
READY_S = 60.0  # the first start compiles thousands of modules, on a busy two-core machine
_COMPLETE = ".complete"


class MissingServerError(RuntimeError):
    """A server is not installed; the message is one line and names the command."""


@dataclass(frozen=True)
class ModelServer:
    """A running server on loopback. `models` are those it serves; `metrics` is the URL of its metrics page, `grpc` that
    of its gRPC port (empty without one)."""

    name: str
    url: str
    metrics: str
    models: tuple[str, ...]
    folder: Path
    grpc: str = ""

    def get(self, route: str) -> tuple[int, str]:
        """Status and text of a GET; `route` may be a whole URL."""
        return ask("GET", route if "://" in route else self.url + route)

    def post(self, route: str, body: object = None) -> tuple[int, str]:
        """Status and text of a POST of JSON."""
        return ask("POST", self.url + route, json.dumps({} if body is None else body).encode())

    def counted(self, metric: str, **labels: str) -> float:
        """The sum over the series of `metric` that carry `labels`, as the server counts now; 0 without any."""
        total = 0.0
        for line in self.get(self.metrics)[1].splitlines():
            series, _, value = line.rpartition(" ")
            name, _, given = series.partition("{")
            if name == metric and all(f'{key}="{want}"' in given for key, want in labels.items()):
                total += float(value)
        return total


@dataclass(frozen=True)
class _Recipe:
    """How a server starts: the arguments of its environment's Python, files of its folder, ports it is given."""

    command: Callable[[Path, Sequence[int]], list[str]]
    models: tuple[str, ...]
    ready: str
    files: Callable[[Path, Sequence[int]], None] | None = None
    environment: Mapping[str, str] | None = None
    ports: int = 1
    metrics_port: int = 0
    grpc_port: int | None = None


def start(
    name: str, folder: Path, *, loading: bool = False, **environment: str
) -> contextlib.AbstractContextManager[ModelServer]:
    """Run the server `name` with its sample models until the block ends; `environment` reaches the models' code.

    With `loading` the block begins as soon as the port is open, ready or not.
    :class:`MissingServerError` where it is not installed; ProcessError, with its log, where it does not get ready.
    """
    return _run(name, RECIPES[name], folder, environment, loading)


@contextmanager
def _run(
    name: str, recipe: _Recipe, folder: Path, environment: Mapping[str, str], loading: bool
) -> Iterator[ModelServer]:
    home = installed(name)
    ports = [free_port() for _ in range(recipe.ports)]
    if recipe.files is not None:
        recipe.files(folder, ports)
    program, *arguments = recipe.command(home, ports)
    url = f"http://127.0.0.1:{ports[0]}"
    processes = Processes(folder)
    quiet = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPATH": str(HERE), "PYTHONUNBUFFERED": "1"}
    processes.start(name, Path(program), *arguments, env={**quiet, **(recipe.environment or {}), **environment})
    metrics = f"http://127.0.0.1:{ports[recipe.metrics_port]}/metrics"
    try:
        if loading:
            processes.until(f"{name} on port {ports[0]}", lambda: _is_open(ports[0]), timeout_s=READY_S)
        for page in () if loading else (url + recipe.ready, metrics):  # Triton opens them one after the other
            processes.until(f"{name} at {page}", lambda page=page: is_ready(page), timeout_s=READY_S)
        grpc = "" if recipe.grpc_port is None else f"grpc://127.0.0.1:{ports[recipe.grpc_port]}"
        yield ModelServer(name, url, metrics, recipe.models, folder, grpc)
    finally:
        groups = [process.pid for process in processes.running.values()]
        processes.stop()
        for group in groups:  # workers that a killed supervisor left
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)


def is_ready(url: str) -> bool:
    """True when a GET answers 200 in a moment."""
    try:
        return ask("GET", url, timeout_s=1.0)[0] == 200
    except (OSError, http.client.HTTPException):
        return False


def _is_open(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def until(what: str, true: Callable[[], bool], *, timeout_s: float = 20.0) -> None:
    """Return once it is true; TimeoutError when it never is."""
    deadline = time.monotonic() + timeout_s
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout_s:g} s: {what}")
        time.sleep(0.05)


def ask(method: str, url: str, body: bytes | None = None, *, timeout_s: float = 10.0) -> tuple[int, str]:
    """Status and text of one request, with nothing of ours in between."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=timeout_s)
    try:
        connection.request(method, parts.path, body, {"Content-Type": "application/json"} if body else {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode("utf-8", "replace")
    finally:
        connection.close()


def environment_of(name: str) -> Path:
    """The virtual environment of `name`: another folder for other requirements or another Python."""
    requirements = (HERE / f"{name}.txt").read_bytes()
    digest = hashlib.sha256(requirements + sys.version.encode()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "inferaudit" / "servers" / f"{name}-{digest}"


def installed(name: str) -> Path:
    """The environment of `name`; :class:`MissingServerError` where there is none."""
    home = environment_of(name)
    if not (home / _COMPLETE).exists():
        raise MissingServerError(f"the model server {name} is not installed: make servers")
    return home


def install(name: str) -> Path:
    """Create the environment of `name` unless it is there. Two that install at a time do not disturb each other."""
    home = environment_of(name)
    home.parent.mkdir(parents=True, exist_ok=True)
    with home.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (home / _COMPLETE).exists():
            return home
        shutil.rmtree(home, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        pip = [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-deps"]
        subprocess.run([*pip, "--requirement", str(HERE / f"{name}.txt")], check=True)
        (home / _COMPLETE).touch()
    return home


def _packages(home: Path) -> Path:
    return Path(sysconfig.get_path("purelib", vars={"base": str(home), "platbase": str(home)}))


def _python(home: Path, *arguments: str) -> list[str]:
    return [str(home / "bin" / "python"), *arguments]


# --- Triton: out of pytriton's wheel, with the Python backend


def _triton_files(folder: Path, ports: Sequence[int]) -> None:
    wheel = _packages(installed("triton")) / "pytriton" / "tritonserver"
    backend = folder / "backends" / "python"
    shutil.copytree(wheel / "backends" / "python", backend)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    shutil.copy2(wheel / "python_backend_stubs" / version / "triton_python_backend_stub", backend)
    for model in (HERE / "triton").iterdir():
        (folder / "models" / model.name / "1").mkdir(parents=True)
        shutil.copy2(model / "config.pbtxt", folder / "models" / model.name)
        shutil.copy2(model / "model.py", folder / "models" / model.name / "1")


def _triton(home: Path, ports: Sequence[int]) -> list[str]:
    wheel = _packages(home) / "pytriton" / "tritonserver"
    libraries = f"{_packages(home) / 'nvidia_pytriton.libs'}:{sysconfig.get_config_var('LIBDIR')}"
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


def _mlserver_files(folder: Path, ports: Sequence[int]) -> None:
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


RECIPES: dict[str, _Recipe] = {
    "triton": _Recipe(
        _triton, ("double", "words"), "/v2/health/ready", _triton_files, ports=3, metrics_port=1, grpc_port=2
    ),
    "mlserver": _Recipe(
        lambda home, ports: _python(home, "-m", "mlserver.cli.main", "start", "."),
        ("tiny",),
        "/v2/models/tiny/ready",
        _mlserver_files,
        ports=3,
        metrics_port=1,
        grpc_port=2,
    ),
    "kserve": _Recipe(
        lambda home, ports: _python(
            *(home, str(HERE / "kserve_model.py"), "--http_port", str(ports[0]), "--grpc_port", str(ports[1]))
        ),
        ("tiny",),
        "/v2/models/tiny/ready",
        ports=2,
        grpc_port=1,
    ),
    "bentoml": _Recipe(
        lambda home, ports: _python(
            *(home, "-m", "bentoml", "serve", "bentoml_service:Tiny", "--host", "127.0.0.1", "--port", str(ports[0]))
        ),
        ("tiny",),
        "/readyz",
        environment={"BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": "home"},
    ),
    "fastapi": _Recipe(
        lambda home, ports: _python(
            *(home, "-m", "uvicorn", "fastapi_app:app", "--host", "127.0.0.1", "--port", str(ports[0]))
        ),
        ("tiny",),
        "/health",
    ),
}


def main() -> None:
    """``install [NAME…]`` and ``run NAME``."""
    parser = argparse.ArgumentParser(prog="python -m support.servers", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("install", help="into the cache folder").add_argument("names", nargs="*")
    runner = actions.add_parser("run", help="until Ctrl-C")
    runner.add_argument("name", choices=list(RECIPES))
    runner.add_argument("folder", type=Path)
    asked = parser.parse_args()
    if asked.action == "install":
        if unknown := set(asked.names) - set(RECIPES):
            parser.error(f"no server {', '.join(sorted(unknown))}; there are {', '.join(RECIPES)}")
        for name in asked.names or RECIPES:
            began = time.monotonic()
            home = install(name)
            print(f"{name}: {home} ({time.monotonic() - began:.0f} s)", flush=True)
        return
    asked.folder.mkdir(parents=True, exist_ok=True)
    with start(asked.name, asked.folder) as server, contextlib.suppress(KeyboardInterrupt):
        print(f"{server.url}  models: {', '.join(server.models)}  metrics: {server.metrics}", flush=True)
        signal.pause()


if __name__ == "__main__":
    main()
