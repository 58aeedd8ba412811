"""A tiny random llama as GGUF, written on the spot: it answers nonsense, fast, and needs no download.

Format: github.com/ggml-org/ggml/blob/master/docs/gguf.md, through the `gguf` package (extra ``inferaudit[demo]``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from inferaudit.errors import CollectError

_CHAT_TEMPLATE = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
_WORDS = 126


def write_tiny_gguf(path: Path, *, layers: int = 2, hidden: int = 64, context: int = 8192, seed: int = 7) -> None:
    """Write the model to `path` (about 0.5 MB); :class:`CollectError` when the `gguf` package is missing.

    The vocabulary is every byte and some words. Special tokens are improbable, so that answers have the length asked
    for.
    """
    try:
        import gguf
        import numpy as np
    except ImportError as error:
        raise CollectError(f"{error.name} is not installed: pip install 'inferaudit[demo]'") from error

    special = ["<unk>", "<s>", "</s>"]
    vocabulary = [*special, *(f"<0x{byte:02X}>" for byte in range(256)), *(f"▁w{n}" for n in range(_WORDS))]
    kinds = [gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.CONTROL]
    kinds += [gguf.TokenType.BYTE] * 256 + [gguf.TokenType.NORMAL] * _WORDS
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_context_length(context)
    writer.add_embedding_length(hidden)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(2 * hidden)
    writer.add_head_count(2)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(hidden // 2)
    writer.add_vocab_size(len(vocabulary))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(vocabulary)
    writer.add_token_scores([0.0] * len(vocabulary))
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_chat_template(_CHAT_TEMPLATE)

    random = np.random.default_rng(seed)

    def matrix(rows: int, columns: int) -> Any:
        return (random.standard_normal((rows, columns)) * 0.3).astype(np.float32)

    head = matrix(len(vocabulary), hidden)
    head[: len(special)] = 0
    tensors: dict[str, Any] = {
        "token_embd": matrix(len(vocabulary), hidden),
        "output": head,
        "output_norm": np.ones(hidden, np.float32),
    }
    for layer in range(layers):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            tensors[f"blk.{layer}.{name}"] = matrix(hidden, hidden)
        for name in ("attn_norm", "ffn_norm"):
            tensors[f"blk.{layer}.{name}"] = np.ones(hidden, np.float32)
        for name in ("ffn_gate", "ffn_up"):
            tensors[f"blk.{layer}.{name}"] = matrix(2 * hidden, hidden)
        tensors[f"blk.{layer}.ffn_down"] = matrix(hidden, 2 * hidden)
    for name, tensor in tensors.items():
        writer.add_tensor(f"{name}.weight", tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
