"""The check of a packed matrix before anything relies on it: by the library where there is one.

The library checks structure at several gigabytes a second and lets other threads run, zlib the
CRC-32; what the library refuses is looked at again here, for the code.
"""

from __future__ import annotations

import ctypes
import zlib

from . import native
from .errors import DAMAGED, Origin, SpInferError
from .matrix import Buffer, Meta, as_bytes, check_matrix, read_meta


def check(payload: Buffer, weight_meta: Buffer, origin: Origin) -> Meta:
    """Like `check_matrix`, with CRCs. Raises E_TB_… and E_HASH."""
    if not native.available():
        return check_matrix(payload, weight_meta, origin)
    values, header = as_bytes(payload), as_bytes(weight_meta)
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
    meta = read_meta(header, origin, crc=False)
    if zlib.crc32(values) != meta.payload_crc:
        found = f"{origin}: the payload does not match its CRC-32"
        raise SpInferError("E_HASH", found, origin=origin, hint=DAMAGED)
    return meta
