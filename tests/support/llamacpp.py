"""A real llama.cpp server for tests: a random model of half a megabyte, up in a moment, or as late as a test wants."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from inferaudit.demo_model import write_tiny_gguf
from inferaudit.demo_server import demo_server
from support.processes import Processes, free_port
from support.servers import ask, is_ready

__all__ = ["loading_llamacpp", "start_llamacpp", "write_tiny_gguf"]
GATE = Path(__file__).parent / "servers" / "gate.c"


def start_llamacpp(tmp_path: Path, **options: Any) -> AbstractContextManager[str]:
    """``with start_llamacpp(tmp_path, slots=4, context=8192, embedding=False, api_key="") as url``."""
    return demo_server(tmp_path, **options)


@contextmanager
def loading_llamacpp(folder: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    """A server that is loading its model: the base URL, and a function that lets it finish and returns when ready."""
    library, gate, model = folder / "gate.so", folder / "gate", folder / "tiny.gguf"
    subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-o", library, GATE, "-ldl"], check=True)
    write_tiny_gguf(model)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    processes = Processes(folder)

    def finish() -> None:
        gate.touch()
        processes.until("llama.cpp ready", lambda: is_ready(f"{url}/health"))

    program = ["-m", "inferaudit.demo_server", "--model", str(model), "--port", str(port)]
    environment = {"LD_PRELOAD": str(library), "GATE": str(gate)}
    processes.start("llamacpp-loading", Path(sys.executable), *program, env=environment)
    try:
        processes.until("llama.cpp loading", lambda: _answers(f"{url}/health"))
        yield url, finish
    finally:
        processes.stop()


def _answers(url: str) -> bool:
    try:
        return ask("GET", url)[0] > 0
    except OSError:
        return False
