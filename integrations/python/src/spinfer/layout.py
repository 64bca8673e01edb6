"""Numbers of the tile-bitmap container (SPEC.md, sections 2 to 7)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CHUNK_ROWS = 32
CHUNK_COLS = 64
CHUNK_VALUES = CHUNK_ROWS * CHUNK_COLS
LANES = 32
BITMAP_BYTES = 256
"""Both bitmaps of a chunk."""
MAX_CHUNK_BYTES = 4352
ALIGN = 16
"""Chunks begin at multiples of this; offsets count in it."""
HALVES_PER_UNIT = ALIGN // 2
BITMAP_UNITS = BITMAP_BYTES // ALIGN

MAX_SIDE = 2**31 - 1
MAX_PAYLOAD_BYTES = (2**32 - 1) * ALIGN

MAGIC = b"SPTILEBM"
VERSION_MAJOR = 1
VERSION_MINOR = 0
HEADER_BYTES = 64
FLAG_TRANSPOSED = 1
META_SUFFIX = "_meta"
"""Put behind the name of a weight for the tensor with its header and offsets."""

DTYPES = {1: "F16", 2: "BF16"}

HEADER = np.dtype(
    [
        ("magic", "S8"),
        ("major", "<u2"),
        ("minor", "<u2"),
        ("value_dtype", "u1"),
        ("value_order", "u1"),
        ("scale_kind", "u1"),
        ("flags", "u1"),
        ("rows", "<u4"),
        ("cols", "<u4"),
        ("chunk_rows", "<u2"),
        ("chunk_cols", "<u2"),
        ("header_bytes", "<u4"),
        ("nonzeros", "<u8"),
        ("payload_bytes", "<u8"),
        ("chunks", "<u4"),
        ("reserved", "<u4"),
        ("payload_crc", "<u4"),
        ("header_crc", "<u4"),
    ]
)


@dataclass(frozen=True)
class Grid:
    """How a matrix of rows × cols is cut into chunks, strip by strip."""

    rows: int
    cols: int

    @property
    def strips(self) -> int:
        return -(-self.rows // CHUNK_ROWS)

    @property
    def across(self) -> int:
        """Chunks of one strip."""
        return -(-self.cols // CHUNK_COLS)

    @property
    def chunks(self) -> int:
        return self.strips * self.across

    @property
    def meta_bytes(self) -> int:
        return -(-(HEADER_BYTES + 4 * (self.chunks + 1)) // ALIGN) * ALIGN

    def chunk_name(self, chunk: int) -> str:
        """For messages: "chunk 7 (rows 0..31, columns 448..511)"."""
        row = chunk // self.across * CHUNK_ROWS
        col = chunk % self.across * CHUNK_COLS
        last_row = min(row + CHUNK_ROWS, self.rows) - 1
        last_col = min(col + CHUNK_COLS, self.cols) - 1
        return f"chunk {chunk} (rows {row}..{last_row}, columns {col}..{last_col})"


def chunk_bytes(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bytes of chunks with so many stored values."""
    return -(-(BITMAP_BYTES + 2 * values) // ALIGN) * ALIGN


def inside_words(rows: int, cols: int) -> NDArray[np.uint32]:
    """The bits of a chunk's 64 bitmap words for weights within its first rows × cols."""
    block, g, t, m, j = np.indices((2, 8, 4, 8, 4))
    row = 16 * block + g + 8 * (j >> 1)
    col = 16 * t + 2 * m + (j & 1)
    inside = ((row < rows) & (col < cols)).reshape(2 * LANES, 32)
    return np.packbits(inside, axis=1, bitorder="little").view("<u4").reshape(2 * LANES)
