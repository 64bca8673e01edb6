"""The header of a safetensors file: 8 bytes of length, JSON, data.

The file comes from strangers: no number in it is used before it is checked, and its length is
bounded before anything is read. Faults have the codes of the TypeScript reader.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from .errors import Origin, SpInferError, printable, reading
from .jsontext import MAX_COUNT, JsonFault, Object, check_skipped, members, parse

MAX_HEADER_BYTES = 100_000_000
MAX_TENSORS = 2_000_000
MAX_NAME_BYTES = 65_536
MAX_DIMS = 8
LENGTH_BYTES = 8
PROBE_BYTES = 512

DTYPE_BITS = {
    "BOOL": 8,
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "U8": 8,
    "I8": 8,
    "F8_E5M2": 8,
    "F8_E4M3": 8,
    "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "C64": 64,
    "F64": 64,
    "I64": 64,
    "U64": 64,
}

_ENTRY_KEYS = ("dtype", "shape", "data_offsets")

_CODES = {
    "utf8": "E_ST_UTF8",
    "syntax": "E_ST_JSON",
    "duplicate": "E_ST_DUP_KEY",
    "type": "E_ST_JSON_TYPE",
    "limit": "E_LIMIT",
}

_NOT_A_HEADER = {
    "E_ST_SHORT",
    "E_ST_HEADER_TOO_LARGE",
    "E_ST_HEADER_LENGTH",
    "E_ST_UTF8",
    "E_ST_JSON",
    "E_ST_JSON_TYPE",
}

_FETCH_AGAIN = "Download the file again; what arrived is not the model"

# What people take for model weights, by its first bytes; nothing of it is ever opened.
_OTHERS: tuple[tuple[re.Pattern[bytes], str, str], ...] = (
    (
        re.compile(rb"version https://git-lfs\.github\.com/spec/"),
        "a git-lfs pointer, not the file it points to",
        "Fetch the file itself: git lfs pull, or hf download",
    ),
    (
        re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype|!--|html|head|\?xml|error)", re.IGNORECASE),
        "an HTML or XML page, most likely an error page saved under this name",
        _FETCH_AGAIN,
    ),
    (
        re.compile(rb'\s*\{\s*(?:"[\w .:/-]*"\s*:|\})'),
        "a JSON text, most likely an error reply saved under this name",
        _FETCH_AGAIN,
    ),
    (re.compile(rb"GGUF"), "a GGUF file", "Convert it with `spinfer convert`"),
    (
        re.compile(rb"PK(?:\x03\x04|\x05\x06|\x07\x08)|\x80[\x02-\x05]"),
        "a zip archive or a pickle",
        "Convert it to safetensors where you trust it; SpInfer never opens pickles",
    ),
)


@dataclass(frozen=True)
class Entry:
    """One tensor; begin..end are offsets in the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def bytes(self) -> int:
        return self.end - self.begin


@dataclass(frozen=True)
class Header:
    entries: tuple[Entry, ...]
    """Sorted by begin; together they are all bytes behind the header."""
    metadata: dict[str, str]


def read_header(file: BinaryIO, label: str) -> Header:
    """Reads and checks the header of an open file. Raises E_ST_…, E_NOT_SAFETENSORS, E_LIMIT…."""
    size = os.fstat(file.fileno()).st_size
    file.seek(0)
    probe = file.read(PROBE_BYTES)
    return _named(probe, label, size, file)


def _named(probe: bytes, label: str, size: int, file: BinaryIO) -> Header:
    """When it fails on a file that is recognisably something else, says so instead."""
    try:
        length = header_length(probe, size, label)
        file.seek(LENGTH_BYTES)
        return parse_header(file.read(length), size, label)
    except SpInferError as fault:
        if fault.code not in _NOT_A_HEADER or probe[LENGTH_BYTES : LENGTH_BYTES + 1] == b"{":
            raise
        for pattern, name, advice in _OTHERS:
            if pattern.match(probe):
                raise SpInferError(
                    "E_NOT_SAFETENSORS",
                    f"{label}: the file is {name}, not safetensors",
                    origin=Origin(label),
                    hint=advice,
                ) from fault
        raise


