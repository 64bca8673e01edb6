"""libspinfer.so through ctypes: where it is looked for, and the C ABI of kernels/include/spinfer.h.

Nothing is loaded on import; `library()` does it once. No function here can end the process: every
call returns a status, which becomes a SpInferError with the library's own sentence.
"""

from __future__ import annotations

import ctypes
import functools
import os
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import Origin, SpInferError

ENVIRONMENT = "SPINFER_LIBRARY"
FILE_NAME = "libspinfer.so"
ABI_OLDEST = 1
ABI_NEWEST = 2
"""The last version that is known to have kept what ABI 1 has."""

OK = 0
OVERLAP = 1
VALUE_DTYPES = {"F16": 1, "BF16": 2}

_CODES = {
    1: "E_INTERNAL",
    2: "E_TB_LAYOUT",
    3: "E_GPU_UNSUPPORTED",
    4: "E_GPU_FAULT",
    5: "E_GPU_MEMORY",
    8: "E_GPU_NONE",
}


class MetaStruct(ctypes.Structure):
    """`spinfer_meta`"""

    _fields_ = (
        ("rows", ctypes.c_uint32),
        ("cols", ctypes.c_uint32),
        ("chunks", ctypes.c_uint32),
        ("max_chunk_bytes", ctypes.c_uint32),
        ("nonzeros", ctypes.c_uint64),
        ("payload_bytes", ctypes.c_uint64),
        ("offsets_at", ctypes.c_uint64),
        ("value_dtype", ctypes.c_uint8),
        ("value_order", ctypes.c_uint8),
        ("flags", ctypes.c_uint8),
        ("reserved", ctypes.c_uint8),
    )


class MatrixStruct(ctypes.Structure):
    """`spinfer_matrix`"""

    _fields_ = (
        ("payload", ctypes.c_void_p),
        ("offsets", ctypes.c_void_p),
        ("rows", ctypes.c_uint32),
        ("cols", ctypes.c_uint32),
        ("max_chunk_bytes", ctypes.c_uint32),
        ("value_dtype", ctypes.c_uint8),
        ("value_order", ctypes.c_uint8),
        ("reserved", ctypes.c_uint16),
    )


class GpuStruct(ctypes.Structure):
    """`spinfer_gpu` of kernels/include/spinfer_measure.h"""

    _fields_ = (
        ("name", ctypes.c_char * 96),
        ("uuid", ctypes.c_char * 48),
        ("driver", ctypes.c_char * 32),
        ("memory_bytes", ctypes.c_uint64),
        ("free_memory_bytes", ctypes.c_uint64),
        ("l2_bytes", ctypes.c_uint64),
        ("major", ctypes.c_int32),
        ("minor", ctypes.c_int32),
        ("sms", ctypes.c_int32),
        ("sm_clock_mhz", ctypes.c_int32),
        ("sm_clock_max_mhz", ctypes.c_int32),
        ("memory_clock_mhz", ctypes.c_int32),
        ("power_limit_w", ctypes.c_int32),
        ("temperature_c", ctypes.c_int32),
        ("runtime_version", ctypes.c_int32),
        ("driver_version", ctypes.c_int32),
    )


_POINTER = ctypes.c_void_p
_SIGNATURES: dict[str, tuple[Any, ...]] = {
    "spinfer_check_device": (),
    "spinfer_validate": (
        _POINTER,
        ctypes.c_uint64,
        _POINTER,
        ctypes.c_uint64,
        ctypes.c_uint32,
        ctypes.POINTER(MetaStruct),
    ),
    "spinfer_spmm_workspace": (
        ctypes.POINTER(MatrixStruct),
        _POINTER,
        ctypes.c_uint32,
        ctypes.POINTER(ctypes.c_uint64),
    ),
    "spinfer_spmm": (
        ctypes.POINTER(MatrixStruct),
        _POINTER,
        ctypes.c_uint32,
        _POINTER,
        _POINTER,
        _POINTER,
        ctypes.c_uint64,
        ctypes.c_uint32,
        _POINTER,
    ),
    "spinfer_decode": (ctypes.POINTER(MatrixStruct), _POINTER, _POINTER),
    "spinfer_encode_offsets": (
        _POINTER,
        ctypes.c_uint32,
        ctypes.c_uint32,
        _POINTER,
        _POINTER,
    ),
    "spinfer_encode_payload": (
        _POINTER,
        ctypes.c_uint32,
        ctypes.c_uint32,
        _POINTER,
        _POINTER,
        _POINTER,
    ),
    "spinfer_describe_gpu": (ctypes.POINTER(GpuStruct),),
}


