"""The same steps by transformers' own Llama: its modules, its forward, its static cache.

Only the linear layers are put in from outside, on both sides alike. Needs transformers 5.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from .shapes import Shape
from .weights import DenseLinear, Linear, Linears, Weights, pack

KINDS = ("q", "k", "v", "o", "gate", "up", "down")
"""The linear layers of a block, as transformers has them."""


def _parts(block: dict[str, torch.Tensor], weights: Weights) -> dict[str, torch.Tensor]:
    """Views of the fused matrices of a block."""
    shape = weights.shape
    inner, outer = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    q, k, v = block["qkv"].split((inner, outer, outer))
    gate, up = block["gateUp"].chunk(2)
    parts = {"q": q, "k": k, "v": v, "o": block["o"], "gate": gate, "up": up}
    return {**parts, "down": block["down"]}


def stock_dense(weights: Weights) -> Linears:
    return [
        {kind: DenseLinear(part) for kind, part in _parts(block.matrices, weights).items()}
        for block in weights.blocks
    ]


def stock_packed(weights: Weights) -> Linears:
    return [
        {kind: pack(part) for kind, part in _parts(block.matrices, weights).items()}
        for block in weights.blocks
    ]


class _Layer(nn.Module):
    """A linear layer of either side as a module."""

    def __init__(self, linear: Linear) -> None:
        super().__init__()
        self.linear = linear

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x)


class StockDecoder:
    """One side, like `Decoder`, by transformers."""

    def __init__(self, weights: Weights, linears: Linears, *, batch: int, length: int) -> None:
        from transformers import StaticCache

        self.weights = weights
        self.linears = linears
        self.batch = batch
        self.length = length
        self.model = _build(weights, linears, length)
        self.cache = StaticCache(config=self.model.config, max_cache_len=length)
        device = weights.device
        self.tokens = torch.zeros((batch, 1), dtype=torch.int64, device=device)
        self.position = torch.zeros(1, dtype=torch.int64, device=device)
        self.places = torch.arange(length, device=device)

    @property
    def cache_bytes(self) -> int:
        shape = self.weights.shape
        values = self.batch * self.length * shape.kv_heads * shape.head_dim
        return 2 * shape.layers * values * self.weights.embedding.element_size()

    def rewind(self, count: int) -> None:
        """Makes the next step the one after `count` tokens of the cache."""
        self.position.fill_(count)
        for layer in self.cache.layers:
            layer.cumulative_length.fill_(count)

    def prompt(self, ids: torch.Tensor) -> torch.Tensor:
        self.rewind(0)
        count = ids.shape[1]
        logits = self._logits(ids, None, self.places[:count])
        self.tokens.copy_(logits.argmax(-1, keepdim=True))
        self.position.fill_(count)
        return logits

    def step(self) -> torch.Tensor:
        # prepared here: transformers would look at the positions on the host
        seen = (self.places <= self.position).expand(self.batch, 1, 1, self.length)
        logits = self._logits(self.tokens, seen, self.position)
        self.tokens.copy_(logits.argmax(-1, keepdim=True))
        self.position.add_(1)
        return logits

    def _logits(
        self, ids: torch.Tensor, mask: torch.Tensor | None, positions: torch.Tensor
    ) -> torch.Tensor:
        result: torch.Tensor = self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions[None],
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits
        return result[:, -1]


def llama_config(shape: Shape, layers: int, positions: int) -> Any:
    from transformers import LlamaConfig

    return LlamaConfig(
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.head_dim,
        vocab_size=shape.vocabulary,
        rms_norm_eps=shape.epsilon,
        max_position_embeddings=positions,
        rope_parameters={"rope_type": "default", "rope_theta": shape.rope_theta},
        attn_implementation="sdpa",
        dtype=shape.dtype,
    )


def _build(weights: Weights, linears: Linears, length: int) -> Any:
    from transformers import LlamaForCausalLM
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

    config = llama_config(weights.shape, weights.shape.layers, length)
    with torch.device("meta"):
        model: Any = LlamaForCausalLM(config)
    # its frequencies are in no checkpoint
    model.model.rotary_emb = LlamaRotaryEmbedding(config).to(weights.device)
    model.model.embed_tokens.weight = _parameter(weights.embedding)
    model.lm_head.weight = _parameter(weights.head)
    model.model.norm.weight = _parameter(weights.norm)
    for layer, block, linear in zip(model.model.layers, weights.blocks, linears, strict=True):
        layer.input_layernorm.weight = _parameter(block.attention_norm)
        layer.post_attention_layernorm.weight = _parameter(block.feed_forward_norm)
        for kind, one in linear.items():
            parent = layer.self_attn if kind in "qkvo" else layer.mlp
            setattr(parent, f"{kind}_proj", _Layer(one))
    return model.eval()


def _parameter(tensor: torch.Tensor) -> nn.Parameter:
    return nn.Parameter(tensor, requires_grad=False)
