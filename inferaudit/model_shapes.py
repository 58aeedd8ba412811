"""Shapes of transformer models: what weights and KV cache are computed from, and the published ones.

A shape comes from a model's own files (`model_files`: ``config.json``, a folder of safetensors, a GGUF file) or from
what it is called (`model_names`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Mla:
    """Multi-head latent attention (DeepSeek): one latent vector a token and layer, shared by all heads."""

    kv_rank: int
    rope_dim: int
    nope_dim: int
    value_dim: int
    query_rank: int | None = None

    @property
    def cached_values(self) -> int:
        """Values a token keeps in each layer."""
        return self.kv_rank + self.rope_dim


@dataclass(frozen=True, slots=True)
class Experts:
    """Mixture of experts. `width` is one expert's intermediate size; `dense_layers` have an ordinary MLP."""

    count: int
    per_token: int
    width: int
    shared_width: int = 0
    dense_layers: int = 0


@dataclass(frozen=True, slots=True)
class ModelShape:
    """A decoder. `full_layers` keep KV for the whole context, `window_layers` for `window` tokens; the rest keep none.

    `cacheless_parameters` are the weights that a layer without KV has in place of attention; None = as many.
    `stored_bytes` is the size of the weights' files where they were looked at, `stored_quant` how those are quantised,
    or how the model is published where that is not at 16 bits.
    `stated_parameters` wins over the count derived from the shape.
    """

    name: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocab: int
    tied_embeddings: bool = False
    gated_mlp: bool = True
    experts: Experts | None = None
    mla: Mla | None = None
    window_layers: int = 0
    window: int = 0
    cacheless_layers: int = 0
    cacheless_parameters: int | None = None
    max_context: int | None = None
    stated_parameters: float | None = None
    stored_bytes: int | None = None
    stored_quant: str | None = None
    assumptions: tuple[str, ...] = ()

    @property
    def full_layers(self) -> int:
        """Layers that keep KV for every token of the context."""
        return self.layers - self.window_layers - self.cacheless_layers

    @property
    def embedding_parameters(self) -> int:
        """Input embedding and output head; many quantisation formats leave them at 16 bits."""
        return self.vocab * self.hidden * (1 if self.tied_embeddings else 2)

    @property
    def parameters(self) -> float:
        """All weights."""
        return self.stated_parameters or self._derived_parameters(every_expert=True)

    @property
    def active_parameters(self) -> float:
        """Weights one token passes through: with experts, only the chosen ones."""
        derived = self._derived_parameters(every_expert=True)
        return self.parameters * self._derived_parameters(every_expert=False) / derived

    @property
    def cached_values_per_layer(self) -> int:
        """Numbers one token keeps in one layer: a key and a value for each KV head, or MLA's latent."""
        return self.mla.cached_values if self.mla else 2 * self.kv_heads * self.head_dim

    def _derived_parameters(self, *, every_expert: bool) -> int:
        if self.mla:
            m, query_dim = self.mla, self.heads * (self.mla.nope_dim + self.mla.rope_dim)
            query = self.hidden * query_dim if m.query_rank is None else m.query_rank * (self.hidden + query_dim)
            latent = self.hidden * m.cached_values + m.kv_rank * self.heads * (m.nope_dim + m.value_dim)
            attention = query + latent + self.heads * m.value_dim * self.hidden
        else:
            attention = self.hidden * self.head_dim * (2 * self.heads + 2 * self.kv_heads)
        matrices = 3 if self.gated_mlp else 2
        dense_mlp = matrices * self.hidden * self.intermediate
        if self.experts is None:
            mlps = self.layers * dense_mlp
        else:
            e = self.experts
            used = e.count if every_expert else e.per_token
            sparse = matrices * self.hidden * (used * e.width + e.shared_width) + self.hidden * e.count
            mlps = e.dense_layers * dense_mlp + (self.layers - e.dense_layers) * sparse
        norms = self.hidden * (2 * self.layers + 1)
        other = attention if self.cacheless_parameters is None else self.cacheless_parameters
        mixers = (self.layers - self.cacheless_layers) * attention + self.cacheless_layers * other
        return mixers + mlps + norms + self.embedding_parameters


