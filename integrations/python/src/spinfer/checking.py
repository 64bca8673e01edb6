"""The check of a packed matrix before anything relies on it: by the library where there is one.

The library checks several gigabytes a second and lets other threads run; what it refuses is looked
at again here, for the code.
"""

from __future__ import annotations

import ctypes

from . import native
from .errors import Origin
from .matrix import Buffer, Meta, as_bytes, check_matrix, read_meta


def check(payload: Buffer, meta: Buffer, origin: Origin) -> Meta:
    """Like `check_matrix`, with CRCs. Raises E_TB_… and E_HASH."""
    if not native.available():
        return check_matrix(payload, meta, origin)
    values, header = as_bytes(payload), as_bytes(meta)
    arguments = (
        header.ctypes.data,
        len(header),
        values.ctypes.data,
        len(values),
        native.CHECK_CRC,
        ctypes.byref(native.MetaStruct()),
    )
    library = native.library()
    status = library.status("spinfer_validate", *arguments)
    if status == native.OK:
        return read_meta(header, origin, crc=False)
    failure = library.failure("spinfer_validate", status, origin)
    check_matrix(values, header, origin)
    raise failure
