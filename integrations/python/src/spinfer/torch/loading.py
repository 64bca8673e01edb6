"""Packed weights from their files to their devices: each byte is read once, and checked before use.

For a CPU a weight is checked where its file is mapped, and the map is what the layer keeps. For
another device it is read into a buffer of the thread's own, checked there, and copied from there:
what reaches the device are the very bytes that were checked.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ..checking import check_payload
from ..errors import Origin
from ..matrix import Meta
from ..safetensors import Entry, map_file, read_into
from .linear import SpinferLinear

_THREADS = 16
"""At most; on other devices than the CPU each holds one packed weight."""

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Expected:
    """A packed weight that a layer waits for."""

    layer: SpinferLinear
    path: Path
    payload: Entry
    meta_bytes: Bytes
    """The whole weight_meta."""
    meta: Meta
    """What was read there."""
    device: torch.device

    @property
    def origin(self) -> Origin:
        return Origin(str(self.path), self.payload.name)


def load(expected: Sequence[Expected]) -> None:
    """Loads all of them. Raises E_TB_…, E_HASH, E_ST_TRUNCATED, E_IO; then no layer is to be used.

    Memory beside the weights: a payload for each thread, on devices that are not the CPU.
    """
    mapped = {one.path for one in expected if one.device.type == "cpu"}
    maps = {path: map_file(path) for path in mapped}
    own = threading.local()

    def load_one(one: Expected) -> None:
        if one.device.type == "cpu":
            _hold(one, _mapped(maps[one.path], one.payload))
            return
        room: Bytes | None = getattr(own, "room", None)
        if room is None or len(room) < one.payload.bytes:
            own.room = room = np.empty(one.payload.bytes, np.uint8)
        payload = room[: one.payload.bytes]
        read_into(one.path, one.payload, payload)
        _hold(one, payload)

    with ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as pool:
        # in the order of the files; the first refusal ends it
        work = [pool.submit(load_one, one) for one in expected]
        try:
            for done in work:
                done.result()
        finally:
            for waiting in work:
                waiting.cancel()


def _mapped(file: Bytes, entry: Entry) -> Bytes:
    """The bytes of a tensor where they are, or copied where no 64-bit number may lie."""
    part = file[entry.begin : entry.end]
    return part if part.ctypes.data % 8 == 0 else part.copy()


def _hold(one: Expected, payload: Bytes) -> None:
    check_payload(payload, one.meta_bytes, one.meta, one.origin)
    layer = one.layer
    words = [torch.from_numpy(part.view(np.int64)) for part in (payload, one.meta_bytes)]
    if one.device.type != "cpu":
        # where the layer has memory on the device already, that is filled
        targets = (layer.weight, layer.weight_meta)
        words = [_copied(word, to, one.device) for word, to in zip(words, targets, strict=True)]
    layer.hold(one.meta, *words)


def _copied(words: torch.Tensor, target: torch.Tensor, device: torch.device) -> torch.Tensor:
    if target.device != device or target.shape != words.shape:
        target = torch.empty(words.shape, dtype=words.dtype, device=device)
    return target.copy_(words)
