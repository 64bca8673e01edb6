"""spinfer_manifest.json: what every file of a checkpoint must be, byte for byte.

Its last field is its own SHA-256, taken with that field's digits replaced by zeros.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

from .errors import Origin, SpInferError, printable, reading
from .folder import MANIFEST_FILE, Checkpoint, check_file_name
from .jsontext import JsonFault, parse, plain

SCHEMA = "spinfer.manifest/1"
_SELF = re.compile(rb'"manifest_sha256": "([0-9a-f]{64})"\n\}\n\Z')
_PIECE = 1 << 20


def check_manifest(checkpoint: Checkpoint) -> None:
    """Compares a folder with its manifest: every file's size and SHA-256, every tensor's shape.

    Raises E_NO_MANIFEST, E_MANIFEST, E_HASH, E_IO.
    """
    path = checkpoint.path / MANIFEST_FILE
    if not path.is_file():
        raise SpInferError(
            "E_NO_MANIFEST",
            f"{checkpoint.path}: the folder has no {MANIFEST_FILE}",
            origin=Origin(str(path)),
            hint="The weights can be read without it; their CRC-32s are checked all the same",
        )
    with reading(path):
        manifest = read_manifest(path.read_bytes(), str(path))
        for record in manifest["files"]:
            _check_file(checkpoint.path, record)
    listed = {name: tuple(record["shape"]) for name, record in manifest["tensors"].items()}
    found = {name: tensor.shape for name, tensor in checkpoint.tensors.items()}
    if listed != found:
        wrong = sorted(
            name for name in listed.keys() | found.keys() if listed.get(name) != found.get(name)
        )
        shown = ", ".join(printable(name) for name in wrong[:10])
        raise _damaged(str(path), f"it does not list the tensors that are there: {shown}")


def manifest_hash(folder: Path) -> str | None:
    """What names a checkpoint: its manifest's own hash. Raises E_MANIFEST, E_IO."""
    path = folder / MANIFEST_FILE
    if not path.is_file():
        return None
    with reading(path):
        found: str = read_manifest(path.read_bytes(), str(path))["manifest_sha256"]
    return found


def read_manifest(data: bytes, path: str) -> dict[str, Any]:
    """Parses a manifest and checks its own hash and its parts that are used. Raises E_MANIFEST."""
    own = _SELF.search(data)
    if own is None:
        raise _damaged(path, "it does not end with its own hash")
    blanked = data[: own.start(1)] + b"0" * 64 + data[own.end(1) :]
    if hashlib.sha256(blanked).hexdigest().encode() != own[1]:
        raise _damaged(path, "it does not match its own hash")
    try:
        manifest = plain(parse(data))
        if manifest["schema"] != SCHEMA:
            raise _damaged(path, f"its schema is {manifest['schema']!r}, not {SCHEMA}")
        for record in manifest["files"]:
            if not isinstance(record["path"], str) or type(record["bytes"]) is not int:
                raise TypeError
        for record in manifest["tensors"].values():
            tuple(record["shape"])
    except (JsonFault, KeyError, TypeError, AttributeError) as cause:
        raise _damaged(path, "it is not a manifest of this version") from cause
    checked: dict[str, Any] = manifest
    return checked


def _check_file(folder: Path, record: dict[str, Any]) -> None:
    name = record["path"]
    check_file_name(name, Origin(str(folder / MANIFEST_FILE)))
    path = folder / name
    origin = Origin(str(path))
    if not path.is_file():
        raise SpInferError("E_HASH", f"{path}: the file is missing", origin=origin)
    size = path.stat().st_size
    if size != record["bytes"]:
        expected = f"{record['bytes']}"
        raise SpInferError("E_HASH", f"{path}: {size} bytes", origin=origin, expected=expected)
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    if digest.hexdigest() != record.get("sha256"):
        raise SpInferError(
            "E_HASH",
            f"{path}: sha256 {digest.hexdigest()}",
            origin=origin,
            expected=f"sha256 {record.get('sha256')}",
            hint="The file was changed or damaged: fetch it again",
        )


def _damaged(path: str, what: str) -> SpInferError:
    return SpInferError(
        "E_MANIFEST",
        f"{path}: {what}",
        origin=Origin(path),
        hint="The checkpoint is damaged: fetch it again or make it anew",
    )
