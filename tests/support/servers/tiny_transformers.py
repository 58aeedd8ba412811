"""A random tiny Llama for transformers serve: tiny_transformers.py DIR."""

import sys

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

folder = sys.argv[1]
torch.manual_seed(0)
vocabulary = {
    token: i for i, token in enumerate(["<unk>", "<s>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet())])
}
raw = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
raw.decoder = decoders.ByteLevel()
special = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "</s>"}
tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, model_max_length=256, **special)
tokenizer.chat_template = (
    "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
tokenizer.save_pretrained(folder)
ids = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}
sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
config = LlamaConfig(vocab_size=len(vocabulary), num_key_value_heads=4, max_position_embeddings=256, **sizes, **ids)
model = LlamaForCausalLM(config)
with torch.no_grad():  # an end at once, or half a character, would be an answer without text
    model.lm_head.weight[[i for token, i in vocabulary.items() if not "!" <= token <= "~" or len(token) > 1]] = 0
model.generation_config = GenerationConfig(max_new_tokens=16, do_sample=False, **ids)
model.eval().save_pretrained(folder)
