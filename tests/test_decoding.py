"""Types are worked out one at a time: msgspec itself crashes when threads use a new type at once."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "inferaudit"

# Eight threads meet at a barrier and decode a type that none of them has seen, many times over. With
# `msgspec.json.Decoder(kind)` in the place of `decoder(kind)` this ends by SIGSEGV within the first hundreds.
TOGETHER = """
import sys, threading
import msgspec
from inferaudit.decoding import converted, decoder

sys.setswitchinterval(1e-6)
body = b'{"items": [{"name": "a", "labels": {"k": "v"}}]}'
wrong = []

def together(kind):
    barrier = threading.Barrier(8)
    def use(number):
        barrier.wait()
        made = converted(msgspec.json.decode(body), kind) if number % 2 else decoder(kind).decode(body)
        wrong.extend([made] * (made.items[0].labels != {"k": "v"}))
    threads = [threading.Thread(target=use, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

for _ in range(600):
    inner = msgspec.defstruct("Inner", [("name", str), ("labels", dict[str, str] | None, None), ("size", int, 0)])
    together(msgspec.defstruct("Page", [("items", list[inner])]))
sys.exit(len(wrong))
"""


def test_threads_may_use_a_new_type_at_the_same_time() -> None:
    run = subprocess.run([sys.executable, "-c", TOGETHER], capture_output=True, text=True, timeout=120, check=False)
    assert (run.returncode, run.stderr) == (0, "")


def test_what_runs_in_threads_works_no_type_out_by_itself() -> None:
    threads = [*PACKAGE.glob("collect/*.py"), *PACKAGE.glob("kube/*.py"), *PACKAGE.glob("bench/fetch.py"),
               PACKAGE / "runtime_registry.py", PACKAGE / "snapshot_line.py"]  # fmt: skip
    found = []
    for path in threads:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                typed = node.func.attr in ("convert", "Decoder") or any(k.arg == "type" for k in node.keywords)
                if typed and ast.unparse(node.func).startswith("msgspec."):
                    found.append(f"{path.name}:{node.lineno}: {ast.unparse(node)}")
    assert found == []
