"""The operator `torch.ops.spinfer.spmm` and the layer that stands in for `torch.nn.Linear`."""

from __future__ import annotations

from .linear import SpinferLinear
from .operator import spmm

__all__ = ["SpinferLinear", "spmm"]
