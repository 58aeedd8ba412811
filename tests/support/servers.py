"""Real model servers, each out of a virtual environment of its own: their dependencies clash with ours.

``PYTHONPATH=tests python -m support.servers install [NAME…]`` installs them once into the cache folder;
``… run NAME`` serves until Ctrl-C. In tests ``with start("triton", tmp_path) as server``.
"""

import argparse
import contextlib
import ctypes
import fcntl
import hashlib
import http.client
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from support.heavy_recipes import HEAVY
from support.processes import Processes, free_port
from support.server_recipes import HERE, LIGHT, Recipe

RECIPES = {**LIGHT, **HEAVY}
_COMPLETE = ".complete"
_NEW_NETWORK, _SET_INTERFACE_FLAGS, _UP, _RUNNING = 0x40000000, 0x8914, 0x1, 0x40  # linux/sched.h, sockios.h, if.h


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
    name: str, recipe: Recipe, folder: Path, environment: Mapping[str, str], loading: bool
) -> Iterator[ModelServer]:
    home = installed(name)
    ports = [free_port() for _ in range(recipe.ports)]
    if recipe.files is not None:
        recipe.files(home, folder, ports)
    program, *arguments = recipe.command(home, ports)
    url = f"http://127.0.0.1:{ports[0]}"
    processes = Processes(folder)
    quiet = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPATH": str(HERE), "PYTHONUNBUFFERED": "1"}
    own = recipe.environment(home, folder) if recipe.environment else {}
    metrics = "" if recipe.metrics_port is None else f"http://127.0.0.1:{ports[recipe.metrics_port]}/metrics"
    with loopback_alone() if recipe.alone else contextlib.nullcontext():
        processes.start(name, Path(program), *arguments, env={**quiet, **own, **environment})
        try:
            if loading:
                processes.until(f"{name} on port {ports[0]}", lambda: _is_open(ports[0]), timeout_s=recipe.ready_s)
            pages = [] if loading else [url + recipe.ready, *([metrics] if metrics else [])]
            for page in pages:  # Triton opens them one after the other
                processes.until(f"{name} at {page}", lambda page=page: is_ready(page), timeout_s=recipe.ready_s)
            if recipe.seed is not None:
                recipe.seed(url, home)
            grpc = "" if recipe.grpc_port is None else f"grpc://127.0.0.1:{ports[recipe.grpc_port]}"
            yield ModelServer(name, url, metrics, recipe.models, folder, grpc)
        finally:
            groups = [process.pid for process in processes.running.values()]
            processes.stop()
            for group in groups:  # workers that a killed supervisor left
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(group, signal.SIGKILL)


@contextmanager
def loopback_alone() -> Iterator[None]:
    """This thread, and what it starts, in a network that holds loopback alone; PermissionError without root."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/proc/thread-self/ns/net").open() as before:
        if libc.unshare(_NEW_NETWORK):
            raise PermissionError(ctypes.get_errno(), "a network of its own needs root")
        try:
            with socket.socket() as sock:
                up = struct.pack("16sh14x", b"lo", _UP | _RUNNING)
                fcntl.ioctl(sock, _SET_INTERFACE_FLAGS, up)
            yield
        finally:
            if libc.setns(before.fileno(), _NEW_NETWORK):
                raise OSError(ctypes.get_errno(), "cannot go back to the first network")


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
        command = "make servers" if name in LIGHT else "make test-servers"
        raise MissingServerError(f"the model server {name} is not installed: {command}")
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
        if (prepare := RECIPES[name].prepare) is not None:
            prepare(home)
        (home / _COMPLETE).touch()
    return home


def main() -> None:
    """``install [NAME…]`` and ``run NAME``."""
    parser = argparse.ArgumentParser(prog="python -m support.servers", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    installer = actions.add_parser("install", help="into the cache folder: those of make test without names")
    installer.add_argument("names", nargs="*")
    installer.add_argument("--heavy", action="store_true", help="those of make test-servers")
    runner = actions.add_parser("run", help="until Ctrl-C")
    runner.add_argument("name", choices=list(RECIPES))
    runner.add_argument("folder", type=Path)
    asked = parser.parse_args()
    if asked.action == "install":
        if unknown := set(asked.names) - set(RECIPES):
            parser.error(f"no server {', '.join(sorted(unknown))}; there are {', '.join(RECIPES)}")
        for name in asked.names or (HEAVY if asked.heavy else LIGHT):
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
