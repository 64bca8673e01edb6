"""SpInfer's tile-bitmap checkpoints in Python.

Importing this package is what teaches transformers the format; it imports neither transformers
nor torch itself. `spinfer.torch` has the operator and the layer.
"""

from __future__ import annotations

import importlib
import sys

from .errors import SpInferError
from .folder import Checkpoint, Tensor, open_folder
from .importhook import when_imported
from .manifest import check_manifest
from .matrix import Meta, check_matrix, decode_matrix, read_meta
from .unpacking import Unpacked, unpack

__version__ = "0.1.0"

__all__ = [
    "Checkpoint",
    "Meta",
    "SpInferError",
    "Tensor",
    "Unpacked",
    "check_manifest",
    "check_matrix",
    "decode_matrix",
    "open_folder",
    "read_meta",
    "unpack",
]

if sys.byteorder != "little":
    raise SpInferError(
        "E_HOST_ENDIAN", "this machine is big-endian", hint="Use a little-endian machine"
    )


def _register_with_transformers() -> None:
    importlib.import_module(".transformers", __name__)  # registers itself


when_imported("transformers.quantizers.auto", _register_with_transformers)
