"""How long `from_pretrained` takes for a packed folder and for the dense folder of its weights.

In turns in one process, with the files in the page cache (warm) and dropped from it before each
load (cold). On a CPU both sides map their files, and a dense one is not read by loading at all: the
time goes on until one byte of each page of all weights has been looked at.
"""

from __future__ import annotations

import gc
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..encode import write_meta
from ..layout import ALIGN, HEADER_BYTES, Grid
from ..safetensors import header_bytes
from .stock import llama_config, stock_dense
from .weights import DenseLinear, Weights, pack

SIDES = ("sparse", "dense")
PAGE = 4096
COLD_SECONDS = 30
Json = dict[str, Any]


def load(folder: Path, device: torch.device) -> tuple[Any, float]:
    """The model as transformers loads it, and the seconds until it is on the device."""
    from transformers import AutoModelForCausalLM

    began = time.perf_counter()
    model: Any = AutoModelForCausalLM.from_pretrained(folder, device_map={"": str(device)})
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    else:
        for tensor in (*model.parameters(), *model.buffers()):
            tensor.detach().reshape(-1).view(torch.uint8)[::PAGE].sum()
    return model.eval(), time.perf_counter() - began


def measure_loading(folders: dict[str, Path], device: torch.device, rounds: int) -> Json:
    """Seconds of `rounds` loads of both sides in turns, warm and cold, after one that counts not.

    "storageBytes" of a cold load are those that this process had fetched from storage; where a
    load fetched less than half of its files, the page cache was not dropped and `cold` is null.
    On slow storage there are fewer cold rounds: none begins after `COLD_SECONDS`.
    """
    with _quiet():
        for folder in folders.values():
            load(folder, device)
        warm = _rounds(folders, device, rounds, cold=False)
        cold = _rounds(folders, device, rounds, cold=True)
    sizes = {side: sum(file.stat().st_size for file in _files(folders[side])) for side in SIDES}
    why_not = _why_not_cold(cold, sizes)
    return {
        "device": str(device),
        "fileBytes": sizes,
        "warm": warm,
        "cold": None if why_not else cold,
        "noColdBecause": why_not,
    }


def _rounds(folders: dict[str, Path], device: torch.device, rounds: int, *, cold: bool) -> Json:
    found: Json = {side: {"seconds": [], "storageBytes": []} for side in SIDES}
    began = time.perf_counter()
    for done in range(rounds):
        if cold and done > 0 and time.perf_counter() - began > COLD_SECONDS:
            break
        for side in SIDES:
            _free()
            if cold:
                _drop(folders[side])
            before = _fetched()
            model, seconds = load(folders[side], device)
            after = _fetched()
            del model
            found[side]["seconds"].append(seconds)
            fetched = None if before is None or after is None else after - before
            found[side]["storageBytes"].append(fetched)
    _free()
    return found


def _why_not_cold(cold: Json, sizes: dict[str, int]) -> str:
    fetched = [(side, count) for side in SIDES for count in cold[side]["storageBytes"]]
    if any(count is None for _, count in fetched):
        return "this system does not say what was fetched from storage"
    if any(2 * count < sizes[side] for side, count in fetched):
        return "the files could not be dropped from the page cache"
    return ""


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


def _drop(folder: Path) -> None:
    """Asks the system to forget the folder's weights in its page cache."""
    if not hasattr(os, "posix_fadvise"):
        return
    for file in _files(folder):
        opened = os.open(file, os.O_RDONLY)
        try:
            os.fsync(opened)  # what is not written yet cannot be dropped
            os.posix_fadvise(opened, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(opened)


def _fetched() -> int | None:
    """Bytes that this process has had read from storage, mapped files included (Linux)."""
    try:
        lines = Path("/proc/self/io").read_text().splitlines()
    except OSError:
        return None
    fields = dict(line.split(": ") for line in lines)
    return int(fields["read_bytes"]) if "read_bytes" in fields else None


def _free() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' progress bars."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.enable_progress_bar()


def save_folders(weights: Weights, layers: int, target: Path) -> dict[str, Path]:
    """Writes the first `layers` of a model as a packed and as a dense folder in `target`."""
    folders = {side: target / side for side in SIDES}
    config = llama_config(weights.shape, layers, positions=4096).to_dict()
    for side, folder in folders.items():
        folder.mkdir(parents=True)
        settings = {} if side == "dense" else {"quantization_config": _settings(weights)}
        text = json.dumps({**config, "architectures": ["LlamaForCausalLM"], **settings})
        (folder / "config.json").write_text(text)
        _save(folder / "model.safetensors", weights, layers, packed=side == "sparse")
    return folders


def _settings(weights: Weights) -> Json:
    return {
        "quant_method": "spinfer",
        "format": "tile-bitmap",
        "format_version": "1.0",
        "value_dtype": weights.shape.dtype,
    }


Part = tuple[str, str, tuple[int, ...], Any]
"""Name, dtype, shape and bytes of a tensor."""


def _save(path: Path, weights: Weights, layers: int, *, packed: bool) -> None:
    """All at once in host memory, since the header comes first and has all sizes."""
    parts = [*_others(weights, layers), *_matrices(weights, layers, packed=packed)]
    listed = [(name, dtype, shape, data.nbytes) for name, dtype, shape, data in parts]
    with path.open("wb") as file:
        file.write(header_bytes(listed, {"format": "pt"}))
        for *_, data in parts:
            file.write(memoryview(data))


def _others(weights: Weights, layers: int) -> Iterator[Part]:
    yield _dense("model.embed_tokens.weight", weights.embedding)
    yield _dense("lm_head.weight", weights.head)
    yield _dense("model.norm.weight", weights.norm)
    for at, block in enumerate(weights.blocks[:layers]):
        yield _dense(f"model.layers.{at}.input_layernorm.weight", block.attention_norm)
        yield _dense(f"model.layers.{at}.post_attention_layernorm.weight", block.feed_forward_norm)


def _matrices(weights: Weights, layers: int, *, packed: bool) -> Iterator[Part]:
    for at, block in enumerate(stock_dense(weights)[:layers]):
        for kind, linear in block.items():
            assert isinstance(linear, DenseLinear)
            module = "self_attn" if kind in "qkvo" else "mlp"
            name = f"model.layers.{at}.{module}.{kind}_proj.weight"
            if packed:
                yield from _packed(name, linear.weight)
            else:
                yield _dense(name, linear.weight)


def _dense(name: str, tensor: torch.Tensor) -> Part:
    dtype = "F16" if tensor.dtype == torch.float16 else "BF16"
    return name, dtype, tuple(tensor.shape), tensor.cpu().contiguous().view(torch.int16).numpy()


def _packed(name: str, weight: torch.Tensor) -> Iterator[Part]:
    made = pack(weight)
    payload = made.payload.cpu().numpy().view(np.uint8)
    grid = Grid(made.rows, made.cols)
    # packed on a GPU it has no header yet
    offsets = made.meta.cpu().numpy().view(np.uint32)[HEADER_BYTES // 4 :][: grid.chunks + 1]
    nonzeros = int(torch.count_nonzero(weight))
    assert int(offsets[-1]) * ALIGN == len(payload)
    dtype = "F16" if weight.dtype == torch.float16 else "BF16"
    meta = write_meta(grid, dtype, False, nonzeros, offsets, payload)
    for part_name, part in ((name, payload), (f"{name}_meta", meta)):
        yield part_name, "I64", (len(part) // 8,), part
