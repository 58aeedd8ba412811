"""Write a tiny random Llama (2 layers, hidden 64) with its own byte-level BPE tokenizer to ./tiny"""

import json, os, sys, torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, decoders, trainers

d = sys.argv[1] if len(sys.argv) > 1 else "tiny"
os.makedirs(d, exist_ok=True)
special = ["<unk>", "<s>", "</s>", "<|user|>", "<|assistant|>", "<|system|>"]
t = Tokenizer(models.BPE())
t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
t.decoder = decoders.ByteLevel()
text = [
    "the quick brown fox jumps over the lazy dog",
    "hello world, how are you today?",
    "models are served over http and answer with tokens",
    "one two three four five six seven eight nine ten",
    "The capital of France is Paris.",
    "a small random model writes nonsense",
] * 20
t.train_from_iterator(
    text,
    trainers.BpeTrainer(
        vocab_size=512, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), min_frequency=1
    ),
)
V = 512
n = t.get_vocab_size()
while n < V:
    t.add_tokens([" w%d" % n])
    n = t.get_vocab_size()
t.save(d + "/tokenizer.json")
tpl = "{{ bos_token }}{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}{{ eos_token }}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
json.dump(
    {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "pad_token": "</s>",
        "clean_up_tokenization_spaces": False,
        "model_max_length": 512,
        "chat_template": tpl,
    },
    open(d + "/tokenizer_config.json", "w"),
    indent=1,
)
open(d + "/chat_template.jinja", "w").write(tpl)
c = dict(
    architectures=["LlamaForCausalLM"],
    model_type="llama",
    hidden_size=64,
    intermediate_size=128,
    num_hidden_layers=2,
    num_attention_heads=2,
    num_key_value_heads=2,
    head_dim=32,
    vocab_size=V,
    max_position_embeddings=512,
    rms_norm_eps=1e-5,
    rope_theta=10000.0,
    hidden_act="silu",
    bos_token_id=1,
    eos_token_id=2,
    pad_token_id=2,
    tie_word_embeddings=False,
    torch_dtype="float32",
    attention_bias=False,
    mlp_bias=False,
)
json.dump(c, open(d + "/config.json", "w"), indent=1)
json.dump(
    {"bos_token_id": 1, "eos_token_id": 2, "do_sample": False}, open(d + "/generation_config.json", "w"), indent=1
)
g = torch.Generator().manual_seed(7)
r = lambda *s: torch.randn(*s, generator=g) * 0.3
H, I = 64, 128
w = {"model.embed_tokens.weight": r(V, H), "model.norm.weight": torch.ones(H), "lm_head.weight": r(V, H)}
w["lm_head.weight"][:6] = 0
w["lm_head.weight"][2, 0] = 0  # specials stay improbable
for i in range(2):
    p = f"model.layers.{i}."
    w |= {
        p + "input_layernorm.weight": torch.ones(H),
        p + "post_attention_layernorm.weight": torch.ones(H),
        p + "mlp.gate_proj.weight": r(I, H),
        p + "mlp.up_proj.weight": r(I, H),
        p + "mlp.down_proj.weight": r(H, I),
    }
    w |= {p + f"self_attn.{x}_proj.weight": r(H, H) for x in "qkvo"}
save_file(w, d + "/model.safetensors", metadata={"format": "pt"})
print(d, sum(x.numel() for x in w.values()), "parameters, vocab", V)
