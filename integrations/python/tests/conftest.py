"""Matrices, folders and refusals for the tests."""

from __future__ import annotations

import json
import shutil
import subprocess
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import spinfer
from spinfer import SpInferError
from spinfer.encode import encode_matrix
from spinfer.safetensors import header_bytes

ROOT = Path(__file__).resolve().parents[3]
CLI = ROOT / "dist" / "src" / "cli" / "main.js"
GOLDEN = sorted((ROOT / "test" / "golden" / "tile-bitmap").glob("*.json"))


@contextmanager
def refused(code: str, words: str = "") -> Iterator[None]:
    """The block must raise a SpInferError of this code whose text has these words."""
    with pytest.raises(SpInferError) as caught:
        yield
    assert caught.value.code == code, str(caught.value)
    assert words in str(caught.value)


def random_bits(
    seed: int, rows: int, cols: int, sparsity: float = 0.5, dtype: str = "F16"
) -> NDArray[np.uint16]:
    """Any patterns but infinities and NaNs, so that products can be compared."""
    random = np.random.default_rng(seed)
    values = random.standard_normal((rows, cols)).astype(np.float32)
    if dtype == "F16":
        bits = values.astype(np.float16).view(np.uint16)
    else:
        bits = (values.view(np.uint32) >> 16).astype(np.uint16)
    bits[random.random((rows, cols)) < sparsity] = 0
    return bits


def forge(meta: NDArray[np.uint8], payload: NDArray[np.uint8]) -> None:
    """Makes both CRCs right again, so that structure has to find the damage."""
    if len(meta) < 64:
        return
    meta[56:60] = np.array([zlib.crc32(payload)], "<u4").view(np.uint8)
    meta[60:64] = 0
    meta[60:64] = np.array([zlib.crc32(meta)], "<u4").view(np.uint8)


Tensors = dict[str, tuple[str, tuple[int, ...], bytes]]


def write_safetensors(path: Path, tensors: Tensors) -> None:
    listed = [(name, dtype, shape, len(data)) for name, (dtype, shape, data) in tensors.items()]
    body = b"".join(data for _, _, data in tensors.values())
    path.write_bytes(header_bytes(listed, {"format": "pt"}) + body)


def packed_tensors(name: str, bits: NDArray[np.uint16], dtype: str, **flags: bool) -> Tensors:
    payload, meta = encode_matrix(bits, dtype, **flags)
    return {
        f"{name}.weight": ("I64", (len(payload) // 8,), payload.tobytes()),
        f"{name}.weight_meta": ("I64", (len(meta) // 8,), meta.tobytes()),
    }


@dataclass
class Folder:
    """A tile-bitmap folder on disk, and what is in it."""

    path: Path
    tensors: Tensors

    def write(self) -> Path:
        write_safetensors(self.path / "model.safetensors", self.tensors)
        return self.path

    def configure(self, **settings: Any) -> None:
        quantization = {"quant_method": "spinfer", "format": "tile-bitmap", "format_version": "1.0"}
        config = {"model_type": "x", "quantization_config": {**quantization, **settings}}
        (self.path / "config.json").write_text(json.dumps(config))


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Folder]:
    """A folder with two packed weights (one transposed), a dense one and a norm."""

    def make() -> Folder:
        path = tmp_path / "model"
        path.mkdir()
        norm = np.arange(7, dtype=np.float32)
        dense = random_bits(3, 5, 9, dtype="BF16")
        tensors = {
            **packed_tensors("a", random_bits(1, 70, 130, dtype="BF16"), "BF16"),
            **packed_tensors("b", random_bits(2, 50, 20, dtype="BF16"), "BF16", transposed=True),
            "c.weight": ("BF16", (5, 9), dense.tobytes()),
            "norm.weight": ("F32", (7,), norm.tobytes()),
        }
        made = Folder(path, tensors)
        made.configure()
        made.write()
        return made

    return make


needs_cli = pytest.mark.skipif(
    not CLI.is_file() or shutil.which("node") is None,
    reason="the command line is not built (npm run build)",
)

Prune = Callable[..., tuple[Path, Path]]


def cli(*arguments: object) -> None:
    subprocess.run(
        ["node", str(CLI), *map(str, arguments)], check=True, capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def prune(tmp_path_factory: pytest.TempPathFactory) -> Prune:
    """Prunes a model folder; returns the tile-bitmap folder and the dense one of its weights."""

    def make(model: Path, *options: object) -> tuple[Path, Path]:
        out = tmp_path_factory.mktemp("pruned")
        cli("prune", model, "-o", out / "sparse", "--sparsity", "0.6", *options)
        spinfer.unpack(out / "sparse", out / "dense")
        return out / "sparse", out / "dense"

    return make


@pytest.fixture(scope="module")
def demo(prune: Prune) -> tuple[Path, Path]:
    return prune(ROOT / "models" / "demo")
