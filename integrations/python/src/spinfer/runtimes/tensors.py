"""Rows of the operator and the layer: torch on a CPU, on a GPU, compiled."""

from __future__ import annotations

import time
from typing import Any

import spinfer

from .. import native
from ..errors import SpInferError
from .hosts import packed_names
from .rows import LINEARS, NotRun, Row, Settings, best, row


def need_torch() -> None:
    try:
        import torch  # noqa: F401
    except ImportError:
        raise NotRun("torch is not installed") from None


def need_gpu() -> None:
    """Raises NotRun without a GPU that the library can use."""
    import torch

    if not torch.cuda.is_available():
        raise NotRun("no GPU")
    try:
        native.library().call("spinfer_check_device")
    except SpInferError as error:
        raise NotRun(str(error)) from error


class Layers:
    """All packed layers of a folder on a device, and the dense ones of the same weights."""

    def __init__(self, settings: Settings, device: str) -> None:
        import torch
        from safetensors.torch import load_file

        from ..torch import SpinferLinear

        self.device = torch.device(device)
        torch.ones(1).to(self.device)  # a GPU is started by its first use
        self.wait()
        began = time.perf_counter()
        checkpoint = spinfer.open_folder(settings.packed)
        names = packed_names(checkpoint)
        self.packed = [
            SpinferLinear.from_checkpoint(
                checkpoint, name.removesuffix(".weight"), device=device, overlap=True
            )
            for name in names
        ]
        for layer in self.packed:
            layer.bias = None  # products alone are compared
        self.wait()
        self.packed_seconds = time.perf_counter() - began
        began = time.perf_counter()
        stored: dict[str, Any] = {}
        for path in sorted(settings.dense.glob("*.safetensors")):
            stored |= load_file(path, device=device)
        self.wait()
        self.dense_seconds = time.perf_counter() - began
        transposed = [checkpoint.tensors[name].header for name in names]
        self.dense = [
            stored[name].t() if header is not None and header.transposed else stored[name]
            for name, header in zip(names, transposed, strict=True)
        ]
        generator = torch.Generator().manual_seed(1)
        self.inputs = [
            torch.randn((1, layer.in_features), generator=generator).to(device, layer.dtype)
            for layer in self.packed
        ]

    def wait(self) -> None:
        import torch

        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def multiply_packed(self) -> list[Any]:
        return [layer(x) for layer, x in zip(self.packed, self.inputs, strict=True)]

    def multiply_dense(self) -> list[Any]:
        from torch.nn import functional

        pairs = zip(self.inputs, self.dense, strict=True)
        return [functional.linear(x, weight) for x, weight in pairs]

    def largest_error(self, found: list[Any]) -> float:
        """Largest |packed − exact| in units of the sum of absolute products."""
        import torch

        worst = 0.0
        for y, x, weight in zip(found, self.inputs, self.dense, strict=True):
            exact = x.double() @ weight.double().t()
            magnitude = x.double().abs() @ weight.double().abs().t()
            error = (y.double() - exact).abs() / magnitude.clamp_min(torch.finfo(x.dtype).tiny)
            worst = max(worst, float(error.max()))
        return worst

    def row(self, settings: Settings, packed: Any, dense: Any, how: str) -> Row:
        import torch

        # an output is rounded once to 16 bits; fp32 sums lie far below that
        allowed = max(torch.finfo(layer.dtype).eps for layer in self.packed)
        error = self.largest_error(packed())
        sizes = {
            "packed": sum(
                8 * (one.weight.numel() + one.weight_meta.numel()) for one in self.packed
            ),
            "dense": sum(weight.numel() * weight.element_size() for weight in self.dense),
        }
        return row(
            load_seconds={"packed": self.packed_seconds, "dense": self.dense_seconds},
            equal=(error <= allowed, f"largest error {error:.1e} of the sum of absolute products"),
            tokens_per_second={
                "packed": 1 / best(packed, settings.rounds, self.wait),
                "dense": 1 / best(dense, settings.rounds, self.wait),
            },
            measured=f"{LINEARS}{how}",
            memory_bytes=sizes,
            remembered="weights of the packed layers",
        )


def run_pytorch(settings: Settings, device: str) -> Row:
    need_torch()
    import torch

    if device == "cuda":
        need_gpu()
    with torch.no_grad():
        layers = Layers(settings, device)
        return layers.row(settings, layers.multiply_packed, layers.multiply_dense, "")


def run_compiled(settings: Settings) -> Row:
    """On a GPU if there is one, with CUDA graphs."""
    need_torch()
    import torch

    on_gpu = torch.cuda.is_available()
    if on_gpu:
        need_gpu()
    mode = "reduce-overhead" if on_gpu else "default"
    with torch.no_grad():
        layers = Layers(settings, "cuda" if on_gpu else "cpu")
        packed: Any = torch.compile(layers.multiply_packed, fullgraph=True, mode=mode)
        dense: Any = torch.compile(layers.multiply_dense, fullgraph=True, mode=mode)
        how = f", in one compiled graph on {layers.device.type} ({mode})"
        return layers.row(settings, packed, dense, how)