@dataclass(frozen=True)
class Library:
    """The loaded library."""

    path: Path
    abi: int
    loaded: ctypes.CDLL
    functions: dict[str, Any] = field(default_factory=dict)
    """Those that were called, with their signatures set."""

    def call(self, name: str, *arguments: Any, origin: Origin | None = None) -> None:
        """Calls a function that returns a status; raises unless it is SPINFER_OK."""
        status = self.status(name, *arguments)
        if status != OK:
            raise self.failure(name, status, origin)

    def status(self, name: str, *arguments: Any) -> int:
        """The same, returning the status. Raises E_GPU_LIBRARY for a function that is not there."""
        function = self.functions.get(name)
        if function is None:
            function = self.functions[name] = self._bind(name)
        result: int = function(*arguments)
        return result

    def _bind(self, name: str) -> Any:
        try:
            function = getattr(self.loaded, name)
        except AttributeError as cause:
            # one that was built for the host alone has no device functions
            raise SpInferError(
                "E_GPU_LIBRARY",
                f"{self.path}: the library has no {name}",
                origin=Origin(str(self.path)),
                hint=f"Build the whole library, or set {ENVIRONMENT} to another one",
            ) from cause
        function.restype = ctypes.c_int32
        function.argtypes = _SIGNATURES[name]
        return function

    def failure(self, name: str, status: int, origin: Origin | None = None) -> SpInferError:
        last_error = self.loaded.spinfer_last_error
        last_error.restype = ctypes.c_char_p
        reason = last_error().decode("utf-8", "replace")
        where = "" if origin is None else f"{origin}: "
        return SpInferError(
            _CODES.get(status, "E_INTERNAL"),
            f"{where}{name}: {reason}",
            origin=origin,
            hint=_HINTS.get(status),
        )


_HINTS = {
    3: "Use a GPU that the library was built for, build it for this one "
    "(node scripts/buildKernels.mjs), or run on the CPU",
    4: "After a fault the process cannot use the GPU any more: start it again",
}


def candidates() -> list[Path]:
    """Where the library is looked for, in this order."""
    chosen = os.environ.get(ENVIRONMENT, "")
    if chosen != "":
        # whole: dlopen looks for a name without a slash in the system's folders
        return [Path(chosen).absolute()]
    here = Path(__file__).resolve().parent
    places = [here / "lib" / FILE_NAME]
    # src/spinfer of integrations/python in a checkout
    places += [
        root / "kernels" / "build" / FILE_NAME
        for root in here.parents[3:5]
        if (root / "kernels" / "include" / "spinfer.h").is_file()
    ]
    return places


@functools.cache
def library() -> Library:
    """Loads the library. Raises E_GPU_LIBRARY with every place that was looked at."""
    places = candidates()
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        looked = ", ".join(str(place) for place in places)
        raise SpInferError(
            "E_GPU_LIBRARY",
            f"{FILE_NAME} is not there; looked for {looked}",
            expected=f"a library of ABI {ABI_OLDEST} to {ABI_NEWEST}",
            hint=f"Build it with `node scripts/buildKernels.mjs`, or set {ENVIRONMENT} to its path",
        )
    return load(path)


def load(path: Path) -> Library:
    """Loads the library at `path`. Raises E_GPU_LIBRARY for another file or another ABI."""
    origin = Origin(str(path))
    try:
        _check_whole(path)
        loaded = ctypes.CDLL(str(path))
        abi = int(loaded.spinfer_abi_version())
    except (OSError, AttributeError) as cause:
        raise SpInferError(
            "E_GPU_LIBRARY",
            f"{path}: not a usable {FILE_NAME}: {cause}",
            origin=origin,
            hint=f"Build it anew, or set {ENVIRONMENT} to another one",
        ) from cause
    if not ABI_OLDEST <= abi <= ABI_NEWEST:
        raise SpInferError(
            "E_GPU_LIBRARY",
            f"{path}: the library has ABI {abi}",
            origin=origin,
            expected=f"ABI {ABI_OLDEST} to {ABI_NEWEST}",
            hint="Build library and Python package from the same checkout",
        )
    return Library(path=path, abi=abi, loaded=loaded)


def _check_whole(path: Path) -> None:
    """Raises OSError for an ELF file that is shorter than its program headers say.

    dlopen maps such a file without a word and the process dies of SIGBUS at the missing pages. A
    file of another kind is left to dlopen, which says what it is.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(64)
        if len(head) < 64 or head[:6] != b"\x7fELF\x02\x01":
            return
        (at,) = struct.unpack_from("<Q", head, 32)
        entry_bytes, count = struct.unpack_from("<HH", head, 54)
        end = at + entry_bytes * count
        if entry_bytes >= 56 and end <= size:
            file.seek(at)
            table = file.read(entry_bytes * count)
            for entry in range(0, len(table), entry_bytes):
                (offset,) = struct.unpack_from("<Q", table, entry + 8)
                (length,) = struct.unpack_from("<Q", table, entry + 32)
                end = max(end, offset + length)
    if end > size:
        raise OSError(f"the file is cut short: {size} of at least {end} bytes")


def describe_gpu() -> GpuStruct:
    """The current GPU. Raises E_GPU_NONE, E_GPU_LIBRARY."""
    found = GpuStruct()
    library().call("spinfer_describe_gpu", ctypes.byref(found))
    return found


def available() -> bool:
    """Whether there is a library that can be loaded."""
    try:
        library()
    except SpInferError:
        return False
    return True
