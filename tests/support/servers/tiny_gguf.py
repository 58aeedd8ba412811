"""A random tiny Llama for Ollama: tiny_gguf.py FILE."""

import sys

import gguf
import numpy as np

random = np.random.default_rng(0)
WIDTH, LAYERS, HEADS, INNER, CONTEXT = 64, 2, 4, 128, 2048
tokens = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256))]
types = [2, 3, 3] + [6] * 256
scores = [0.0] * 259
for text in ["\u2581", *map(chr, range(33, 127)), "\u2581the", "th", "he", "\u2581t", "ing", "in", "ng"]:
    tokens.append(text)
    types.append(1)
    scores.append(-float(len(tokens)))

out = gguf.GGUFWriter(sys.argv[1], "llama")
out.add_name("tiny-random")
out.add_context_length(CONTEXT)
out.add_embedding_length(WIDTH)
out.add_block_count(LAYERS)
out.add_feed_forward_length(INNER)
out.add_head_count(HEADS)
out.add_head_count_kv(HEADS)
out.add_layer_norm_rms_eps(1e-5)
out.add_rope_dimension_count(WIDTH // HEADS)
out.add_rope_freq_base(10000.0)
out.add_vocab_size(len(tokens))
out.add_file_type(0)
out.add_tokenizer_model("llama")
out.add_token_list(tokens)
out.add_token_scores(scores)
out.add_token_types(types)
out.add_bos_token_id(1)
out.add_eos_token_id(2)
out.add_unk_token_id(0)
out.add_add_bos_token(True)
out.add_chat_template("{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant:")


def weights(name, *shape, without=()):
    values = (random.standard_normal(shape) * 0.2).astype(np.float32)
    values[list(without)] = 0
    out.add_tensor(name, values)


def ones(name):
    out.add_tensor(name, np.ones(WIDTH, np.float32))


weights("token_embd.weight", len(tokens), WIDTH)
ones("output_norm.weight")
weights("output.weight", len(tokens), WIDTH, without=[2])  # the end is never likely: answers are as long as asked for
for layer in range(LAYERS):
    block = f"blk.{layer}."
    ones(block + "attn_norm.weight")
    ones(block + "ffn_norm.weight")
    for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
        weights(f"{block}{part}.weight", WIDTH, WIDTH)
    weights(block + "ffn_gate.weight", INNER, WIDTH)
    weights(block + "ffn_up.weight", INNER, WIDTH)
    weights(block + "ffn_down.weight", WIDTH, INNER)
out.write_header_to_file()
out.write_kv_data_to_file()
out.write_tensors_to_file()
out.close()
