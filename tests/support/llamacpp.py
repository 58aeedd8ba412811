"""A real llama.cpp server for tests: a random model of half a megabyte, up in a moment."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from inferaudit.demo_model import write_tiny_gguf
from inferaudit.demo_server import demo_server

__all__ = ["start_llamacpp", "write_tiny_gguf"]


def start_llamacpp(tmp_path: Path, **options: Any) -> AbstractContextManager[str]:
    """``with start_llamacpp(tmp_path, slots=4, context=8192, embedding=False, api_key="") as url``."""
    return demo_server(tmp_path, **options)
