"""A tile-bitmap checkpoint: a model folder of safetensors files with packed weights in it.

Opening reads and checks config.json, every header and the identity of every packed weight; tensor
bytes are read, and packed ones checked, one tensor at a time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import DAMAGED, Origin, SpInferError, printable, reading
from .jsontext import JsonFault, members, parse, plain
from .layout import HEADER_BYTES, META_SUFFIX
from .matrix import Meta, MetaHeader, check_matrix, decode_matrix, read_meta_header, to_float32
from .safetensors import Entry, Header, read_bytes, read_header

CONFIG_FILE = "config.json"
MANIFEST_FILE = "spinfer_manifest.json"
SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
PACKED_SUFFIX = f".weight{META_SUFFIX}"

MAX_CONFIG_BYTES = 10 * 1024 * 1024
MAX_INDEX_BYTES = 256 * 1024 * 1024
MAX_SHARDS = 10_000
MAX_DENSE_BYTES = 64 * 1024**3
"""Of one tensor."""

_WINDOWS_DEVICE = re.compile(
    r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³])(?:\.|$)", re.IGNORECASE
)

_NUMPY_DTYPES = {
    "BOOL": "?",
    "U8": "u1",
    "I8": "i1",
    "I16": "<i2",
    "U16": "<u2",
    "F16": "<f2",
    "I32": "<i4",
    "U32": "<u4",
    "F32": "<f4",
    "C64": "<c8",
    "F64": "<f8",
    "I64": "<i8",
    "U64": "<u8",
}


@dataclass(frozen=True)
class StoredTensor:
    """One tensor as its file holds it."""

    file: str
    entry: Entry


@dataclass(frozen=True)
class Tensor:
    """One tensor of the model; a packed weight is one tensor."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    """Of the dense tensor."""
    stored: StoredTensor
    meta: StoredTensor | None = None
    """Of a packed weight, its weight_meta."""
    header: MetaHeader | None = None

    @property
    def packed(self) -> bool:
        return self.meta is not None


@dataclass(frozen=True)
class Checkpoint:
    """An opened folder. Everything but tensor bytes has been checked."""

    path: Path
    config: dict[str, Any]
    tensors: dict[str, Tensor]
    """By name, in the order of the files."""
    files: dict[str, dict[str, str]] = field(default_factory=dict)
    """The safetensors files and their `__metadata__`."""

    def packed(self, name: str, *, crc: bool = True) -> tuple[NDArray[np.uint8], Meta]:
        """Payload and header of a packed weight, both checked completely."""
        tensor = self._tensor(name)
        if tensor.meta is None:
            origin = Origin(str(self.path / tensor.stored.file), name)
            raise SpInferError("E_TB_PAIR", f"{origin}: the weight is not packed", origin=origin)
        payload = self.bytes_of(tensor.stored)
        meta_bytes = self.bytes_of(tensor.meta)
        origin = Origin(str(self.path / tensor.stored.file), name)
        return payload, check_matrix(payload, meta_bytes, origin, crc=crc)

    def stored_bytes(self, name: str, *, crc: bool = True) -> NDArray[np.uint8]:
        """The bytes of the dense tensor, row-major, little-endian."""
        tensor = self._tensor(name)
        if not tensor.packed:
            return self.bytes_of(tensor.stored)
        payload, meta = self.packed(name, crc=crc)
        return decode_matrix(payload, meta).reshape(-1).view(np.uint8)

    def load(self, name: str, *, crc: bool = True) -> NDArray[Any]:
        """The dense tensor as numbers: bf16 widened to float32, all others in their own dtype.

        Raises E_DTYPE_UNSUPPORTED for dtypes that NumPy does not have, E_TB_…, E_HASH.
        """
        tensor = self._tensor(name)
        raw = self.stored_bytes(name, crc=crc)
        if tensor.dtype == "BF16":
            return to_float32(raw.view("<u2"), "BF16").reshape(tensor.shape)
        kind = _NUMPY_DTYPES.get(tensor.dtype)
        if kind is None:
            origin = Origin(str(self.path / tensor.stored.file), name)
            raise SpInferError(
                "E_DTYPE_UNSUPPORTED", f"{origin}: NumPy has no {tensor.dtype}", origin=origin
            )
        return raw.view(kind).reshape(tensor.shape)

    def _tensor(self, name: str) -> Tensor:
        if name not in self.tensors:
            origin = Origin(str(self.path), name)
            raise SpInferError("E_TB_PAIR", f"{origin}: there is no such tensor", origin=origin)
        return self.tensors[name]

    def bytes_of(self, stored: StoredTensor) -> NDArray[np.uint8]:
        """The bytes of one tensor of a file, as they are. Raises E_ST_TRUNCATED, E_IO."""
        return read_bytes(self.path / stored.file, stored.entry)


def open_folder(folder: str | Path) -> Checkpoint:
    """Opens a tile-bitmap checkpoint.

    Raises E_MODEL_NOT_FOUND, E_IO, E_CONFIG, E_MODEL_UNRECOGNISED, E_INDEX…, E_SHARD_MISSING,
    E_ST_…, E_TB_VERSION, E_TB_LAYOUT, E_TB_COUNT, E_TB_PAIR, E_LIMIT….
    """
    path = Path(folder)
    if not path.is_dir():
        raise SpInferError(
            "E_MODEL_NOT_FOUND",
            f"{path}: there is no such folder",
            origin=Origin(str(path)),
            hint="Name a folder that `spinfer prune` or `spinfer convert` wrote",
        )
    with reading(path):
        config = read_config(path)
        check_version(config.get("quantization_config"), path)
        names, mapped = _find_files(path)
        headers = {name: _open_header(path, name) for name in names}
    if mapped is not None:
        _check_index(mapped, headers, path / INDEX_FILE)
    stored = [
        StoredTensor(name, entry) for name, header in headers.items() for entry in header.entries
    ]
    tensors = pair_up(path, stored)
    files = {name: header.metadata for name, header in headers.items()}
    return Checkpoint(path=path, config=config, tensors=tensors, files=files)


def read_config(folder: Path) -> dict[str, Any]:
    """config.json as a dict. Raises E_CONFIG."""
    path = folder / CONFIG_FILE
    origin = Origin(str(path))
    if not path.is_file():
        raise SpInferError("E_CONFIG", f"{folder}: the folder has no {CONFIG_FILE}", origin=origin)
    data = _read_small(path, MAX_CONFIG_BYTES, "E_CONFIG")
    try:
        config = plain(parse(data, non_finite=True))
        if not isinstance(config, dict):
            raise JsonFault("type", "it is not an object")
    except JsonFault as fault:
        raise SpInferError("E_CONFIG", f"{path}: not valid: {fault}", origin=origin) from fault
    return config


def check_version(settings: object, folder: Path) -> None:
    """Raises E_MODEL_UNRECOGNISED for another method, E_TB_VERSION for another major version."""
    found = settings if isinstance(settings, dict) else {}
    origin = Origin(str(folder))
    method = found.get("quant_method")
    if not isinstance(method, str) or method.lower() != "spinfer":
        raise SpInferError(
            "E_MODEL_UNRECOGNISED",
            f"{folder}: {CONFIG_FILE} does not say that this is a tile-bitmap checkpoint",
            origin=origin,
            expected='"quantization_config": {"quant_method": "spinfer", …}',
            hint="A dense folder needs no unpacking; `spinfer prune` makes a packed one",
        )
    version = found.get("format_version")
    if not isinstance(version, str) or re.fullmatch(r"1\.[0-9]+", version) is None:
        raise SpInferError(
            "E_TB_VERSION",
            f"{folder}: {CONFIG_FILE} names tile-bitmap version {version!r}",
            origin=origin,
            expected='"1.0"',
            hint="Use a newer SpInfer to read this checkpoint",
        )


def _read_small(path: Path, most: int, code: str) -> bytes:
    size = path.stat().st_size
    if size > most:
        message = f"{path}: {size} bytes"
        raise SpInferError(code, message, origin=Origin(str(path)), expected=f"at most {most}")
    return path.read_bytes()


def _find_files(folder: Path) -> tuple[list[str], dict[str, str] | None]:
    """The safetensors files of the model and, of a sharded one, the index's map."""
    names = sorted(entry.name for entry in folder.iterdir())
    if SINGLE_FILE in names:
        return [SINGLE_FILE], None
    if INDEX_FILE in names:
        mapped = _read_index(folder / INDEX_FILE)
        shards = sorted(set(mapped.values()))
        missing = [shard for shard in shards if shard not in names]
        if missing:
            raise SpInferError(
                "E_SHARD_MISSING",
                f"{folder}: {len(missing)} of {len(shards)} shards are missing: "
                f"{', '.join(printable(name) for name in missing[:10])}",
                origin=Origin(str(folder)),
                hint="Download the missing files; nothing was read yet",
            )
        return shards, mapped
    single = [name for name in names if name.endswith(".safetensors")]
    if len(single) == 1:
        return single, None
    raise SpInferError(
        "E_MODEL_UNRECOGNISED",
        f"{folder}: it is not clear which safetensors files are the model",
        origin=Origin(str(folder)),
        expected=f"{SINGLE_FILE}, {INDEX_FILE}, or one .safetensors file",
    )


