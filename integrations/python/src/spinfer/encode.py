"""A dense matrix into the container: the inverse of `matrix.decode_matrix`.

Memory: the dense matrix, its payload, and masks of as many bytes as weights.
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from .errors import SpInferError
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
)


def encode_matrix(
    bits: NDArray[np.uint16], dtype: str, *, transposed: bool = False
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Payload and weight_meta of a dense tensor of 16-bit patterns.

    `dtype` is "F16" or "BF16". A value is stored when its bits are not all zero. With `transposed`
    the tensor given is [inputs, outputs]. Raises E_SHAPE_UNSUPPORTED.
    """
    matrix = bits.T if transposed else bits
    if matrix.ndim != 2 or min(matrix.shape) < 1 or max(matrix.shape) > MAX_SIDE:
        message = f"a tensor of shape {list(bits.shape)} cannot be packed"
        raise SpInferError("E_SHAPE_UNSUPPORTED", message)
    grid = Grid(*matrix.shape)
    if grid.chunks * MAX_CHUNK_BYTES > MAX_PAYLOAD_BYTES:
        message = f"a {grid.rows} × {grid.cols} matrix may need more than 64 GiB packed"
        raise SpInferError("E_SHAPE_UNSUPPORTED", message)
    padded = np.zeros((grid.strips * CHUNK_ROWS, grid.across * CHUNK_COLS), np.uint16)
    padded[: grid.rows, : grid.cols] = matrix
    # strip, block, row g or g + 8, g, chunk, t, m as pairs of neighbouring columns → value order
    pairs = padded.view(np.uint32).reshape(grid.strips, 2, 2, 8, grid.across, 4, 8)
    in_order = np.ascontiguousarray(pairs.transpose(0, 4, 1, 6, 5, 3, 2)).view(np.uint16)
    in_order = in_order.reshape(grid.chunks, CHUNK_VALUES)
    stored = in_order != 0
    counts = stored.sum(axis=1, dtype=np.int64)
    offsets = np.zeros(grid.chunks + 1, np.uint32)
    np.cumsum(chunk_bytes(counts) // ALIGN, out=offsets[1:])
    payload = np.zeros(int(offsets[-1]) * ALIGN, np.uint8)
    units = payload.view(np.uint32).reshape(-1, ALIGN // 4)
    at = offsets[:-1, None].astype(np.int64) + np.arange(BITMAP_UNITS)
    units[at] = _words(stored, grid.chunks).reshape(grid.chunks, BITMAP_UNITS, ALIGN // 4)
    values_at = offsets[:-1].astype(np.int64) * HALVES_PER_UNIT + BITMAP_BYTES // 2
    before = np.cumsum(counts) - counts
    places = np.arange(int(counts.sum())) + np.repeat(values_at - before, counts)
    payload.view(np.uint16)[places] = in_order[stored]
    nonzeros = int(counts.sum())
    return payload, write_meta(grid, dtype, transposed, nonzeros, offsets, payload)


def _words(stored: NDArray[np.bool_], chunks: int) -> NDArray[np.uint32]:
    """The bitmap words [chunks, 64]: bit 4m + j of lane 4g + t."""
    nibbles = stored.view(np.uint32).reshape(chunks, 2, 8, 4, 8)  # block, m, t, g
    by_lane = np.ascontiguousarray(nibbles.transpose(0, 1, 4, 3, 2)).view(np.uint8)
    packed = np.packbits(by_lane.reshape(chunks * 2 * LANES, 32), axis=1, bitorder="little")
    return packed.view("<u4").reshape(chunks, 2 * LANES)


def write_meta(
    grid: Grid,
    dtype: str,
    transposed: bool,
    nonzeros: int,
    offsets: NDArray[np.uint32],
    payload: NDArray[np.uint8],
) -> NDArray[np.uint8]:
    """The weight_meta of a payload whose chunks begin at `offsets`, in units of 16 bytes."""
    meta = np.zeros(grid.meta_bytes, np.uint8)
    header = np.zeros(1, HEADER)
    values = {
        "magic": MAGIC,
        "major": VERSION_MAJOR,
        "minor": VERSION_MINOR,
        "value_dtype": next(code for code, name in DTYPES.items() if name == dtype),
        "value_order": 1,
        "flags": FLAG_TRANSPOSED if transposed else 0,
        "rows": grid.rows,
        "cols": grid.cols,
        "chunk_rows": CHUNK_ROWS,
        "chunk_cols": CHUNK_COLS,
        "header_bytes": HEADER_BYTES,
        "nonzeros": nonzeros,
        "payload_bytes": len(payload),
        "chunks": grid.chunks,
        "payload_crc": zlib.crc32(payload),
    }
    for name, value in values.items():
        header[name] = value
    meta[:HEADER_BYTES] = header.view(np.uint8)
    meta[HEADER_BYTES : HEADER_BYTES + 4 * len(offsets)] = offsets.view(np.uint8)
    meta[60:64] = np.array([zlib.crc32(meta)], "<u4").view(np.uint8)
    return meta