def header_length(first_bytes: bytes, size: int, label: str) -> int:
    """Bytes of the JSON, from the first bytes of a file of `size` bytes."""
    origin = Origin(label)
    if size < LENGTH_BYTES or len(first_bytes) < LENGTH_BYTES:
        raise SpInferError(
            "E_ST_SHORT",
            f"{label}: the file has {size} bytes",
            origin=origin,
            expected=f"at least {LENGTH_BYTES}",
            hint="Most likely a failed download: fetch it again",
        )
    length = int.from_bytes(first_bytes[:LENGTH_BYTES], "little")
    if length > MAX_HEADER_BYTES:
        found = f"{label}: the header length is {length} bytes"
        raise SpInferError(
            "E_ST_HEADER_TOO_LARGE", found, origin=origin, expected=f"at most {MAX_HEADER_BYTES}"
        )
    if length > size - LENGTH_BYTES:
        raise SpInferError(
            "E_ST_HEADER_LENGTH",
            f"{label}: the header length is {length} bytes, but {size - LENGTH_BYTES} follow",
            origin=origin,
            hint="Most likely a partial download: fetch it again",
        )
    return length


def parse_header(text: bytes, size: int, label: str) -> Header:
    """Parses and checks the JSON of a file of `size` bytes."""
    data_at = LENGTH_BYTES + len(text)
    try:
        entries, metadata = _parse_entries(text, label)
    except JsonFault as fault:
        raise SpInferError(
            _CODES[fault.kind],
            f"{label}: the header is not accepted: {fault}",
            origin=Origin(label),
            hint="The file is damaged, or its writer does not follow the format",
        ) from fault
    entries.sort(key=lambda entry: (entry.begin, entry.end))
    _check_layout(entries, size - data_at, label)
    placed = tuple(
        Entry(entry.name, entry.dtype, entry.shape, entry.begin + data_at, entry.end + data_at)
        for entry in entries
    )
    return Header(placed, metadata)


def _parse_entries(text: bytes, label: str) -> tuple[list[Entry], dict[str, str]]:
    entries: list[Entry] = []
    metadata: dict[str, str] = {}
    for name, value in members(parse(text), "the header").items():
        if name == "__metadata__":
            metadata = members(value, name)
            for text_value in metadata.values():
                if not isinstance(text_value, str):
                    raise JsonFault("type", f"a value of {name} is not a string")
            continue
        if len(entries) >= MAX_TENSORS:
            raise SpInferError(
                "E_LIMIT_TENSORS",
                f"{label}: the header has more than {MAX_TENSORS} tensors",
                origin=Origin(label),
            )
        entries.append(_parse_entry(name, value, label))
    return entries, metadata


def _parse_entry(name: str, value: object, label: str) -> Entry:
    if len(name.encode()) > MAX_NAME_BYTES:
        raise JsonFault("limit", f"a tensor name is longer than {MAX_NAME_BYTES} bytes")
    shown = f'tensor "{printable(name)}"'
    if not isinstance(value, Object):
        raise JsonFault("type", f"the entry of {shown} is not an object")
    for key, extra in value:
        if key not in _ENTRY_KEYS:
            check_skipped(extra, depth=3)
    # keys that the format does not know may be there as often as they like
    fields = members(Object(pair for pair in value if pair[0] in _ENTRY_KEYS), shown)
    for key in _ENTRY_KEYS:
        if key not in fields:
            raise JsonFault("type", f'{shown} has no "{key}"')
    dtype = fields["dtype"]
    if not isinstance(dtype, str):
        raise JsonFault("type", f"the dtype of {shown} is not a string")
    if dtype not in DTYPE_BITS:
        raise SpInferError(
            "E_ST_DTYPE_UNSUPPORTED",
            f'{label}: {shown} has the dtype "{printable(dtype, 40)}"',
            origin=Origin(label, name),
            expected=f"one of {', '.join(DTYPE_BITS)}",
        )
    shape = _counts(fields["shape"], f"the shape of {shown}")
    offsets = _counts(fields["data_offsets"], f"data_offsets of {shown}")
    if len(offsets) != 2:
        raise JsonFault("type", f"data_offsets of {shown} has {len(offsets)} numbers, not two")
    if len(shape) > MAX_DIMS:
        raise JsonFault("limit", f"{shown} has {len(shape)} dimensions, over {MAX_DIMS}")
    return Entry(name, dtype, shape, *offsets)


