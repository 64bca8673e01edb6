"""The quantizer through which transformers loads tile-bitmap folders.

Registered by `import spinfer`. Linear layers whose weights are packed become `SpinferLinear` on the
meta device, with buffers of the sizes that the shards' headers give, so that a device map counts
them; headers and offsets are checked then. Their bytes are not for transformers to load: once it
has placed the layers, they are read here, once, checked on the host and put where they belong. All
other tensors are dense and loaded as ever. Where `spinfer tune` has measured that a GPU multiplies
a matrix faster dense, it is decoded there and its packed form is dropped.

Written for transformers 4.51 and newer 4.x, and 5.x: the hooks that differ are both there.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers.pytorch_utils import Conv1D
from transformers.quantizers import auto
from transformers.quantizers.base import HfQuantizer
from transformers.utils.quantization_config import QuantizationConfigMixin

from . import native, planner
from .errors import Origin, SpInferError, printable, reading
from .folder import Checkpoint, StoredTensor, Tensor, check_version, pair_up, read_config
from .folder import open_folder as open_checkpoint
from .layout import META_SUFFIX
from .matrix import Meta, read_meta
from .safetensors import read_header
from .torch import SpinferLinear
from .torch.loading import Expected, load
from .torch.operator import CONTAINER_DTYPES

METHOD = "spinfer"
CONFIG = "config.json"
_STRATEGIES = ("auto", "balanced", "balanced_low_0", "sequential")


class SpinferConfig(QuantizationConfigMixin):  # type: ignore[misc]
    """`quantization_config` of a tile-bitmap folder; keeps the keys that it does not know."""

    def __init__(self, **settings: Any) -> None:
        self.quant_method = METHOD
        settings.pop("quant_method", None)
        # the manifest describes the folder that was read, not one that is saved from memory
        settings.pop("tensors", None)
        for key, value in settings.items():
            if hasattr(type(self), key):
                raise SpInferError(
                    "E_CONFIG",
                    f'{CONFIG}: quantization_config has a key "{printable(key)}"',
                    expected="no name of a method of transformers",
                )
            setattr(self, key, value)

    @classmethod
    def from_dict(
        cls, config_dict: dict[str, Any], return_unused_kwargs: bool = False, **kwargs: Any
    ) -> Any:
        config = cls(**config_dict)
        return (config, kwargs) if return_unused_kwargs else config


class _EmptyLinear(SpinferLinear):
    """One whose packed tensors are still to come; a SpinferLinear when they have.

    5.x makes room for them on their device, and would draw random numbers there where a model's
    own initialisation touches `weight` (GPT-2's does).
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("weight", "weight_meta"):
            value._is_hf_initialized = True
        super().__setattr__(name, value)


@dataclass(frozen=True)
class _Waiting:
    """A packed weight and the module whose layer it is for."""

    tensor: Tensor
    meta_bytes: NDArray[np.uint8]
    meta: Meta
    module: str


class SpinferQuantizer(HfQuantizer):  # type: ignore[misc]
    """Swaps linear layers for packed ones, and loads and checks the packed weights."""

    requires_calibration = False
    requires_parameters_quantization = False

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._device_map: Any = None
        self._folder = Path()
        self._waiting: list[_Waiting] = []
        self._loaded: list[str] = []

    def validate_environment(self, *_: Any, **options: Any) -> None:
        # called with what the user asked for, and again with the map that "auto" became
        self._device_map = device_map = options.get("device_map")
        if "disk" in _places(device_map):
            raise SpInferError(
                "E_GPU_UNSUPPORTED",
                "packed weights cannot be offloaded to disk",
                expected="a device_map of GPUs and cpu",
            )
        for place in _places(device_map):
            _check_place(place)

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
        self._device_map = options.get("device_map", self._device_map)
        checkpoint = _checkpoint_of(model, options.get("checkpoint_files"))
        on_gpu = _uses_cuda(self._device_map)
        if on_gpu:
            native.library().call("spinfer_check_device")
        self._folder = checkpoint.path
        self._waiting = [
            _swap(model, tensor, checkpoint, on_gpu)
            for tensor in checkpoint.tensors.values()
            if tensor.packed
        ]
        _expect_unknown_names(model, self._waiting)
        return model

    def update_unexpected_keys(self, model: Any, unexpected_keys: Any, *_: Any) -> Any:
        """4.x calls this when the device map is known and nothing is loaded: before it dispatches
        the model, which must not find layers on the meta device then."""
        self._load(model)
        return unexpected_keys

    def _process_model_after_weight_loading(self, model: Any, **_: Any) -> Any:
        self._load(model)
        measured: list[planner.Measured] | None = None
        for name in self._loaded:
            layer = model.get_submodule(name)
            layer.__class__ = SpinferLinear
            layer.show_in_state(True)
            gpu = _gpu_of(layer.weight.device)
            if gpu is None:
                continue
            if measured is None:
                measured = planner.read_measured(planner.cache_file())
            matrix = (layer.out_features, layer.in_features, layer.nonzeros, layer.value_dtype)
            if planner.is_faster_dense(*matrix, gpu, measured):
                model.set_submodule(name, _dense_layer(layer, None))
        self._loaded = []
        return model

    def _load(self, model: Any) -> None:
        """Loads what waits, to where transformers has put the layers, or is about to (4.x)."""
        expected = []
        for waiting in self._waiting:
            layer = model.get_submodule(waiting.module)
            place = layer.weight.device
            if place.type == "meta":
                place = _place_of(waiting.module, self._device_map)
            stored = waiting.tensor.stored
            path = self._folder / stored.file
            one = Expected(layer, path, stored.entry, waiting.meta_bytes, waiting.meta, place)
            expected.append(one)
        load(expected)
        self._loaded += [waiting.module for waiting in self._waiting]
        self._waiting = []

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


def _places(device_map: Any) -> Iterable[Any]:
    return device_map.values() if isinstance(device_map, dict) else [device_map]


def _check_place(place: Any) -> None:
    """Refuses a device that no kernel is for, before torch is asked for it."""
    if place is None or isinstance(place, int) or place in _STRATEGIES:
        return
    kind = place.type if isinstance(place, torch.device) else str(place).split(":", 1)[0]
    if kind not in ("cpu", "cuda", "meta"):
        raise SpInferError(
            "E_GPU_UNSUPPORTED",
            f'device_map names "{printable(str(place))}"',
            expected="a device_map of GPUs and cpu",
            hint="Move the model to a CUDA GPU or to the CPU",
        )


def _uses_cuda(device_map: Any) -> bool:
    return any(isinstance(place, int) or "cuda" in str(place) for place in _places(device_map))


def _place_of(module: str, device_map: Any) -> torch.device:
    """Where the longest entry of the map that names the module or what it is part of puts it."""
    found: dict[str, Any] = (
        device_map if isinstance(device_map, dict) else {"": device_map or "cpu"}
    )
    names = [name for name in found if name == "" or f"{module}.".startswith(f"{name}.")]
    place = found[max(names, key=len)] if names else "cpu"
    return torch.device("cuda", place) if isinstance(place, int) else torch.device(place)


@functools.cache
def _gpu_of(device: torch.device) -> planner.Gpu | None:
    if device.type != "cuda":
        return None
    with torch.cuda.device(device):
        found = native.describe_gpu()
    return planner.Gpu(found.name.decode(), found.driver.decode())


def _expect_unknown_names(model: Any, waiting: list[_Waiting]) -> None:
    """5.x would warn of tensors in the files that are not of the state; 4.x knows buffers."""
    names = {name for one in waiting for name in (one.tensor.name, f"{one.module}.weight")}
    pattern = f"^(?:{'|'.join(map(re.escape, sorted(names)))})(?:{META_SUFFIX})?$"
    known = model._keys_to_ignore_on_load_unexpected
    model._keys_to_ignore_on_load_unexpected = (
        known | {pattern} if isinstance(known, set) else [*(known or ()), pattern]
    )


def _checkpoint_of(model: Any, files: list[str] | None) -> Checkpoint:
    """The files that the model is about to be loaded from, with their headers checked."""
    if files is None:
        # 4.x does not say which files; the folder is the one the config came from
        return open_checkpoint(_folder_of(str(model.config.name_or_path)))
    folders = sorted({str(Path(file).parent) for file in files})
    folder = Path(folders[0])
    if len(folders) > 1:
        raise SpInferError(
            "E_PATH_ESCAPE",
            f"{folder}: the shards lie in {len(folders)} folders, {', '.join(folders[1:3])} too",
            origin=Origin(str(folder)),
            expected="plain names of files in the same folder",
            hint="Do not use this model: it tries to reach other files",
        )
    check_version(read_config(folder).get("quantization_config"), folder)
    stored: list[StoredTensor] = []
    for file in files:
        path = Path(file)
        if not path.exists():
            raise SpInferError(
                "E_SHARD_MISSING",
                f"{path}: the shard is missing",
                origin=Origin(str(path)),
                hint="Download the missing files; nothing was read yet",
            )
        with reading(path), path.open("rb") as opened:
            header = read_header(opened, file)
        stored += [StoredTensor(path.name, entry) for entry in header.entries]
    return Checkpoint(path=folder, config={}, tensors=pair_up(folder, stored))


def _folder_of(name: str) -> str:
    if os.path.isdir(name):
        return name
    from transformers.utils import cached_file

    return str(Path(cached_file(name, "config.json")).parent)


def _swap(model: Any, tensor: Tensor, checkpoint: Checkpoint, on_gpu: bool) -> _Waiting:
    """Puts a packed layer on the meta device where the dense one was; checks weight_meta."""
    assert tensor.meta is not None
    origin = Origin(str(checkpoint.path / tensor.stored.file), tensor.name)
    meta_bytes = checkpoint.bytes_of(tensor.meta)
    meta = read_meta(meta_bytes, origin)
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
    layer = _EmptyLinear(meta, bias=module.bias is not None, device="meta", overlap=True)
    if layer.bias is not None:
        # as the model's other dense tensors, whatever dtype it is loaded in
        bias = torch.empty_like(module.bias, device="meta")
        layer.bias = nn.Parameter(bias, requires_grad=False)
    layer.show_in_state(False)
    model.set_submodule(name, layer)
    return _Waiting(tensor, meta_bytes, meta, name)


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
        hint="Prune without these matrices (for merged experts: --ignore '*experts*'), or write "
        "the checkpoint as a dense folder (spinfer-unpack)",
    )


def _dense_layer(module: SpinferLinear, dtype: torch.dtype | None) -> nn.Linear:
    has_bias = module.bias is not None
    layer = nn.Linear(module.in_features, module.out_features, bias=has_bias, device="meta")
    weight = module.to_dense().to(dtype or module.dtype)
    layer.weight = nn.Parameter(weight, requires_grad=False)
    if module.bias is not None:
        layer.bias = nn.Parameter(module.bias.to(weight.dtype), requires_grad=False)
    return layer


register()

__all__ = ["SpinferConfig", "SpinferQuantizer", "register"]
