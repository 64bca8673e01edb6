"""What a step does between its linear layers: norms, rotation, attention, the gate.

Plain functions, the same for both sides. `compiled` has torch.compile make one or two kernels of
each, as a serving engine would; uncompiled they are thirty.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional


def norm(x: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
    """RMSNorm with fp32 inside."""
    wide = x.float()
    scale = torch.rsqrt(wide.square().mean(-1, keepdim=True) + epsilon)
    return weight * (wide * scale).to(x.dtype)


def add_norm(
    x: torch.Tensor, update: torch.Tensor, weight: torch.Tensor, epsilon: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """The residual stream after a layer, and its norm."""
    total = x + update
    return total, norm(total, weight, epsilon)


def gate(both: torch.Tensor) -> torch.Tensor:
    """silu(gate) × up of a fused product."""
    half = both.shape[-1] // 2
    return functional.silu(both[..., :half]) * both[..., half:]


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotary positions on [batch, heads, tokens, head_dim]; cos and sin are [tokens, head_dim]."""
    half = x.shape[-1] // 2
    turned = torch.cat((-x[..., half:], x[..., :half]), -1)
    return x * cos + turned * sin


def store(
    qkv: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    positions: torch.Tensor,
) -> torch.Tensor:
    """Rotates, writes keys and values of the new tokens to the cache, returns the queries.

    qkv [batch, tokens, (heads + 2 kv_heads) head_dim], the caches [batch, kv_heads, length,
    head_dim]; queries [batch, heads, tokens, head_dim].
    """
    batch, tokens, _ = qkv.shape
    kv_heads, head_dim = keys.shape[1], keys.shape[3]
    by_head = qkv.view(batch, tokens, -1, head_dim).transpose(1, 2)
    heads = by_head.shape[1] - 2 * kv_heads
    keys.index_copy_(2, positions, rotate(by_head[:, heads : heads + kv_heads], cos, sin))
    values.index_copy_(2, positions, by_head[:, heads + kv_heads :])
    return rotate(by_head[:, :heads], cos, sin)


def attend(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, hidden: torch.Tensor
) -> torch.Tensor:
    """Attention of one new token over the whole cache: [batch, 1, heads × head_dim].

    `hidden` [length] is true where the cache is still empty.
    """
    batch, heads, _, head_dim = queries.shape
    grouped = queries.reshape(batch, keys.shape[1], -1, head_dim)
    scores = (grouped * head_dim**-0.5) @ keys.transpose(2, 3)
    shares = scores.float().masked_fill(hidden, float("-inf")).softmax(-1).to(values.dtype)
    mixed: torch.Tensor = (shares @ values).reshape(batch, 1, heads * head_dim)
    return mixed


@dataclass(frozen=True)
class Glue:
    """The functions above, compiled or not."""

    norm: Callable[..., Any] = norm
    add_norm: Callable[..., Any] = add_norm
    gate: Callable[..., Any] = gate
    store: Callable[..., Any] = store
    attend: Callable[..., Any] = attend


def compiled() -> Glue:
    """With torch.compile, for the shapes that come."""
    # one function serves several batch sizes and models
    torch._dynamo.config.recompile_limit = 64

    def compile_one(function: Callable[..., Any]) -> Callable[..., Any]:
        result: Callable[..., Any] = torch.compile(function, dynamic=False, fullgraph=True)
        return result

    return Glue(*(compile_one(function) for function in (norm, add_norm, gate, store, attend)))
