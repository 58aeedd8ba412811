"""A random tiny Llama (2 layers, width 64) with a byte-level tokenizer of its own, for vLLM: tiny_llama.py DIR."""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

VOCABULARY, WIDTH, INNER, LAYERS = 512, 64, 128, 2
SPECIAL = ["<unk>", "<s>", "</s>", "<|user|>", "<|assistant|>", "<|system|>"]
TEXT = ["the quick brown fox jumps over the lazy dog", "hello world, how are you today?", "a small random model"] * 20
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)

folder = Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)


def write(name, document):
    (folder / name).write_text(json.dumps(document, indent=1))


tokenizer = Tokenizer(models.BPE())
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.decoder = decoders.ByteLevel()
alphabet = pre_tokenizers.ByteLevel.alphabet()
trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=SPECIAL, initial_alphabet=alphabet, min_frequency=1)
tokenizer.train_from_iterator(TEXT, trainer)
while tokenizer.get_vocab_size() < VOCABULARY:
    tokenizer.add_tokens([f" w{tokenizer.get_vocab_size()}"])
tokenizer.save(str(folder / "tokenizer.json"))
write(
    "tokenizer_config.json",
    {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "pad_token": "</s>",
        "clean_up_tokenization_spaces": False,
        "model_max_length": 512,
        "chat_template": TEMPLATE,
    },
)
(folder / "chat_template.jinja").write_text(TEMPLATE)
write(
    "config.json",
    {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": WIDTH,
        "intermediate_size": INNER,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "head_dim": 32,
        "vocab_size": VOCABULARY,
        "max_position_embeddings": 512,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "hidden_act": "silu",
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 2,
        "tie_word_embeddings": False,
        "torch_dtype": "float32",
        "attention_bias": False,
        "mlp_bias": False,
    },
)
write("generation_config.json", {"bos_token_id": 1, "eos_token_id": 2, "do_sample": False})

generator = torch.Generator().manual_seed(7)


def random(*shape):
    return torch.randn(*shape, generator=generator) * 0.3


weights = {
    "model.embed_tokens.weight": random(VOCABULARY, WIDTH),
    "model.norm.weight": torch.ones(WIDTH),
    "lm_head.weight": random(VOCABULARY, WIDTH),
}
weights["lm_head.weight"][: len(SPECIAL)] = 0  # special tokens stay improbable: answers have the length asked for
for layer in range(LAYERS):
    block = f"model.layers.{layer}."
    weights[block + "input_layernorm.weight"] = torch.ones(WIDTH)
    weights[block + "post_attention_layernorm.weight"] = torch.ones(WIDTH)
    weights[block + "mlp.gate_proj.weight"] = random(INNER, WIDTH)
    weights[block + "mlp.up_proj.weight"] = random(INNER, WIDTH)
    weights[block + "mlp.down_proj.weight"] = random(WIDTH, INNER)
    for part in "qkvo":
        weights[f"{block}self_attn.{part}_proj.weight"] = random(WIDTH, WIDTH)
save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
