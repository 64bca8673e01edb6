"""The shapes of the models that are measured with random weights."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """A decoder of the Llama family, without its values."""

    name: str
    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    dtype: str
    """Of weights and cache: "float16" or "bfloat16"."""
    rope_theta: float = 10000.0
    epsilon: float = 1e-5


SHAPES = {
    shape.name: shape
    for shape in (
        Shape("llama-2-7b", 4096, 11008, 32, 32, 32, 128, 32000, "float16"),
        Shape("llama-3-8b", 4096, 14336, 32, 32, 8, 128, 128256, "bfloat16", 500000.0),
        Shape("llama-2-13b", 5120, 13824, 40, 40, 40, 128, 32000, "float16"),
    )
}