def _read_index(path: Path) -> dict[str, str]:
    origin = Origin(str(path))
    data = _read_small(path, MAX_INDEX_BYTES, "E_LIMIT")
    try:
        top = members(parse(data), "the index")
        if "weight_map" not in top:
            raise JsonFault("type", 'the index has no "weight_map"')
        mapped = members(top["weight_map"], "weight_map")
        for shard in mapped.values():
            if not isinstance(shard, str):
                raise JsonFault("type", "a shard is not named by a string")
    except JsonFault as fault:
        code = "E_INDEX_DUP" if fault.kind == "duplicate" else "E_INDEX"
        message = f"{path}: the index is not accepted: {fault}"
        raise SpInferError(code, message, origin=origin) from fault
    shards = set(mapped.values())
    if len(shards) > MAX_SHARDS:
        message = f"{path}: the index names {len(shards)} shards"
        raise SpInferError(
            "E_LIMIT_SHARDS", message, origin=origin, expected=f"at most {MAX_SHARDS}"
        )
    for shard in shards:
        check_file_name(shard, origin)
        if not shard.endswith(".safetensors"):
            message = f'{path}: the shard "{printable(shard)}" is not a .safetensors file'
            raise SpInferError("E_INDEX_EXT", message, origin=origin)
    return mapped


