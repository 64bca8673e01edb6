"""The kernel library: where it is looked for, what is refused, and that its check is ours."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, forge, random_bits, refused

from spinfer import SpInferError, checking, native
from spinfer.encode import encode_matrix
from spinfer.errors import Origin

SOURCES = ("crc32.cpp", "geometry.cpp", "reference.cpp", "status.cpp", "validate.cpp")
OTHER_ABI = """
extern "C" __attribute__((visibility("default"))) int spinfer_abi_version(void) { return 99; }
"""

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed")


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    """What was loaded before, or could not be, is forgotten."""
    native.library.cache_clear()
    yield
    native.library.cache_clear()


def compile_library(out: Path, *sources: Path) -> Path:
    flags = ["-std=c++17", "-O1", "-fPIC", "-fvisibility=hidden", "-shared"]
    subprocess.run(["g++", *flags, *map(str, sources), "-o", str(out)], check=True)
    return out


@pytest.fixture(scope="module")
def host_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The part of the library that needs no CUDA."""
    out = tmp_path_factory.mktemp("library") / native.FILE_NAME
    return compile_library(out, *(ROOT / "kernels" / "src" / name for name in SOURCES))


def test_a_missing_library_is_named_with_what_was_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = tmp_path / "libspinfer.so"
    monkeypatch.setenv(native.ENVIRONMENT, str(missing))
    with refused("E_GPU_LIBRARY", f"looked for {missing}"):
        native.library()
    assert not native.available()


def test_looks_into_the_package_and_then_into_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(native.ENVIRONMENT, raising=False)
    package = Path(native.__file__).parent
    assert native.candidates() == [
        package / "lib" / "libspinfer.so",
        ROOT / "kernels" / "build" / "libspinfer.so",
    ]


def test_another_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "libspinfer.so"
    path.write_text("not a library")
    monkeypatch.setenv(native.ENVIRONMENT, str(path))
    with refused("E_GPU_LIBRARY", f"{path}: not a usable libspinfer.so"):
        native.library()
    libc = next(Path("/lib").glob("*-linux-gnu/libm.so.6"), None)
    if libc is not None:
        with refused("E_GPU_LIBRARY", "spinfer_abi_version"):
            native.load(libc)


@needs_compiler
def test_a_library_that_is_cut_short_does_not_end_the_process(
    host_library: Path, tmp_path: Path
) -> None:
    data = host_library.read_bytes()
    for size in (100, 5000, len(data) // 2):
        short = tmp_path / f"{size}.so"
        short.write_bytes(data[:size])
        with refused("E_GPU_LIBRARY", f"cut short: {size} of at least"):
            native.load(short)


@needs_compiler
@pytest.mark.parametrize("name", ["libspinfer.so", "./libspinfer.so"])
def test_a_relative_path_is_one_of_the_working_folder(
    host_library: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(host_library.parent)
    monkeypatch.setenv(native.ENVIRONMENT, name)
    assert native.library().path == host_library


@needs_compiler
def test_another_interface_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "other.cpp"
    source.write_text(OTHER_ABI)
    with refused("E_GPU_LIBRARY", "the library has ABI 99; expected ABI 1 to"):
        native.load(compile_library(tmp_path / "other.so", source))


@needs_compiler
def test_a_library_for_the_host_alone_checks_but_does_not_launch(host_library: Path) -> None:
    library = native.load(host_library)
    with refused("E_GPU_LIBRARY", "has no spinfer_spmm"):
        library.call("spinfer_spmm")


@needs_compiler
def test_the_library_refuses_what_we_refuse(
    host_library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The codes with the library and without it, on damaged and whole matrices."""
    random = np.random.default_rng(3)
    codes: set[str] = set()
    for _ in range(400):
        rows, cols = random.integers(1, 100, 2)
        payload, meta = encode_matrix(random_bits(int(cols), rows, cols), "F16")
        part = meta if random.random() < 0.5 else payload
        part[random.integers(len(part))] ^= 1 << random.integers(8)
        if random.random() < 0.7:
            forge(meta, payload)
        found = []
        for library in (str(host_library), os.devnull):
            monkeypatch.setenv(native.ENVIRONMENT, library)
            native.library.cache_clear()
            try:
                found.append(checking.check(payload, meta, Origin()).nonzeros)
            except SpInferError as error:
                found.append(error.code)
        assert found[0] == found[1]
        codes.add(str(found[0]))
    assert {"E_TB_LAYOUT", "E_TB_OFFSETS", "E_TB_POPCOUNT", "E_HASH"} <= codes
