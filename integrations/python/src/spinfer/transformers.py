"""The quantizer through which transformers loads tile-bitmap folders.

Registered by `import spinfer`. Linear layers whose weights are packed become `SpinferLinear` on the
meta device, with buffers of the sizes that the shards' headers give; transformers then loads the
packed bytes into them like any other tensor. All other tensors are dense and loaded as ever. Before
that, every packed weight is read once and checked on the host.

Written for transformers 4.51 and newer 4.x, and 5.x: the hooks that differ are both there.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D
from transformers.quantizers import auto
from transformers.quantizers.base import HfQuantizer
from transformers.utils.quantization_config import QuantizationConfigMixin

from . import native
from .checking import check
from .errors import Origin, SpInferError
from .folder import Checkpoint, StoredTensor, Tensor, check_version, pair_up, read_config
from .folder import open_folder as open_checkpoint
from .matrix import Meta
from .safetensors import read_header
from .torch import SpinferLinear
from .torch.operator import CONTAINER_DTYPES

METHOD = "spinfer"
CONFIG = "config.json"
_CHECKERS = 8
"""Threads that check weights; each holds one packed weight."""


class SpinferConfig(QuantizationConfigMixin):  # type: ignore[misc]
    """`quantization_config` of a tile-bitmap folder; keeps the keys that it does not know."""

    def __init__(self, **settings: Any) -> None:
        self.quant_method = METHOD
        settings.pop("quant_method", None)
        # the manifest describes the folder that was read, not one that is saved from memory
        settings.pop("tensors", None)
        for key, value in settings.items():
            setattr(self, key, value)

    @classmethod
    def from_dict(
        cls, config_dict: dict[str, Any], return_unused_kwargs: bool = False, **kwargs: Any
    ) -> Any:
        config = cls(**config_dict)
        return (config, kwargs) if return_unused_kwargs else config


class SpinferQuantizer(HfQuantizer):  # type: ignore[misc]
    """Swaps linear layers for packed ones and checks the packed weights."""

    requires_calibration = False
    requires_parameters_quantization = False

    def validate_environment(self, *_: Any, **options: Any) -> None:
        device_map = options.get("device_map")
        places = device_map.values() if isinstance(device_map, dict) else [device_map]
        if "disk" in places:
            raise SpInferError(
                "E_GPU_UNSUPPORTED",
                "packed weights cannot be offloaded to disk",
                expected="a device_map of GPUs and cpu",
            )

    def update_dtype(self, dtype: torch.dtype | None) -> torch.dtype:
        """The dtype of the packed weights where none was asked for (5.x)."""
        return self._value_dtype() if dtype is None else dtype

    def update_torch_dtype(self, torch_dtype: torch.dtype | None) -> torch.dtype:
        """The same in 4.x."""
        return self.update_dtype(torch_dtype)

    def _value_dtype(self) -> torch.dtype:
        name = getattr(self.quantization_config, "value_dtype", None)
        return torch.float16 if name == "float16" else torch.bfloat16

    def _process_model_before_weight_loading(self, model: Any, **options: Any) -> Any:
        checkpoint = _checkpoint_of(model, options.get("checkpoint_files"))
        packed = [tensor for tensor in checkpoint.tensors.values() if tensor.packed]
        on_gpu = _uses_cuda(options.get("device_map"))
        if on_gpu:
            native.library().call("spinfer_check_device")
        metas = _check_all(checkpoint, packed)
        for tensor, meta in zip(packed, metas, strict=True):
            _swap(model, tensor, meta, checkpoint.path, on_gpu)
        return model

    def _process_model_after_weight_loading(self, model: Any, **_: Any) -> Any:
        return model

    def _dequantize(self, model: Any, dtype: torch.dtype | None = None) -> Any:
        packed = [
            (name, module)
            for name, module in model.named_modules()
            if isinstance(module, SpinferLinear)
        ]
        for name, module in packed:
            model.set_submodule(name, _dense_layer(module, dtype))
        return model

    def is_serializable(self, *_: Any, **__: Any) -> bool:
        """Packed layers are saved as they are."""
        return True

    @property
    def is_trainable(self) -> bool:
        return False

    @property
    def is_compileable(self) -> bool:
        return True


def register() -> None:
    """Makes transformers know `quant_method: "spinfer"`; twice is once."""
    auto.AUTO_QUANTIZATION_CONFIG_MAPPING[METHOD] = SpinferConfig
    auto.AUTO_QUANTIZER_MAPPING[METHOD] = SpinferQuantizer


def _uses_cuda(device_map: Any) -> bool:
    places: Iterable[Any] = device_map.values() if isinstance(device_map, dict) else [device_map]
    return any(isinstance(place, int) or "cuda" in str(place) for place in places)


def _checkpoint_of(model: Any, files: list[str] | None) -> Checkpoint:
    """The files that the model is about to be loaded from, with their headers checked."""
    if files is None:
        # 4.x does not say which files; the folder is the one the config came from
        return open_checkpoint(_folder_of(str(model.config.name_or_path)))
    folder = Path(files[0]).parent
    check_version(read_config(folder).get("quantization_config"), folder)
    stored: list[StoredTensor] = []
    for file in files:
        path = Path(file)
        with path.open("rb") as opened:
            header = read_header(opened, file)
        stored += [StoredTensor(path.name, entry) for entry in header.entries]
    return Checkpoint(path=folder, config={}, tensors=pair_up(folder, stored))


def _folder_of(name: str) -> str:
    if os.path.isdir(name):
        return name
    from transformers.utils import cached_file

    return str(Path(cached_file(name, "config.json")).parent)


def _check_all(checkpoint: Checkpoint, packed: list[Tensor]) -> list[Meta]:
    def check_one(tensor: Tensor) -> Meta:
        assert tensor.meta is not None
        origin = Origin(str(checkpoint.path / tensor.stored.file), tensor.name)
        payload = checkpoint.bytes_of(tensor.stored)
        return check(payload, checkpoint.bytes_of(tensor.meta), origin)

    with ThreadPoolExecutor(min(_CHECKERS, os.cpu_count() or 1)) as pool:
        return list(pool.map(check_one, packed))


def _swap(model: Any, tensor: Tensor, meta: Meta, folder: Path, on_gpu: bool) -> None:
    """Puts a packed layer on the meta device where the dense one was."""
    origin = Origin(str(folder / tensor.stored.file), tensor.name)
    name, module = _module_of(model, tensor.name, origin)
    shape = tuple(module.weight.shape)
    if shape != meta.dense_shape:
        raise SpInferError(
            "E_ARCH_SHAPE",
            f"{origin}: a packed weight of shape {list(meta.dense_shape)}",
            origin=origin,
            expected=f"{list(shape)}, which {CONFIG} gives",
        )
    _check_dtype(module.weight.dtype, CONTAINER_DTYPES[meta.dtype], origin, on_gpu)
    layer = SpinferLinear(meta, bias=module.bias is not None, device="meta", overlap=True)
    if layer.bias is not None:
        # as the model's other dense tensors, whatever dtype it is loaded in
        bias = torch.empty_like(module.bias, device="meta")
        layer.bias = nn.Parameter(bias, requires_grad=False)
    model.set_submodule(name, layer)


def _check_dtype(model: torch.dtype, weights: torch.dtype, origin: Origin, on_gpu: bool) -> None:
    """Refuses at once what the first product would refuse."""
    if model == weights or (model == torch.float32 and not on_gpu):
        return
    raise SpInferError(
        "E_DTYPE_UNSUPPORTED",
        f"{origin}: the model is loaded as {model}, its packed weights are {weights}",
        origin=origin,
        expected=f"{weights}; on a CPU float32 too",
        hint=f"Pass dtype={weights} (torch_dtype with transformers 4.x)",
    )


def _module_of(model: Any, tensor: str, origin: Origin) -> tuple[str, Any]:
    """The linear layer that a checkpoint's weight belongs to, with or without the base's prefix."""
    path = tensor.removesuffix(".weight")
    prefix = f"{model.base_model_prefix}."
    for name in (path, path.removeprefix(prefix), prefix + path):
        try:
            module = model.get_submodule(name)
        except AttributeError:
            continue
        if isinstance(module, nn.Linear | Conv1D):
            return name, module
    raise SpInferError(
        "E_ARCH_SHAPE",
        f"{origin}: {type(model).__name__} has no linear layer {path}",
        origin=origin,
        expected="packed weights of linear layers only",
        hint="Write the checkpoint as a dense folder (spinfer-unpack) for this architecture",
    )


def _dense_layer(module: SpinferLinear, dtype: torch.dtype | None) -> nn.Linear:
    has_bias = module.bias is not None
    layer = nn.Linear(module.in_features, module.out_features, bias=has_bias, device="meta")
    weight = module.to_dense().to(dtype or module.dtype)
    layer.weight = nn.Parameter(weight, requires_grad=False)
    if module.bias is not None:
        layer.bias = nn.Parameter(module.bias.to(weight.dtype), requires_grad=False)
    return layer


__all__ = ["CONTAINER_DTYPES", "SpinferConfig", "SpinferQuantizer", "register"]
