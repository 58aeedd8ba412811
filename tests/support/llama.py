"""llama.cpp with a tiny random model, as a container image for a real node."""

import hashlib
import importlib.metadata
import importlib.util
import os
import sys
from pathlib import Path

from .images import cache_folder, docker_archive, interpreter, python_files

LLAMA_IMAGE = "test.inferaudit.dev/llama:1"
RUNTIME_IMAGE = "ghcr.io/ggml-org/llama.cpp:server-b6900"  # the name by which an audit recognises the runtime

# Settings come by environment, so that one image serves every test.
_SERVER = '''\
"""Serves the tiny model. START_DELAY_S makes it load slowly, EAT_MIB makes it big, CRASH ends it with a log line."""
import os, signal, sys, time

print("starting, model /model.gguf", flush=True)
if os.environ.get("CRASH"):
    print(os.environ["CRASH"], file=sys.stderr, flush=True)
    sys.exit(1)
time.sleep(float(os.environ.get("START_DELAY_S", "0")))
eaten = b"x" * (int(os.environ.get("EAT_MIB", "0")) << 20)

import xllamacpp

p = xllamacpp.CommonParams()
p.model.path = "/model.gguf"
p.hostnames = ["0.0.0.0"]
p.port = int(os.environ.get("PORT", "8080"))
p.endpoint_metrics = True
p.n_ctx, p.n_parallel = 2048, 4
p.cpuparams.n_threads = 1
if os.environ.get("LLAMA_API_KEY"):
    p.api_keys = [os.environ["LLAMA_API_KEY"]]
server = xllamacpp.Server(p)
print("model loaded", flush=True)
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
while True:
    signal.pause()
'''


def llama_archive() -> Path:
    """The docker-archive of LLAMA_IMAGE, made once for each version of what goes into it and kept in the cache."""
    made_of = [importlib.metadata.version("xllamacpp"), sys.version, str(interpreter())]
    made_of += [(Path(__file__).parent / name).read_text() for name in ("llama.py", "images.py")]
    digest = hashlib.sha256("\0".join(made_of).encode()).hexdigest()[:16]
    archive = cache_folder() / "images" / f"llama-{digest}.tar"
    if not archive.exists():
        archive.parent.mkdir(exist_ok=True)
        half = archive.with_name(f"{archive.stem}-{os.getpid()}.tar")
        llama_image(half)
        half.replace(archive)  # in one step: another run may be looking
    return archive


def llama_image(target: Path) -> None:
    """Writes the image LLAMA_IMAGE as a docker-archive: about 200 MB, a few seconds."""
    found = importlib.util.find_spec("xllamacpp")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("xllamacpp is not installed: pip install --group dev")
    model = target.with_suffix(".gguf")
    write_tiny_gguf(model)
    files = {**python_files(Path(found.origin).parent), "/server.py": _SERVER, "/model.gguf": model}
    docker_archive(target, LLAMA_IMAGE, files, entrypoint=[str(interpreter()), "/server.py"])
    model.unlink()


def write_tiny_gguf(path: Path, *, layers: int = 2, hidden: int = 64, seed: int = 7) -> None:
    """A random llama of 0.5 MB whose vocabulary is single bytes and a few words; it writes nonsense, fast."""
    import gguf
    import numpy as np

    words = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *(f"▁w{n}" for n in range(125))]
    kinds = [gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.CONTROL]
    kinds += [gguf.TokenType.BYTE] * 256 + [gguf.TokenType.NORMAL] * 125
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_context_length(4096)
    writer.add_embedding_length(hidden)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(2 * hidden)
    writer.add_head_count(2)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(hidden // 2)
    writer.add_vocab_size(len(words))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(words)
    writer.add_token_scores([0.0] * len(words))
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)

    random = np.random.default_rng(seed)

    def matrix(rows: int, columns: int) -> "np.ndarray":
        return (random.standard_normal((rows, columns)) * 0.3).astype(np.float32)

    head = matrix(len(words), hidden)
    head[:3] = 0  # the special tokens stay improbable, so that an answer has the length asked for
    tensors = {"token_embd": matrix(len(words), hidden), "output": head, "output_norm": np.ones(hidden, np.float32)}
    for layer in range(layers):
        tensors |= {
            f"blk.{layer}.{name}": matrix(hidden, hidden) for name in ("attn_q", "attn_k", "attn_v", "attn_output")
        }
        tensors |= {f"blk.{layer}.{name}": np.ones(hidden, np.float32) for name in ("attn_norm", "ffn_norm")}
        tensors |= {f"blk.{layer}.{name}": matrix(2 * hidden, hidden) for name in ("ffn_gate", "ffn_up")}
        tensors[f"blk.{layer}.ffn_down"] = matrix(hidden, 2 * hidden)
    for name, tensor in tensors.items():
        writer.add_tensor(f"{name}.weight", tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