def check_file_name(name: str, origin: Origin) -> None:
    """Raises E_PATH_ESCAPE unless `name` is the plain name of a file, on every system."""
    if name in ("", ".", "..") or re.search(r"[/\\:\x00-\x1f\x7f-\x9f]|[ .]$", name) is not None:
        fault = "is not the plain name of a file"
    elif _WINDOWS_DEVICE.match(name) is not None:
        fault = "is a device on Windows"
    elif len(name.encode()) > 255:
        fault = "is longer than 255 bytes"
    else:
        return
    raise SpInferError(
        "E_PATH_ESCAPE",
        f'{origin}: the name "{printable(name)}" {fault}',
        origin=origin,
        expected="the plain name of a file in the same folder",
        hint="Do not use this model: it tries to reach other files",
    )


def _open_header(folder: Path, name: str) -> Header:
    path = folder / name
    if not path.is_file():
        message = f"{path}: not a regular file"
        raise SpInferError("E_NOT_REGULAR", message, origin=Origin(str(path)))
    with path.open("rb") as file:
        return read_header(file, str(path))


def _check_index(mapped: dict[str, str], headers: dict[str, Header], path: Path) -> None:
    holder: dict[str, str] = {}
    for shard, header in headers.items():
        for entry in header.entries:
            if entry.name in holder:
                both = f'in "{holder[entry.name]}" and in "{shard}"'
                raise SpInferError(
                    "E_INDEX_DUP",
                    f'{path}: tensor "{printable(entry.name)}" is {both}',
                    origin=Origin(str(path), entry.name),
                )
            holder[entry.name] = shard
    wrong = sorted(
        name for name in holder.keys() | mapped.keys() if holder.get(name) != mapped.get(name)
    )
    if wrong:
        raise SpInferError(
            "E_INDEX_MISMATCH",
            f"{path}: index and shards disagree about {len(wrong)} tensors: "
            f"{', '.join(printable(name) for name in wrong[:10])}",
            origin=Origin(str(path)),
            hint="The files are from different exports: download all of them again",
        )


