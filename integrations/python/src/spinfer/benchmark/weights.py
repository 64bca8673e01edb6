"""Weights of a model on its device: drawn or taken from a folder, pruned in place, packed."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from .. import native
from ..encode import encode_matrix
from ..layout import ALIGN, HEADER_BYTES, Grid
from ..matrix import read_meta
from ..torch.operator import spmm
from .shapes import Shape

DEVIATION = 0.02
"""Of random weights."""

KINDS = ("qkv", "o", "gateUp", "down")
"""The linear layers of a block; q, k, v and gate, up are one matrix each, on both sides."""


@dataclass
class Block:
    """One layer of the model: dense matrices by kind, and the weights of its two norms."""

    matrices: dict[str, torch.Tensor]
    attention_norm: torch.Tensor
    feed_forward_norm: torch.Tensor


@dataclass
class Weights:
    """A whole model, dense. `head` may be `embedding` itself (tied)."""

    shape: Shape
    embedding: torch.Tensor
    head: torch.Tensor
    norm: torch.Tensor
    blocks: list[Block]

    @property
    def device(self) -> torch.device:
        return self.embedding.device

    @property
    def dtype(self) -> torch.dtype:
        return self.embedding.dtype

    def matrices(self) -> Iterator[torch.Tensor]:
        for block in self.blocks:
            yield from block.matrices.values()

    @property
    def other_bytes(self) -> int:
        """Of everything that is dense on both sides."""
        norms = [self.norm] + [
            norm
            for block in self.blocks
            for norm in (block.attention_norm, block.feed_forward_norm)
        ]
        tied = self.head.data_ptr() == self.embedding.data_ptr()
        tensors = [self.embedding, *norms] + ([] if tied else [self.head])
        return sum(tensor.nbytes for tensor in tensors)


def matrix_sides(shape: Shape) -> dict[str, tuple[int, int]]:
    """Outputs and inputs of each kind of linear layer."""
    inner = shape.heads * shape.head_dim
    return {
        "qkv": (inner + 2 * shape.kv_heads * shape.head_dim, shape.hidden),
        "o": (shape.hidden, inner),
        "gateUp": (2 * shape.intermediate, shape.hidden),
        "down": (shape.hidden, shape.intermediate),
    }


def random_weights(shape: Shape, device: torch.device, seed: int = 1) -> Weights:
    """Normal weights, drawn on the device."""
    dtype = getattr(torch, shape.dtype)
    generator = torch.Generator(device).manual_seed(seed)

    def draw(*sides: int) -> torch.Tensor:
        drawn = torch.empty(sides, dtype=dtype, device=device)
        return drawn.normal_(0, DEVIATION, generator=generator)

    def ones() -> torch.Tensor:
        return torch.ones(shape.hidden, dtype=dtype, device=device)

    sides = matrix_sides(shape)
    return Weights(
        shape=shape,
        embedding=draw(shape.vocabulary, shape.hidden),
        head=draw(shape.vocabulary, shape.hidden),
        norm=ones(),
        blocks=[
            Block({kind: draw(*sides[kind]) for kind in KINDS}, ones(), ones())
            for _ in range(shape.layers)
        ],
    )


def prune_random(weights: Weights, sparsity: float) -> float:
    """Zeros the smallest of `random_weights` in place; returns the share of zeros that it gave.

    The threshold is that of the distribution, so each weight falls alone, like a random mask. Call
    it with rising sparsities.
    """
    quantile = torch.erfinv(torch.tensor(sparsity, dtype=torch.float64)).item()
    threshold = DEVIATION * 2**0.5 * quantile
    zeros = total = 0
    for matrix in weights.matrices():
        matrix.masked_fill_(matrix.abs() < threshold, 0)
        zeros += matrix.numel() - int(torch.count_nonzero(matrix))
        total += matrix.numel()
    return zeros / total


@dataclass(frozen=True)
class DenseLinear:
    """y = x Wᵀ by torch."""

    weight: torch.Tensor

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return functional.linear(x, self.weight)

    @property
    def nbytes(self) -> int:
        return self.weight.nbytes


@dataclass(frozen=True)
class PackedLinear:
    """y = x Wᵀ by torch.ops.spinfer.spmm, with launch overlap."""

    payload: torch.Tensor
    meta: torch.Tensor
    rows: int
    cols: int
    max_chunk_bytes: int
    dtype: torch.dtype

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return spmm(
            x,
            self.payload,
            self.meta,
            self.rows,
            self.cols,
            self.max_chunk_bytes,
            self.dtype,
            True,
        )

    @property
    def nbytes(self) -> int:
        return self.payload.nbytes + self.meta.nbytes


Linear = DenseLinear | PackedLinear
Linears = list[dict[str, Linear]]
"""Of each block, by kind."""


def dense_linears(weights: Weights) -> Linears:
    return [
        {kind: DenseLinear(matrix) for kind, matrix in block.matrices.items()}
        for block in weights.blocks
    ]


def packed_linears(weights: Weights) -> Linears:
    return [
        {kind: pack(matrix) for kind, matrix in block.matrices.items()} for block in weights.blocks
    ]


def bytes_of(linears: Linears) -> int:
    return sum(linear.nbytes for block in linears for linear in block.values())


def pack(weight: torch.Tensor) -> PackedLinear:
    """Packs a float16 or bfloat16 matrix where it is.

    On a GPU the header stays zero: nothing reads it there, and computing its CRC-32 would take the
    payload to the host. Such a matrix cannot be saved.
    """
    rows, cols = weight.shape
    pack_here = _pack_on_gpu if weight.is_cuda else _pack_on_cpu
    payload, meta, max_chunk_bytes = pack_here(weight.contiguous())
    return PackedLinear(payload, meta, rows, cols, max_chunk_bytes, weight.dtype)


def _pack_on_cpu(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, int]:
    bits = weight.view(torch.int16).numpy().view(np.uint16)
    payload, meta = encode_matrix(bits, "F16" if weight.dtype == torch.float16 else "BF16")
    words = [torch.from_numpy(part.view(np.int64)) for part in (payload, meta)]
    return words[0], words[1], read_meta(meta).max_chunk_bytes


def _pack_on_gpu(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, int]:
    rows, cols = weight.shape
    grid = Grid(rows, cols)
    library = native.library()
    stream = torch.cuda.current_stream(weight.device).cuda_stream
    meta = torch.zeros(grid.meta_bytes // 8, dtype=torch.int64, device=weight.device)
    offsets_at = ctypes.c_void_p(meta.data_ptr() + HEADER_BYTES)
    dense_at = weight.data_ptr()
    library.call("spinfer_encode_offsets", dense_at, rows, cols, offsets_at, stream)
    first = HEADER_BYTES // 4
    offsets = meta.view(torch.int32)[first : first + grid.chunks + 1].to(torch.int64) & 0xFFFFFFFF
    units, largest = int(offsets[-1]), int(offsets.diff().max())
    # payloads of container files are multiples of 16 bytes too: whole int64 words
    payload = torch.zeros(units * ALIGN // 8, dtype=torch.int64, device=weight.device)
    arguments = (dense_at, rows, cols, offsets_at, payload.data_ptr(), stream)
    library.call("spinfer_encode_payload", *arguments)
    return payload, meta, largest * ALIGN
