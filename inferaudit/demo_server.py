"""A real llama.cpp server with a tiny model, for the demo and for tests: ``python -m inferaudit.demo_server``."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from inferaudit.demo_model import write_tiny_gguf
from inferaudit.errors import CollectError

START_S = 30.0
STOP_S = 10.0


@contextmanager
def demo_server(
    folder: Path,
    *,
    slots: int = 4,
    context: int = 8192,
    threads: int = 1,
    embedding: bool = False,
    api_key: str = "",
    model: Path | None = None,
) -> Iterator[str]:
    """Serve on a free loopback port until the block ends; gives the base URL. The model is written into `folder`.

    :class:`CollectError` says in one line why it did not start.
    """
    if model is None:
        model = folder / "tiny.gguf"
        write_tiny_gguf(model, context=context)
    port = _free_port()
    flags = ["--model", str(model), "--port", str(port), "--slots", str(slots), "--context", str(context),
             "--threads", str(threads)]  # fmt: skip
    if embedding:
        flags.append("--embedding")
    log = folder / "llamacpp.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "inferaudit.demo_server", *flags],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **({"LLAMACPP_API_KEY": api_key} if api_key else {})},
        )
    try:
        _wait_until_healthy(port, process, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def main() -> None:
    """Serve until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(description="llama.cpp on a loopback port")
    parser.add_argument("--model", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--context", type=int, default=8192)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--embedding", action="store_true")
    asked = parser.parse_args()
    try:
        import xllamacpp
    except ImportError as error:
        missing = "libgomp1 is missing: apt-get install libgomp1" if "libgomp" in str(error) else str(error)
        sys.exit(f"llama.cpp cannot be loaded: {missing}; it comes with pip install 'inferaudit[demo]'")
    settings = xllamacpp.CommonParams()
    settings.model.path = asked.model
    settings.model_alias = {"tiny"}
    settings.hostnames = ["127.0.0.1"]
    settings.port = asked.port
    settings.n_ctx = asked.context
    settings.n_parallel = asked.slots
    settings.endpoint_metrics = True
    settings.endpoint_slots = True
    settings.cpuparams.n_threads = asked.threads
    settings.cpuparams_batch.n_threads = asked.threads
    if asked.embedding:
        settings.embedding = True
        settings.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    if key := os.environ.get("LLAMACPP_API_KEY"):
        settings.api_keys = [key]
    server = xllamacpp.Server(settings)
    # Its threads do not end on a signal; there is nothing to save, so leave at once.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))
    while server is not None:
        signal.pause()


def _wait_until_healthy(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    import http.client

    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            lines = [text for text in log.read_text("utf-8", "replace").splitlines() if text.strip()]
            raise CollectError(f"llama.cpp did not start: {lines[-1] if lines else f'exit {process.returncode}'}")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            connection.request("GET", "/health")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.02)
    raise CollectError(f"llama.cpp was not ready after {START_S:g} s")


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


if __name__ == "__main__":
    main()
