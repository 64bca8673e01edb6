"""One packed matrix: its header, its checks and its values (SPEC.md, sections 3 to 6 and 9).

Memory  reads payload and weight_meta where they are; checking and decoding work on groups of
        strips and need a few megabytes beside the result
Trust   none in `read_meta` and `check_matrix`; `decode_strips` takes what `check_matrix` accepted,
        and on anything else raises or gives wrong values, but never leaves its buffers
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import DAMAGED, Origin, SpInferError
from .layout import (
    ALIGN,
    BITMAP_BYTES,
    BITMAP_UNITS,
    CHUNK_COLS,
    CHUNK_ROWS,
    CHUNK_VALUES,
    DTYPES,
    FLAG_TRANSPOSED,
    HALVES_PER_UNIT,
    HEADER,
    HEADER_BYTES,
    LANES,
    MAGIC,
    MAX_CHUNK_BYTES,
    MAX_PAYLOAD_BYTES,
    MAX_SIDE,
    VERSION_MAJOR,
    VERSION_MINOR,
    Grid,
    chunk_bytes,
    inside_words,
)

Buffer = bytes | bytearray | memoryview | NDArray[np.uint8]

GROUP_WEIGHTS = 1 << 18
"""Weights worked on together: their masks and values stay in the cache."""


@dataclass(frozen=True)
class Meta:
    """What a checked weight_meta says."""

    grid: Grid
    dtype: str
    """"F16" or "BF16"."""
    transposed: bool
    """The dense tensor is [cols, rows]."""
    nonzeros: int
    payload_bytes: int
    payload_crc: int
    offsets: NDArray[np.uint32]
    """chunks + 1 starts of chunks, in units of 16 bytes."""

    @property
    def dense_shape(self) -> tuple[int, int]:
        """The shape of the dense tensor in the checkpoint."""
        grid = self.grid
        return (grid.cols, grid.rows) if self.transposed else (grid.rows, grid.cols)

    @property
    def max_chunk_bytes(self) -> int:
        """Of the largest chunk; measured, since no file may say it."""
        return int(np.diff(self.offsets.astype(np.int64)).max()) * ALIGN


@dataclass(frozen=True)
class MetaHeader:
    """What the first 64 bytes of weight_meta say."""

    grid: Grid
    dtype: str
    transposed: bool
    nonzeros: int
    payload_bytes: int
    payload_crc: int


def as_bytes(data: Buffer) -> NDArray[np.uint8]:
    """A view of any contiguous buffer as bytes."""
    if isinstance(data, np.ndarray):
        return np.ascontiguousarray(data).reshape(-1).view(np.uint8)
    return np.frombuffer(data, np.uint8)


def _reject(
    code: str, origin: Origin, what: str, expected: str | None = None, hint: str = DAMAGED
) -> SpInferError:
    return SpInferError(code, f"{origin}: {what}", origin=origin, expected=expected, hint=hint)


def read_meta_header(data: Buffer, meta_bytes: int, origin: Origin) -> MetaHeader:
    """Parses the first bytes of a weight_meta of `meta_bytes` bytes.

    Raises E_TB_VERSION, E_TB_LAYOUT, E_TB_COUNT.
    """
    raw = as_bytes(data)
    if len(raw) < HEADER_BYTES:
        found = f"weight_meta has {len(raw)} bytes"
        raise _reject("E_TB_LAYOUT", origin, found, f"at least {HEADER_BYTES}")
    # NumPy drops trailing NULs of byte strings; the magic has none
    values = raw[:HEADER_BYTES].view(HEADER)[0].item()
    field = dict(zip(HEADER.names or (), values, strict=True))
    _check_identity(field, origin)
    grid = _check_shape(field, meta_bytes, origin)
    for key, what in (("payload_bytes", "payload size"), ("nonzeros", "count of nonzeros")):
        if field[key] > MAX_PAYLOAD_BYTES:
            raise _reject("E_TB_COUNT", origin, f"a {what} of {field[key]}")
    if field["nonzeros"] > grid.rows * grid.cols:
        found = f"{field['nonzeros']} nonzeros in a {grid.rows} × {grid.cols} matrix"
        raise _reject("E_TB_COUNT", origin, found)
    return MetaHeader(
        grid=grid,
        dtype=DTYPES[field["value_dtype"]],
        transposed=field["flags"] == FLAG_TRANSPOSED,
        nonzeros=field["nonzeros"],
        payload_bytes=field["payload_bytes"],
        payload_crc=field["payload_crc"],
    )


def _check_identity(field: dict[str, Any], origin: Origin) -> None:
    if field["magic"] != MAGIC:
        raise _reject(
            "E_TB_LAYOUT", origin, "weight_meta does not begin with its magic", MAGIC.decode()
        )
    if field["major"] != VERSION_MAJOR or field["minor"] > VERSION_MINOR:
        raise _reject(
            "E_TB_VERSION",
            origin,
            f"tile-bitmap version {field['major']}.{field['minor']} is not supported",
            f"version {VERSION_MAJOR}.0 to {VERSION_MAJOR}.{VERSION_MINOR}",
            "Use a newer SpInfer to read this checkpoint",
        )
    expectations = (
        ("value_dtype", "value dtype code", DTYPES, "1 (fp16) or 2 (bf16)"),
        ("value_order", "value order code", (1,), "1 (nibble planes)"),
        ("scale_kind", "scale kind", (0,), "0 (none)"),
        ("flags", "flags", (0, FLAG_TRANSPOSED), "0 or 1"),
        ("reserved", "a reserved field of", (0,), "0"),
    )
    for key, what, allowed, expected in expectations:
        if field[key] not in allowed:
            raise _reject("E_TB_LAYOUT", origin, f"{what} {field[key]}", expected)


def _check_shape(field: dict[str, int], meta_bytes: int, origin: Origin) -> Grid:
    rows, cols = field["rows"], field["cols"]
    if not (1 <= rows <= MAX_SIDE and 1 <= cols <= MAX_SIDE):
        raise _reject("E_TB_LAYOUT", origin, f"shape {rows} × {cols}", "1 × 1 or more")
    if (field["chunk_rows"], field["chunk_cols"]) != (CHUNK_ROWS, CHUNK_COLS):
        found = f"chunks of {field['chunk_rows']} × {field['chunk_cols']}"
        raise _reject("E_TB_LAYOUT", origin, found, f"{CHUNK_ROWS} × {CHUNK_COLS}")
    if field["header_bytes"] != HEADER_BYTES:
        found = f"a header of {field['header_bytes']} bytes"
        raise _reject("E_TB_LAYOUT", origin, found, f"{HEADER_BYTES}")
    grid = Grid(rows, cols)
    if field["chunks"] != grid.chunks:
        found = f"{field['chunks']} chunks for {rows} × {cols}"
        raise _reject("E_TB_LAYOUT", origin, found, f"{grid.chunks}")
    if meta_bytes != grid.meta_bytes:
        found = f"weight_meta has {meta_bytes} bytes"
        raise _reject("E_TB_LAYOUT", origin, found, f"{grid.meta_bytes} for {grid.chunks} chunks")
    return grid


def read_meta(data: Buffer, origin: Origin = Origin(), *, crc: bool = True) -> Meta:
    """Parses a whole weight_meta.

    Raises E_TB_VERSION, E_TB_LAYOUT, E_TB_OFFSETS, E_TB_COUNT, E_TB_PADDING and, with `crc`,
    E_HASH.
    """
    raw = as_bytes(data)
    header = read_meta_header(raw, len(raw), origin)
    grid = header.grid
    offsets_end = HEADER_BYTES + 4 * (grid.chunks + 1)
    offsets = raw[HEADER_BYTES:offsets_end].view("<u4")
    _check_offsets(offsets, grid, header.payload_bytes, origin)
    dirty = np.flatnonzero(raw[offsets_end:])
    if len(dirty) > 0:
        found = f"weight_meta byte {offsets_end + dirty[0]} is padding but not zero"
        raise _reject("E_TB_PADDING", origin, found)
    if crc:
        stored = int(raw[60:64].view("<u4")[0])
        found_crc = zlib.crc32(raw[64:], zlib.crc32(b"\0\0\0\0", zlib.crc32(raw[:60])))
        if found_crc != stored:
            raise _reject("E_HASH", origin, "weight_meta does not match its CRC-32")
    return Meta(
        grid=grid,
        dtype=header.dtype,
        transposed=header.transposed,
        nonzeros=header.nonzeros,
        payload_bytes=header.payload_bytes,
        payload_crc=header.payload_crc,
        offsets=offsets,
    )


def _check_offsets(
    offsets: NDArray[np.uint32], grid: Grid, payload_bytes: int, origin: Origin
) -> None:
    if offsets[0] != 0:
        raise _reject("E_TB_OFFSETS", origin, f"the first offset is {offsets[0]}", "0")
    sizes = np.diff(offsets.astype(np.int64)) * ALIGN
    wrong = np.flatnonzero((sizes < BITMAP_BYTES) | (sizes > MAX_CHUNK_BYTES))
    if len(wrong) > 0:
        chunk = int(wrong[0])
        found = f"{grid.chunk_name(chunk)} has {sizes[chunk]} bytes"
        raise _reject("E_TB_OFFSETS", origin, found, f"{BITMAP_BYTES} to {MAX_CHUNK_BYTES}")
    end = int(offsets[-1]) * ALIGN
    if end != payload_bytes:
        found = f"the offsets end at {end}, the payload at {payload_bytes}"
        raise _reject("E_TB_COUNT", origin, found)


def check_matrix(
    payload: Buffer, meta_data: Buffer, origin: Origin = Origin(), *, crc: bool = True
) -> Meta:
    """Checks a packed matrix completely; nothing in it may be used before.

    Raises E_TB_… and, with `crc`, E_HASH. Structure is always checked.
    """
    meta = read_meta(meta_data, origin, crc=crc)
    check_values(as_bytes(payload), meta, origin, crc=crc)
    return meta


def check_values(
    raw: NDArray[np.uint8], meta: Meta, origin: Origin = Origin(), *, crc: bool = True
) -> None:
    """The same of a payload whose weight_meta was read already."""
    if len(raw) != meta.payload_bytes:
        found = f"the payload has {len(raw)} bytes"
        raise _reject("E_TB_ALIGN", origin, found, f"{meta.payload_bytes}")
    nonzeros = 0
    for first, last in _groups(meta.grid):
        nonzeros += _check_chunks(raw, meta, first, last, origin)
    if nonzeros != meta.nonzeros:
        found = f"{meta.nonzeros} nonzeros are declared and {nonzeros} stored"
        raise _reject("E_TB_COUNT", origin, found)
    if crc:
        check_crc(raw, meta, origin)


def check_crc(raw: NDArray[np.uint8], meta: Meta, origin: Origin = Origin()) -> None:
    """Raises E_HASH unless the payload's CRC-32 is the one in its header."""
    if zlib.crc32(raw) != meta.payload_crc:
        raise _reject("E_HASH", origin, "the payload does not match its CRC-32")


