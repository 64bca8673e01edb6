"""The check of a packed matrix before anything relies on it: by the library where there is one.

The library checks structure at several gigabytes a second and lets other threads run, zlib the
CRC-32; what the library refuses is looked at again here, for the code.
"""

from __future__ import annotations

import ctypes

import numpy as np
from numpy.typing import NDArray

from . import native
from .errors import Origin
from .matrix import Buffer, Meta, as_bytes, check_crc, check_matrix, check_values, read_meta


def check(payload: Buffer, weight_meta: Buffer, origin: Origin) -> Meta:
    """Like `check_matrix`, with CRCs. Raises E_TB_… and E_HASH."""
    if not native.available():
        return check_matrix(payload, weight_meta, origin)
    values, header = as_bytes(payload), as_bytes(weight_meta)
    check_by_library(values, header, origin)
    meta = read_meta(header, origin, crc=False)
    check_crc(values, meta, origin)
    return meta


def check_payload(
    payload: NDArray[np.uint8], weight_meta: NDArray[np.uint8], meta: Meta, origin: Origin
) -> None:
    """The same where `meta` is what `read_meta` made of `weight_meta`: the payload is checked."""
    if native.available():
        check_by_library(payload, weight_meta, origin)
        check_crc(payload, meta, origin)
    else:
        check_values(payload, meta, origin)


def check_by_library(values: NDArray[np.uint8], header: NDArray[np.uint8], origin: Origin) -> None:
    """Everything but the payload's CRC. Raises E_TB_…, E_HASH."""
    arguments = (
        header.ctypes.data,
        len(header),
        values.ctypes.data,
        len(values),
        0,
        ctypes.byref(native.MetaStruct()),
    )
    library = native.library()
    status = library.status("spinfer_validate", *arguments)
    if status != native.OK:
        failure = library.failure("spinfer_validate", status, origin)
        check_matrix(values, header, origin)
        raise failure