def _counts(value: object, what: str) -> tuple[int, ...]:
    if type(value) is not list:
        raise JsonFault("type", f"{what} is not a list")
    for item in value:
        if type(item) is not int:
            raise JsonFault("type", f"{what} holds {item!r}, not a whole number up to 2^53 - 1")
    return tuple(value)


def _check_layout(entries: Iterable[Entry], data_bytes: int, label: str) -> None:
    """The tensors, in the order of their bytes, tile the data section."""
    expected = 0
    cut: Entry | None = None
    for entry in entries:
        if entry.begin != expected or entry.end < entry.begin:
            found = f"lies at {entry.begin}..{entry.end}, expected to begin at {expected}"
            raise _refuse("E_ST_OFFSETS", label, entry, found)
        _check_size(entry, label)
        expected = entry.end
        if expected > data_bytes and cut is None:
            cut = entry
    if cut is not None:
        raise SpInferError(
            "E_ST_TRUNCATED",
            f"{label}: {data_bytes} bytes of data",
            origin=Origin(label, cut.name),
            expected=f"{expected}",
            hint="Most likely a partial download or copy: fetch it again",
        )
    if expected < data_bytes:
        raise SpInferError(
            "E_ST_SIZE",
            f"{label}: {data_bytes - expected} bytes follow the last tensor",
            origin=Origin(label),
            hint="The file was damaged, or something was appended to it",
        )


def _check_size(entry: Entry, label: str) -> None:
    # a 0 does not hide that the other sides overflow
    elements = math.prod(side for side in entry.shape if side != 0)
    bits = 0 if 0 in entry.shape else elements * DTYPE_BITS[entry.dtype]
    if max(elements, bits) > MAX_COUNT:
        raise _refuse("E_ST_OVERFLOW", label, entry, "is larger than 2^53 - 1 bits")
    if bits % 8 != 0:
        raise _refuse("E_ST_SUBBYTE", label, entry, "does not end on a byte")
    if entry.bytes != bits // 8:
        raise _refuse("E_ST_SIZE", label, entry, f"has {entry.bytes} bytes, expected {bits // 8}")


def _refuse(code: str, label: str, entry: Entry, what: str) -> SpInferError:
    message = f'{label}: tensor "{printable(entry.name)}" {what}'
    return SpInferError(code, message, origin=Origin(label, entry.name))


def read_bytes(path: Path, entry: Entry) -> NDArray[np.uint8]:
    """The bytes of one tensor, read and not mapped: a file that shrinks is an error, not a signal.

    Raises E_ST_TRUNCATED, E_IO.
    """
    out = np.empty(entry.bytes, np.uint8)
    read_into(path, entry, out)
    return out


def read_into(path: Path, entry: Entry, out: NDArray[np.uint8]) -> None:
    """The same into memory of `entry.bytes` bytes that is there already."""
    with reading(path), path.open("rb", buffering=0) as file:
        file.seek(entry.begin)
        view = memoryview(out)
        done = 0
        while done < entry.bytes:
            count = file.readinto(view[done:])
            if not count:
                raise _refuse("E_ST_TRUNCATED", str(path), entry, f"ends after {done} bytes")
            done += count


def map_file(path: Path) -> NDArray[np.uint8]:
    """All bytes of a file, mapped: read when they are looked at, private when they are written to.

    Whoever maps a file relies on nobody cutting it short meanwhile. Raises E_IO.
    """
    with reading(path):
        return np.asarray(np.memmap(path, np.uint8, "c"))


def header_bytes(
    tensors: Iterable[tuple[str, str, tuple[int, ...], int]], metadata: dict[str, str]
) -> bytes:
    """Length and JSON for tensors (name, dtype, shape, bytes) that follow in this order."""
    header: dict[str, object] = {"__metadata__": metadata}
    at = 0
    for name, dtype, shape, size in tensors:
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(LENGTH_BYTES, "little") + text
