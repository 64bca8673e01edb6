"""A tile-bitmap folder back to the dense one that every runtime loads.

The output appears whole or not at all: it is written beside its place and renamed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import Origin, SpInferError
from .folder import CONFIG_FILE, INDEX_FILE, MANIFEST_FILE, Checkpoint, Tensor, open_folder
from .manifest import check_manifest
from .safetensors import DTYPE_BITS, header_bytes

# As the command line does: weights in other formats, code and cards stay behind.
_STAYS = re.compile(
    r"^\.|\.(?:safetensors|bin|pt|pth|ckpt|gguf|ggml|onnx|onnx_data|h5|msgpack|tflite|npz|npy|pkl"
    r"|pickle|ot|tar|gz|tgz|zip|py|pyc|ipynb|sh|js)$|\.index\.json$",
    re.IGNORECASE,
)
_CARD = re.compile(r"\.md$", re.IGNORECASE)
_LICENCE = re.compile(r"^(?:licen[cs]e|notice|use_policy|copying)", re.IGNORECASE)
_OWN = (CONFIG_FILE, MANIFEST_FILE, "recipe.yaml")


@dataclass(frozen=True)
class Unpacked:
    """What `unpack` wrote."""

    folder: Path
    tensors: int
    packed: int
    """Of them, those that were packed."""
    bytes: int
    """Of all tensors, dense."""
    hashes_checked: bool
    """Whether there was a manifest to compare every file with."""


def unpack(folder: str | Path, out: str | Path, *, check_hashes: bool = True) -> Unpacked:
    """Writes the checkpoint in `folder` as a dense model folder `out`, which must not exist.

    With `check_hashes` every file is first compared with the manifest, where there is one; the
    structure of packed weights and their CRC-32s are always checked. Memory: the largest tensor,
    dense and packed.

    Raises E_OUTPUT_EXISTS, E_OUTPUT_IS_INPUT, E_PATH, E_IO and what `open_folder` raises.
    """
    checkpoint = open_folder(folder)
    target = Path(out)
    _check_target(checkpoint.path, target)
    has_manifest = (checkpoint.path / MANIFEST_FILE).is_file()
    if check_hashes and has_manifest:
        check_manifest(checkpoint)
    partial = target.parent / f".{target.name}.partial-{os.getpid()}"
    try:
        partial.mkdir()
        written = _write(checkpoint, partial)
        partial.rename(target)
        _sync_folder(target.parent)
    except OSError as cause:
        raise SpInferError("E_IO", f"{target}: {cause}", origin=Origin(str(target))) from cause
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Unpacked(
        folder=target,
        tensors=len(checkpoint.tensors),
        packed=sum(tensor.packed for tensor in checkpoint.tensors.values()),
        bytes=written,
        hashes_checked=check_hashes and has_manifest,
    )


def _check_target(source: Path, target: Path) -> None:
    origin = Origin(str(target))
    if target.exists() or target.is_symlink():
        raise SpInferError(
            "E_OUTPUT_EXISTS",
            f"{target}: the output exists",
            origin=origin,
            hint="Remove it or choose another output",
        )
    if not target.parent.is_dir():
        raise SpInferError(
            "E_PATH", f"{target.parent}: no such folder", origin=origin, hint="Create it first"
        )
    inside = (target.parent.resolve() / target.name).is_relative_to(source.resolve())
    if inside:
        message = f"{target}: the output would be inside the input"
        raise SpInferError("E_OUTPUT_IS_INPUT", message, origin=origin)


def _write(checkpoint: Checkpoint, folder: Path) -> int:
    total = 0
    weight_map: dict[str, str] = {}
    for name, metadata in checkpoint.files.items():
        tensors = [tensor for tensor in checkpoint.tensors.values() if tensor.stored.file == name]
        # aligned when mapped: wide dtypes first, as the reference writer does
        tensors.sort(key=lambda tensor: (-DTYPE_BITS[tensor.dtype], tensor.name))
        total += _write_file(checkpoint, folder / name, tensors, {**metadata, "format": "pt"})
        weight_map.update((tensor.name, name) for tensor in tensors)
    if len(checkpoint.files) > 1:
        index = {
            "metadata": {"total_size": total},
            "weight_map": dict(sorted(weight_map.items())),
        }
        _write_text(folder / INDEX_FILE, json.dumps(index, indent=2) + "\n")
    config = {k: value for k, value in checkpoint.config.items() if k != "quantization_config"}
    _write_text(folder / CONFIG_FILE, json.dumps(config, indent=2, ensure_ascii=False) + "\n")
    for entry in sorted(checkpoint.path.iterdir()):
        if entry.is_file() and _travels(entry.name):
            shutil.copyfile(entry, folder / entry.name)
    _sync_folder(folder)
    return total


def _travels(name: str) -> bool:
    if name in _OWN or _STAYS.search(name) is not None:
        return False
    return _CARD.search(name) is None or _LICENCE.match(name) is not None


def _write_file(
    checkpoint: Checkpoint, path: Path, tensors: Sequence[Tensor], metadata: dict[str, str]
) -> int:
    sizes = [dense_bytes(tensor) for tensor in tensors]
    entries = [
        (tensor.name, tensor.dtype, tensor.shape, size)
        for tensor, size in zip(tensors, sizes, strict=True)
    ]
    with path.open("xb") as file:
        file.write(header_bytes(entries, metadata))
        for tensor in tensors:
            file.write(checkpoint.stored_bytes(tensor.name))
        file.flush()
        os.fsync(file.fileno())
    return sum(sizes)


def dense_bytes(tensor: Tensor) -> int:
    """Bytes of the dense tensor."""
    if tensor.header is None:
        return tensor.stored.entry.bytes
    return tensor.header.grid.rows * tensor.header.grid.cols * 2


def _write_text(path: Path, text: str) -> None:
    with path.open("x", encoding="utf-8", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command `spinfer-unpack`. Exit codes: 0, 2 for usage, 3 for anything refused."""
    parser = argparse.ArgumentParser(
        prog="spinfer-unpack",
        description="Write a tile-bitmap checkpoint as a dense folder that every runtime loads.",
    )
    parser.add_argument("folder", help="a folder that `spinfer prune` or `spinfer convert` wrote")
    parser.add_argument("out", help="the dense folder to write; it must not exist")
    parser.add_argument(
        "--no-hashes",
        action="store_true",
        help="do not compare the files with the manifest; packed weights are checked all the same",
    )
    options = parser.parse_args(arguments)
    started = time.perf_counter()
    try:
        done = unpack(options.folder, options.out, check_hashes=not options.no_hashes)
    except SpInferError as error:
        print(f"error{error}", file=sys.stderr)
        return 3
    seconds = time.perf_counter() - started
    print(
        f"wrote {done.folder}: {done.tensors} tensors, {done.packed} unpacked, "
        f"{done.bytes / 1e6:.1f} MB in {seconds:.1f} s "
        f"({done.bytes / 1e6 / seconds:.0f} MB/s)"
        + ("" if done.hashes_checked else "; no hashes compared")
    )
    return 0
