"""A tile-bitmap folder as transformers loads it: its weights for both sides, its perplexity."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from ..errors import Origin, SpInferError
from ..torch import SpinferLinear
from .shapes import Shape
from .weights import Block, Weights

WINDOW = 2048
"""Tokens of a window of the perplexity; windows do not overlap, a shorter rest is left out."""


def make_dense(model: Any) -> float:
    """Puts dense layers of the same weights in place of packed ones; returns the share of zeros."""
    zeros = total = 0
    packed = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, SpinferLinear)
    ]
    if not packed:
        raise SpInferError("E_NO_TARGET", "the folder has no packed layer")
    for name, module in packed:
        weight = module.to_dense()
        zeros += weight.numel() - module.nonzeros
        total += weight.numel()
        has_bias = module.bias is not None
        layer = nn.Linear(module.in_features, module.out_features, bias=has_bias, device="meta")
        layer.weight = nn.Parameter(weight, requires_grad=False)
        if module.bias is not None:
            layer.bias = nn.Parameter(module.bias, requires_grad=False)
        model.set_submodule(name, layer)
    return zeros / total


def weights_of(model: Any, name: str) -> Weights:
    """The weights of a dense Llama of transformers. Raises E_ARCH_UNKNOWN for another one."""
    config = model.config
    plain = config.model_type == "llama" and not config.attention_bias and not config.mlp_bias
    rope = getattr(config, "rope_parameters", None) or {"rope_theta": config.rope_theta}
    if not plain or rope.get("rope_type", "default") != "default":
        raise SpInferError(
            "E_ARCH_UNKNOWN",
            f"{name}: a {config.model_type} model with these settings cannot be measured",
            expected="a Llama without biases and without scaled rotary positions",
        )
    blocks = []
    for layer in model.model.layers:
        attention, feed = layer.self_attn, layer.mlp
        parts = (attention.q_proj, attention.k_proj, attention.v_proj)
        matrices = {
            "qkv": torch.cat([part.weight.detach() for part in parts]),
            "o": attention.o_proj.weight.detach(),
            "gateUp": torch.cat([feed.gate_proj.weight.detach(), feed.up_proj.weight.detach()]),
            "down": feed.down_proj.weight.detach(),
        }
        norms = (layer.input_layernorm.weight, layer.post_attention_layernorm.weight)
        blocks.append(Block(matrices, *(norm.detach() for norm in norms)))
    head_dim = getattr(config, "head_dim", None)
    shape = Shape(
        name=name,
        hidden=config.hidden_size,
        intermediate=config.intermediate_size,
        layers=config.num_hidden_layers,
        heads=config.num_attention_heads,
        kv_heads=config.num_key_value_heads,
        head_dim=head_dim or config.hidden_size // config.num_attention_heads,
        vocabulary=config.vocab_size,
        dtype=str(model.lm_head.weight.dtype).removeprefix("torch."),
        rope_theta=rope["rope_theta"],
        epsilon=config.rms_norm_eps,
    )
    return Weights(
        shape=shape,
        embedding=model.model.embed_tokens.weight.detach(),
        head=model.lm_head.weight.detach(),
        norm=model.model.norm.weight.detach(),
        blocks=blocks,
    )


def token_ids(folder: Path, text: Path, device: torch.device) -> torch.Tensor:
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    ids: torch.Tensor = tokenizer(text.read_text(), return_tensors="pt").input_ids[0]
    if len(ids) < 2:
        raise SpInferError("E_TEXT_SHORT", f"{text}: {len(ids)} tokens", origin=Origin(str(text)))
    return ids.to(device)


@torch.no_grad()
def perplexity(model: Any, ids: torch.Tensor) -> dict[str, Any]:
    """exp of the mean loss of all tokens but the first of each window."""
    window = min(WINDOW, model.config.max_position_embeddings, len(ids))
    loss = counted = 0.0
    for first in range(0, len(ids) - window + 1, window):
        part = ids[first : first + window]
        logits = model(part[None], use_cache=False).logits[0, :-1].float()
        loss += functional.cross_entropy(logits, part[1:], reduction="sum").item()
        counted += window - 1
    return {"value": math.exp(loss / counted), "tokens": int(counted), "window": window}
