"""Rows without torch: NumPy, and the example in C."""

from __future__ import annotations

import re
import resource
import shutil
import subprocess
import tempfile
import time
import zlib
from pathlib import Path

import numpy as np

import spinfer

from .. import native
from ..folder import Checkpoint
from ..matrix import to_float32
from ..safetensors import read_bytes, read_header
from .rows import LINEARS, NotRun, Row, Settings, best, row

HOST_SOURCES = ("crc32", "geometry", "reference", "status", "validate")
TOKENS_OF_EXAMPLE = re.compile(
    r"^\d+ products, ABI \d+, ([\d.]+) s for (\d+) tokens, ([\d.]+) s to load$", re.MULTILINE
)
CRC_OF_EXAMPLE = re.compile(r"^(\S+): .*, CRC-32 ([0-9a-f]{8})$", re.MULTILINE)


def packed_names(checkpoint: Checkpoint) -> list[str]:
    return [name for name, tensor in checkpoint.tensors.items() if tensor.packed]


def dense_bytes(folder: Path) -> dict[str, bytes]:
    """The tensors of a dense folder by name, as stored."""
    found: dict[str, bytes] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            header = read_header(file, str(path))
        found |= {entry.name: read_bytes(path, entry).tobytes() for entry in header.entries}
    return found


def run_numpy(settings: Settings) -> Row:
    began = time.perf_counter()
    checkpoint = spinfer.open_folder(settings.packed)
    names = packed_names(checkpoint)
    matrices = {name: checkpoint.packed(name) for name in names}
    loaded = time.perf_counter() - began
    began = time.perf_counter()
    stored = dense_bytes(settings.dense)
    dense_loaded = time.perf_counter() - began
    differ = [
        name
        for name in checkpoint.tensors
        if checkpoint.stored_bytes(name).tobytes() != stored.get(name)
    ]
    numbers = {
        name: to_float32(np.frombuffer(stored[name], "<u2"), meta.dtype).reshape(meta.dense_shape)
        for name, (_, meta) in matrices.items()
    }

    def product(name: str, weight: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> None:
        meta = matrices[name][1]
        (weight.T if meta.transposed else weight) @ np.ones(meta.grid.cols, np.float32)

    def with_packed() -> None:
        for name, (payload, meta) in matrices.items():
            bits = spinfer.decode_matrix(payload, meta)
            product(name, to_float32(bits, meta.dtype))

    def with_dense() -> None:
        for name, weight in numbers.items():
            product(name, weight)

    return row(
        load_seconds={"packed": loaded, "dense": dense_loaded},
        equal=(not differ, f"bytes of all {len(checkpoint.tensors)} tensors"),
        tokens_per_second={
            "packed": 1 / best(with_packed, settings.rounds),
            "dense": 1 / best(with_dense, settings.rounds),
        },
        measured=f"{LINEARS}, packed ones decoded for each; dense ones as float32",
        memory_bytes={
            "packed": sum(
                len(payload) + 4 * len(meta.offsets) for payload, meta in matrices.values()
            ),
            "dense": sum(len(stored[name]) for name in names),
        },
        remembered="weights of the packed layers",
    )


def run_c_example(settings: Settings) -> Row:
    root = _checkout()
    for tool in ("gcc", "g++"):
        if shutil.which(tool) is None:
            raise NotRun(f"no {tool}")
    checkpoint = spinfer.open_folder(settings.packed)
    names = packed_names(checkpoint)
    with tempfile.TemporaryDirectory(prefix="spinfer-c-") as built:
        program = _build(root, Path(built))
        done = subprocess.run(
            [program, settings.packed], capture_output=True, text=True, check=False
        )
    if done.returncode != 0:
        raise RuntimeError(f"the example ended with {done.returncode}: {done.stderr[-300:]}")
    stored = dense_bytes(settings.dense)
    crcs = dict(CRC_OF_EXAMPLE.findall(done.stdout))
    same = crcs == {name: f"{zlib.crc32(stored[name]):08x}" for name in names}
    (timed,) = TOKENS_OF_EXAMPLE.findall(done.stdout)
    return row(
        load_seconds={"packed": float(timed[2]), "dense": None},
        equal=(same, f"CRC-32 of the {len(names)} decoded weights"),
        tokens_per_second={"packed": int(timed[1]) / float(timed[0]), "dense": None},
        measured=f"{LINEARS}, by the library's reference on the host, four tokens at a time",
        memory_bytes={
            "packed": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024,
            "dense": None,
        },
        remembered="largest resident size of the process, a weight at a time",
    )


def _checkout() -> Path:
    root = Path(__file__).resolve().parents[5]
    if not (root / "integrations" / "c" / "example.c").is_file():
        raise NotRun("the example is built in a checkout")
    return root


def _build(root: Path, out: Path) -> Path:
    """The example with the library that is there, else with the host part of one built now."""
    library = out / native.FILE_NAME
    if native.available():
        shutil.copy(native.library().path, library)
    else:
        sources = [root / "kernels" / "src" / f"{name}.cpp" for name in HOST_SOURCES]
        _compile("g++", "-std=c++17", "-O2", "-fPIC", "-shared", *sources, "-o", library)
    program = out / "example"
    include = root / "kernels" / "include"
    example = root / "integrations" / "c" / "example.c"
    link = ("-L", out, "-lspinfer", "-lm", f"-Wl,-rpath,{out}")
    _compile("gcc", "-std=c11", "-O2", "-I", include, example, "-o", program, *link)
    return program


def _compile(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} failed: {done.stderr[-300:]}")
