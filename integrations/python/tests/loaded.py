"""Folders that the command line made, loaded by transformers: what its tests share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from spinfer.torch import SpinferLinear  # noqa: E402

IS_5 = int(transformers.__version__.split(".")[0]) >= 5
DTYPE = "dtype" if IS_5 else "torch_dtype"


def load(folder: Path, dtype: Any = "auto", **options: Any) -> Any:
    return transformers.AutoModelForCausalLM.from_pretrained(folder, **{DTYPE: dtype}, **options)


def layers(model: Any) -> list[SpinferLinear]:
    return [module for module in model.modules() if isinstance(module, SpinferLinear)]


def logits(model: Any, tokens: int = 40) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(3, 200, (2, tokens), generator=generator)
    with torch.no_grad():
        result: torch.Tensor = model(ids).logits.float()
    return result


def in_two_halves(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None
) -> torch.Tensor:
    """The dense product with another order of summation."""
    half = weight.shape[1] // 2
    left = torch.matmul(x[..., :half], weight[:, :half].t())
    y = left + torch.matmul(x[..., half:], weight[:, half:].t())
    return y if bias is None else y + bias