def pair_up(folder: Path, stored: list[StoredTensor]) -> dict[str, Tensor]:
    """Payloads with their weight_meta become one tensor each; the others stay as they are."""
    metas = {
        tensor.entry.name: tensor for tensor in stored if tensor.entry.name.endswith(PACKED_SUFFIX)
    }
    tensors: dict[str, Tensor] = {}
    for tensor in stored:
        entry = tensor.entry
        if entry.name.endswith(PACKED_SUFFIX):
            continue
        meta = metas.pop(entry.name + META_SUFFIX, None)
        origin = Origin(str(folder / tensor.file), entry.name)
        if meta is None:
            if entry.name.endswith(".weight") and entry.dtype == "I64" and len(entry.shape) == 1:
                raise _not_a_pair(origin, "its weight_meta is missing")
            tensors[entry.name] = Tensor(entry.name, entry.dtype, entry.shape, tensor)
        else:
            tensors[entry.name] = _packed(folder, tensor, meta, origin)
    for name, meta in metas.items():
        raise _not_a_pair(Origin(str(folder / meta.file), name), "its weight is missing")
    return tensors


def _packed(folder: Path, payload: StoredTensor, meta: StoredTensor, origin: Origin) -> Tensor:
    for part in (payload, meta):
        entry = part.entry
        if entry.dtype != "I64" or len(entry.shape) != 1:
            found = f"it is {entry.dtype} {list(entry.shape)} and not I64 with one dimension"
            raise _not_a_pair(Origin(origin.path, entry.name), found)
    entry = meta.entry
    first = Entry(entry.name, "U8", (), entry.begin, min(entry.end, entry.begin + HEADER_BYTES))
    header = read_meta_header(read_bytes(folder / meta.file, first), entry.bytes, origin)
    if payload.entry.bytes != header.payload_bytes:
        raise _not_a_pair(
            origin,
            f"its payload has {payload.entry.bytes} bytes, "
            f"its weight_meta says {header.payload_bytes}",
        )
    rows, cols = header.grid.rows, header.grid.cols
    if rows * cols * 2 > MAX_DENSE_BYTES:
        message = f"{origin}: {rows} × {cols} when dense"
        expected = f"at most {MAX_DENSE_BYTES} bytes"
        raise SpInferError("E_LIMIT_DENSE", message, origin=origin, expected=expected)
    shape = (cols, rows) if header.transposed else (rows, cols)
    return Tensor(payload.entry.name, header.dtype, shape, payload, meta, header)


def _not_a_pair(origin: Origin, what: str) -> SpInferError:
    return SpInferError(
        "E_TB_PAIR",
        f"{origin}: {what}",
        origin=origin,
        expected="a payload <module>.weight and <module>.weight_meta, both I64, one dimension",
        hint=DAMAGED,
    )