def _groups(grid: Grid) -> list[tuple[int, int]]:
    """Ranges of strips to work on at a time."""
    step = max(1, GROUP_WEIGHTS // (grid.across * CHUNK_VALUES))
    return [(first, min(first + step, grid.strips)) for first in range(0, grid.strips, step)]


@dataclass(frozen=True)
class _Chunks:
    """The chunks of a range of strips."""

    halves: NDArray[np.uint16]
    """Their bytes, as 16-bit values."""
    starts: NDArray[np.int64]
    """chunks + 1 starts in `halves`, in units of 16 bytes."""
    words: NDArray[np.uint32]
    """[chunks, 64]"""
    counts: NDArray[np.int64]
    """Stored values of each."""


def _chunks_of(raw: NDArray[np.uint8], meta: Meta, first: int, last: int) -> _Chunks:
    across = meta.grid.across
    offsets = meta.offsets[first * across : last * across + 1].astype(np.int64)
    part = raw[offsets[0] * ALIGN : offsets[-1] * ALIGN]
    starts = offsets - offsets[0]
    units = part.view("<u4").reshape(-1, ALIGN // 4)
    words = units[starts[:-1, None] + np.arange(BITMAP_UNITS)].reshape(len(starts) - 1, 2 * LANES)
    counts = np.bitwise_count(words).sum(axis=1, dtype=np.int64)
    return _Chunks(halves=part.view("<u2"), starts=starts, words=words, counts=counts)


def _check_chunks(raw: NDArray[np.uint8], meta: Meta, first: int, last: int, origin: Origin) -> int:
    """Checks the chunks of strips first..last−1; returns their stored values."""
    chunks = _chunks_of(raw, meta, first, last)
    sizes = np.diff(chunks.starts) * ALIGN
    values_at = chunks.starts[:-1] * HALVES_PER_UNIT + BITMAP_BYTES // 2
    end = chunks.starts[1:] * HALVES_PER_UNIT
    # of a chunk with a wrong count, of which nothing but the count is said, values may pass its end
    padding_at = np.minimum(values_at + chunks.counts, end)
    filled = np.zeros(len(chunks.halves) + 1, np.int32)
    np.cumsum(chunks.halves != 0, out=filled[1:])
    in_values = filled[padding_at] - filled[values_at]
    faults = (
        ("E_TB_POPCOUNT", chunk_bytes(chunks.counts) != sizes),
        ("E_TB_ZERO", in_values != chunks.counts),
        ("E_TB_PADDING", filled[end] != filled[padding_at]),
        ("E_TB_PADDING", _beyond(chunks.words, meta.grid, first, last)),
    )
    faulty = np.flatnonzero(np.logical_or.reduce([fault for _, fault in faults]))
    if len(faulty) > 0:
        at = int(faulty[0])
        kind = next(i for i, (_, fault) in enumerate(faults) if fault[at])
        name = meta.grid.chunk_name(first * meta.grid.across + at)
        texts = (
            f"the bitmaps of {name} have {chunks.counts[at]} bits, its size is {sizes[at]} bytes",
            f"{name} stores a zero",
            f"the padding of {name} is not zero",
            f"{name} has a bit beyond the matrix",
        )
        raise _reject(faults[kind][0], origin, texts[kind])
    return int(chunks.counts.sum())


def _beyond(words: NDArray[np.uint32], grid: Grid, first: int, last: int) -> NDArray[np.bool_]:
    """Which chunks of strips first..last−1 have bits for weights beyond the matrix."""
    by_place = words.reshape(last - first, grid.across, 2 * LANES)
    beyond = np.zeros(by_place.shape[:2], np.bool_)
    cols_left = grid.cols - (grid.across - 1) * CHUNK_COLS
    rows_left = grid.rows - (last - 1) * CHUNK_ROWS
    if cols_left < CHUNK_COLS:
        inside = inside_words(CHUNK_ROWS, cols_left)
        beyond[:, -1] |= (by_place[:, -1] & ~inside).any(axis=1)
    if rows_left < CHUNK_ROWS:
        inside = inside_words(rows_left, CHUNK_COLS)
        beyond[-1] |= (by_place[-1] & ~inside).any(axis=1)
    return beyond.reshape(-1)


def decode_strips(payload: Buffer, meta: Meta, first: int, last: int) -> NDArray[np.uint16]:
    """The 16-bit values of strips first..last−1: rows 32·first up to 32·last or the end, row-major.

    Raises E_TB_POPCOUNT when the bitmaps are not those that were checked.
    """
    raw = as_bytes(payload)
    grid = meta.grid
    rows = min(last * CHUNK_ROWS, grid.rows) - first * CHUNK_ROWS
    out = np.empty(((last - first) * CHUNK_ROWS, grid.across * CHUNK_COLS), np.uint16)
    step = max(1, GROUP_WEIGHTS // (grid.across * CHUNK_VALUES))
    for begin in range(first, last, step):
        end = min(begin + step, last)
        chunks = _chunks_of(raw, meta, begin, end)
        if (chunk_bytes(chunks.counts) != np.diff(chunks.starts) * ALIGN).any():
            raise _reject("E_TB_POPCOUNT", Origin(), "the payload changed since it was checked")
        part = out[(begin - first) * CHUNK_ROWS : (end - first) * CHUNK_ROWS]
        _place(chunks, part, end - begin, grid.across)
    if out.shape == (rows, grid.cols):
        return out
    return np.ascontiguousarray(out[:rows, : grid.cols])


def _stored_values(chunks: _Chunks) -> NDArray[np.uint16]:
    """The values of all chunks one after the other, without bitmaps and padding."""
    keep = np.ones((len(chunks.halves) // HALVES_PER_UNIT, HALVES_PER_UNIT), np.bool_)
    keep[chunks.starts[:-1, None] + np.arange(BITMAP_UNITS)] = False
    # only the last unit of a chunk can hold padding; of an empty chunk it holds bitmap
    tail = chunks.counts % HALVES_PER_UNIT
    padded = np.flatnonzero(tail)
    keep[chunks.starts[1:][padded] - 1] = np.arange(HALVES_PER_UNIT) < tail[padded, None]
    stored: NDArray[np.uint16] = chunks.halves[keep.reshape(-1)]
    return stored


def _place(chunks: _Chunks, out: NDArray[np.uint16], strips: int, across: int) -> None:
    """Puts every value of `strips` strips, zeros included, into `out`."""
    count = strips * across
    # bit 4m + j of lane 4g + t: one byte a bit, four of them (j) as one number
    bits = np.unpackbits(chunks.words.view(np.uint8), bitorder="little").view(np.uint32)
    by_lane = bits.reshape(count, 2, 8, 4, 8)  # block, g, t, m
    stored = np.ascontiguousarray(by_lane.transpose(0, 1, 4, 3, 2))  # block, m, t, g: value order
    in_order = np.zeros(count * CHUNK_VALUES, np.uint16)
    # places as numbers: writing by a random mask costs three times as much
    in_order[np.flatnonzero(stored.view(np.bool_))] = _stored_values(chunks)
    # two neighbouring columns as one number: strip, chunk, block, m, t, g, row g or g + 8
    pairs = in_order.view(np.uint32).reshape(strips, across, 2, 8, 4, 8, 2)
    target = out.view(np.uint32).reshape(strips, 2, 2, 8, across, 4, 8)
    target[...] = pairs.transpose(0, 2, 6, 5, 1, 4, 3)


def decode_matrix(payload: Buffer, meta: Meta) -> NDArray[np.uint16]:
    """The dense tensor of a checked matrix as 16-bit patterns, in the shape `meta.dense_shape`."""
    bits = decode_strips(payload, meta, 0, meta.grid.strips)
    return np.ascontiguousarray(bits.T) if meta.transposed else bits


def to_float32(bits: NDArray[np.uint16], dtype: str) -> NDArray[np.float32]:
    """16-bit patterns as numbers, exactly. `dtype`: "F16" or "BF16"."""
    if dtype == "F16":
        return bits.view(np.float16).astype(np.float32)
    return (bits.astype(np.uint32) << 16).view(np.float32)
