"""A linear layer with a packed weight."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from ..checking import check
from ..encode import encode_matrix
from ..errors import Origin, SpInferError
from ..folder import Checkpoint
from ..matrix import Meta, decode_strips, read_meta
from .operator import CONTAINER_DTYPES, decode, spmm

_NAMES = {dtype: name for name, dtype in CONTAINER_DTYPES.items()}


class SpinferLinear(nn.Module):
    """y = x Wᵀ + b with W packed: what `torch.nn.Linear` does, for inference.

    `weight` and `weight_meta` are buffers and hold the checkpoint's own bytes, so `state_dict()`
    has the names and bytes of a tile-bitmap checkpoint. A state that is loaded is checked on the
    host before it is used, and may hold another number of nonzeros.
    """

    weight: torch.Tensor
    weight_meta: torch.Tensor
    bias: nn.Parameter | None

    def __init__(
        self,
        meta: Meta,
        *,
        bias: bool = False,
        device: torch.device | str | None = None,
        overlap: bool = False,
    ) -> None:
        """A layer for a matrix with this header; its bytes are still to be loaded.

        `overlap`: see `spinfer.torch.spmm`.
        """
        super().__init__()
        self.in_features = meta.grid.cols
        self.out_features = meta.grid.rows
        self.dtype = CONTAINER_DTYPES[meta.dtype]
        self.value_dtype = meta.dtype
        self.overlap = overlap
        self._describe(meta)
        sizes = {"weight": meta.payload_bytes // 8, "weight_meta": meta.grid.meta_bytes // 8}
        for name, words in sizes.items():
            # an all-zero header is refused by every check
            self.register_buffer(name, torch.zeros(words, dtype=torch.int64, device=device))
        if bias:
            zeros = torch.zeros(self.out_features, dtype=self.dtype, device=device)
            self.bias = nn.Parameter(zeros, requires_grad=False)
        else:
            self.register_parameter("bias", None)

    def show_in_state(self, shown: bool) -> None:
        """Whether the packed tensors are part of the state: not while somebody else loads that."""
        for name in ("weight", "weight_meta"):
            self.register_buffer(name, getattr(self, name), persistent=shown)

    def hold(self, meta: Meta, weight: torch.Tensor, weight_meta: torch.Tensor) -> None:
        """Takes the two tensors of a checkpoint as they are; `meta`: what their check returned."""
        self._describe(meta)
        self.weight, self.weight_meta = weight, weight_meta

    def _describe(self, meta: Meta) -> None:
        self.max_chunk_bytes = meta.max_chunk_bytes
        self.nonzeros = meta.nonzeros

    @classmethod
    def from_packed(
        cls,
        weight: torch.Tensor,
        weight_meta: torch.Tensor,
        *,
        bias: torch.Tensor | None = None,
        device: torch.device | str | None = None,
        overlap: bool = False,
    ) -> SpinferLinear:
        """A layer of the two I64 tensors of a checkpoint. Raises E_TB_…, E_HASH."""
        meta = checked(weight, weight_meta, Origin())
        layer = cls(meta, bias=bias is not None, device="meta", overlap=overlap)
        target = weight.device if device is None else device
        layer.weight = weight.to(target)
        layer.weight_meta = weight_meta.to(target)
        if bias is not None:
            value = bias.detach().to(device=target, dtype=layer.dtype)
            layer.bias = nn.Parameter(value, requires_grad=False)
        return layer

    @classmethod
    def from_checkpoint(
        cls,
        checkpoint: Checkpoint,
        module: str,
        *,
        device: torch.device | str | None = None,
        overlap: bool = False,
    ) -> SpinferLinear:
        """The layer `module` of an opened folder, with its bias where there is one."""
        payload, meta = checkpoint.packed(f"{module}.weight")
        layer = cls(meta, device="meta", overlap=overlap)
        stored = checkpoint.tensors[f"{module}.weight"].meta
        assert stored is not None  # packed() would have raised
        meta_bytes = checkpoint.bytes_of(stored)
        layer.weight = torch.from_numpy(payload.view(np.int64)).to(device or "cpu")
        layer.weight_meta = torch.from_numpy(meta_bytes.view(np.int64)).to(device or "cpu")
        if f"{module}.bias" in checkpoint.tensors:
            bias = torch.from_numpy(checkpoint.load(f"{module}.bias"))
            layer.bias = nn.Parameter(bias.to(device or "cpu", layer.dtype), requires_grad=False)
        return layer

    @classmethod
    def from_dense(
        cls, weight: torch.Tensor, bias: torch.Tensor | None = None, *, overlap: bool = False
    ) -> SpinferLinear:
        """Packs a dense float16 or bfloat16 [outputs, inputs] tensor; zeros are what is pruned."""
        name = _NAMES.get(weight.dtype)
        if name is None:
            message = f"a weight of {weight.dtype} cannot be packed"
            raise SpInferError("E_DTYPE_UNSUPPORTED", message, expected="float16 or bfloat16")
        bits = weight.detach().cpu().contiguous().view(torch.int16).numpy().view(np.uint16)
        packed, meta = (torch.from_numpy(part.view(np.int64)) for part in encode_matrix(bits, name))
        return cls.from_packed(packed, meta, bias=bias, device=weight.device, overlap=overlap)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # not on the meta device, which has no autocast and refuses the question
        if not x.is_meta and torch.is_autocast_enabled(x.device.type):
            x = x.to(self.dtype)
        y = spmm(
            x,
            self.weight,
            self.weight_meta,
            self.out_features,
            self.in_features,
            self.max_chunk_bytes,
            self.dtype,
            self.overlap,
        )
        return y if self.bias is None else y + self.bias.to(y.dtype)

    def to_dense(self) -> torch.Tensor:
        """The weight with its zeros, [outputs, inputs], on the layer's device."""
        if self.weight.is_cuda:
            sides = (self.out_features, self.in_features)
            packed = (self.weight, self.weight_meta)
            return decode(*packed, *sides, self.max_chunk_bytes, self.dtype)
        meta = read_meta(_host(self.weight_meta), crc=False)
        bits = decode_strips(_host(self.weight), meta, 0, meta.grid.strips)
        return torch.from_numpy(bits.view(np.int16)).view(self.dtype)

    def _load_from_state_dict(
        self,
        state_dict: Mapping[str, Any],
        prefix: str,
        local_metadata: Any,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        weight = state_dict.get(f"{prefix}weight")
        weight_meta = state_dict.get(f"{prefix}weight_meta")
        origin = Origin(tensor=f"{prefix}weight")
        if (weight is None) != (weight_meta is None):
            # not strict, torch would take the one that is there, unchecked
            missing = "weight_meta" if weight_meta is None else "weight"
            raise SpInferError(
                "E_TB_PAIR",
                f"{origin}: the state has no {prefix}{missing}",
                origin=origin,
                expected="both tensors of a packed weight, or neither",
            )
        if weight is not None and weight_meta is not None and not weight.is_meta:
            self._accept(weight, weight_meta, origin)
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )

    def _accept(self, weight: torch.Tensor, weight_meta: torch.Tensor, origin: Origin) -> None:
        """Checks bytes that are about to be loaded and makes room for as many."""
        meta = checked(weight, weight_meta, origin)
        wanted = (self.out_features, self.in_features, self.dtype)
        found = (meta.grid.rows, meta.grid.cols, CONTAINER_DTYPES[meta.dtype])
        if found != wanted:
            raise SpInferError(
                "E_ARCH_SHAPE",
                f"{origin}: a packed weight of {found[0]} × {found[1]} {found[2]}",
                origin=origin,
                expected=f"{wanted[0]} × {wanted[1]} {wanted[2]}",
            )
        self._describe(meta)
        if self.weight.shape != weight.shape:
            self.weight = torch.empty_like(weight, device=self.weight.device)

    def extra_repr(self) -> str:
        share = 1 - self.nonzeros / (self.in_features * self.out_features)
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}, dtype={self.dtype}, sparsity={share:.4f}, "
            f"bytes={8 * (self.weight.numel() + self.weight_meta.numel())}"
        )


def _host(tensor: torch.Tensor) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return tensor.detach().cpu().contiguous().numpy().reshape(-1).view(np.uint8)


def checked(weight: torch.Tensor, weight_meta: torch.Tensor, origin: Origin) -> Meta:
    """Checks two packed tensors on the host, wherever they are. Raises E_TB_…, E_HASH."""
    for tensor in (weight, weight_meta):
        if tensor.dtype != torch.int64 or tensor.dim() != 1:
            found = f"a packed tensor of {tensor.dtype} {list(tensor.shape)}"
            expected = "int64 with one dimension"
            raise SpInferError("E_TB_PAIR", f"{origin}: {found}", origin=origin, expected=expected)
    return check(_host(weight), _host(weight_meta), origin)