def _dense(
    name: str, layers: int, hidden: int, heads: int, kv: int, mlp: int, vocab: int, **more: object
) -> ModelShape:
    shape = ModelShape(name, layers, hidden, heads, kv, hidden // heads, mlp, vocab)
    return replace(shape, **more)  # type: ignore[arg-type]  # field names, checked by replace


# Published architectures, from each model's own config.json on huggingface.co.
PUBLISHED: tuple[ModelShape, ...] = (
    _dense("Qwen2.5-0.5B", 24, 896, 14, 2, 4864, 151_936, tied_embeddings=True),
    _dense("Llama-3.2-1B", 16, 2048, 32, 8, 8192, 128_256, tied_embeddings=True),
    _dense("Qwen2.5-1.5B", 28, 1536, 12, 2, 8960, 151_936, tied_embeddings=True),
    _dense("Llama-3.2-3B", 28, 3072, 24, 8, 8192, 128_256, tied_embeddings=True),
    _dense("Mistral-7B", 32, 4096, 32, 8, 14_336, 32_768),
    _dense("Llama-3-8B", 32, 4096, 32, 8, 14_336, 128_256),
    _dense("Llama-2-13B", 40, 5120, 40, 40, 13_824, 32_000),
    _dense("Qwen2.5-14B", 48, 5120, 40, 8, 13_824, 152_064),
    _dense("gpt-oss-20b", 24, 2880, 64, 8, 2880, 201_088, head_dim=64, experts=Experts(32, 4, 2880),
           window_layers=12, window=128, stored_quant="mxfp4"),
    _dense("Gemma-2-27B", 46, 4608, 32, 16, 36_864, 256_000, head_dim=128, tied_embeddings=True,
           window_layers=23, window=4096),
    _dense("Qwen3-30B-A3B", 48, 2048, 32, 4, 6144, 151_936, head_dim=128, experts=Experts(128, 8, 768)),
    _dense("Qwen2.5-32B", 64, 5120, 40, 8, 27_648, 152_064),
    _dense("CodeLlama-34B", 48, 8192, 64, 8, 22_016, 32_000),
    _dense("Mixtral-8x7B", 32, 4096, 32, 8, 14_336, 32_000, experts=Experts(8, 2, 14_336)),
    _dense("Llama-3-70B", 80, 8192, 64, 8, 28_672, 128_256),
    _dense("Qwen2.5-72B", 80, 8192, 64, 8, 29_568, 152_064),
    _dense("gpt-oss-120b", 36, 2880, 64, 8, 2880, 201_088, head_dim=64, experts=Experts(128, 4, 2880),
           window_layers=18, window=128, stored_quant="mxfp4"),
    _dense("Mistral-Large-123B", 88, 12_288, 96, 8, 28_672, 32_768),
    _dense("Mixtral-8x22B", 56, 6144, 48, 8, 16_384, 32_768, experts=Experts(8, 2, 16_384)),
    _dense("Qwen3-235B-A22B", 94, 4096, 64, 4, 12_288, 151_936, head_dim=128, experts=Experts(128, 8, 1536)),
    _dense("Llama-3.1-405B", 126, 16_384, 128, 8, 53_248, 128_256),
    _dense("DeepSeek-V3-671B", 61, 7168, 128, 128, 18_432, 129_280, head_dim=128,
           mla=Mla(512, 64, 128, 128, 1536), stored_quant="fp8",
           experts=Experts(256, 8, 2048, shared_width=2048, dense_layers=3)),
)  # fmt: skip
# Known by name alone: a bare size is taken as one of those above.
NAMED: tuple[ModelShape, ...] = (
    _dense("Qwen3-0.6B", 28, 1024, 16, 8, 3072, 151_936, head_dim=128, tied_embeddings=True),
    _dense("Qwen3-1.7B", 28, 2048, 16, 8, 6144, 151_936, head_dim=128, tied_embeddings=True),
    _dense("Qwen2.5-3B", 36, 2048, 16, 2, 11_008, 151_936, tied_embeddings=True),
    _dense("Qwen3-4B", 36, 2560, 32, 8, 9728, 151_936, head_dim=128, tied_embeddings=True),
    _dense("Qwen2.5-7B", 28, 3584, 28, 4, 18_944, 152_064),
    _dense("Qwen3-8B", 36, 4096, 32, 8, 12_288, 151_936),
    _dense("Mistral-Nemo-12B", 40, 5120, 32, 8, 14_336, 131_072, head_dim=128),
    _dense("Phi-4-14B", 40, 5120, 40, 10, 17_920, 100_352),
    _dense("Qwen3-14B", 40, 5120, 40, 8, 17_408, 151_936),
    _dense("Mistral-Small-24B", 40, 5120, 32, 8, 32_768, 131_072, head_dim=128),
    _dense("Qwen3-32B", 64, 5120, 64, 8, 25_600, 151_936, head_dim=128),
)
