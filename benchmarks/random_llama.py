"""A Llama of random weights to serve on a GPU: the size of Llama-3.1-8B, 16 GB, written to a folder in half a minute.

    python benchmarks/random_llama.py FOLDER [--tiny]

It takes PyTorch and transformers, and makes the weights on the first GPU where there is one. Weights need not be good
to be weighed: only letters can come out of it, one a token, and never an end, so that every answer is as long as was
asked for.
"""

import argparse
import string

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

CONTEXT = 8192
LLAMA_8B = {
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128_256,
    "rope_theta": 500_000.0,
}
TINY = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
SPECIAL = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "</s>"}
IDS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}
TEMPLATE = (
    "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    bytes_and_special = ["<unk>", "<s>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    vocabulary = {token: number for number, token in enumerate(bytes_and_special)}
    raw = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token=SPECIAL["unk_token"]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, model_max_length=CONTEXT, **SPECIAL)
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(options.folder)
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    sizes = TINY if options.tiny else LLAMA_8B
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"), torch.no_grad():
        model = LlamaForCausalLM(LlamaConfig(max_position_embeddings=CONTEXT, dtype="bfloat16", **sizes, **IDS))
        letters = [vocabulary[letter] for letter in string.ascii_letters]
        kept = model.lm_head.weight[letters].clone()
        model.lm_head.weight.zero_()  # the largest of 52 random numbers is above 0, so that no other token wins
        model.lm_head.weight[letters] = kept
    model.generation_config = GenerationConfig(max_new_tokens=64, do_sample=False, **IDS)
    model.eval().save_pretrained(options.folder, max_shard_size="4GB")


if __name__ == "__main__":
    main()
