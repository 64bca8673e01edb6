"""Which packed matrices a GPU multiplies faster dense: what `spinfer tune` measured on it.

`spinfer tune MODEL` leaves its measurements in tune.json. An entry counts for its GPU, driver and
library version; without an entry a matrix stays packed.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import __version__
from .errors import Origin, SpInferError, reading
from .jsontext import JsonFault, parse, plain

CACHE = "SPINFER_CACHE"
TUNE_FILE = "tune.json"
SCHEMA = "spinfer.tune/1"
MAX_BYTES = 32 * 1024 * 1024
LEAST_GAIN = 1.02
"""Packed must win by so much to be kept: below it lies the noise of a measurement."""
SPARSITY_STEP = 5
"""Sparsities within so many per cent share an entry."""


@dataclass(frozen=True)
class Gpu:
    """What measurements belong to."""

    name: str
    driver: str


@dataclass(frozen=True)
class Measured:
    """One product, measured dense and packed."""

    gpu: Gpu
    library: str
    rows: int
    cols: int
    dtype: str
    """"F16" or "BF16"."""
    sparsity: int
    """Per cent."""
    tokens: int
    ratio: float
    """Dense time over packed time."""


def cache_file(environment: Mapping[str, str] = os.environ) -> Path:
    """tune.json in SPINFER_CACHE, else in `spinfer` of XDG_CACHE_HOME, LOCALAPPDATA or ~/.cache."""
    own = environment.get(CACHE, "")
    if own != "":
        return Path(own) / TUNE_FILE
    base = environment.get("XDG_CACHE_HOME") or environment.get("LOCALAPPDATA")
    return (Path(base) if base else Path.home() / ".cache") / "spinfer" / TUNE_FILE


def read_measured(path: Path) -> list[Measured]:
    """All entries of the file; none where there is no file. Raises E_TUNE_CACHE, E_IO."""
    if not path.is_file():
        return []
    with reading(path), path.open("rb") as file:
        text = file.read(MAX_BYTES + 1)
    try:
        if len(text) > MAX_BYTES:
            raise ValueError(f"over {MAX_BYTES} bytes")
        content = plain(parse(text))
        if content["schema"] != SCHEMA:
            raise ValueError(f"another schema: {content['schema']!r}")
        return [_entry(entry) for entry in content["entries"]]
    except (JsonFault, ValueError, TypeError, LookupError) as cause:
        raise SpInferError(
            "E_TUNE_CACHE",
            f"{path}: it is not what spinfer tune writes: {cause}",
            origin=Origin(str(path)),
            expected=SCHEMA,
            hint="Delete it and run `spinfer tune` again",
        ) from cause


def _entry(entry: Any) -> Measured:
    texts = {key: entry[key] for key in ("gpu", "driver", "library", "dtype")}
    counts = {key: entry[key] for key in ("rows", "cols", "sparsity", "tokens")}
    times = {key: entry[key] for key in ("denseUs", "sparseUs")}
    if not all(type(text) is str for text in texts.values()):
        raise TypeError("a name that is not a text")
    if not all(type(count) is int and count >= 0 for count in counts.values()):
        raise TypeError("a count that is not a whole number")
    if not all(type(time) in (int, float) and time > 0 for time in times.values()):
        raise TypeError("a time that is not a positive number")
    return Measured(
        gpu=Gpu(texts["gpu"], texts["driver"]),
        library=texts["library"],
        dtype=texts["dtype"],
        ratio=times["denseUs"] / times["sparseUs"],
        **counts,
    )


def sparsity_bucket(sparsity: float) -> int:
    """Per cent, as entries have it."""
    bucket = math.floor(sparsity * 100 / SPARSITY_STEP + 0.5) * SPARSITY_STEP
    return min(bucket, 100 - SPARSITY_STEP)


def is_faster_dense(
    rows: int, cols: int, nonzeros: int, dtype: str, gpu: Gpu, measured: list[Measured]
) -> bool:
    """Whether packed does not win by 2 % there: the geometric mean over all measured tokens."""
    bucket = sparsity_bucket(1 - nonzeros / (rows * cols))
    wanted = (gpu, __version__, rows, cols, dtype, bucket)
    logs = [
        math.log(one.ratio)
        for one in measured
        if (one.gpu, one.library, one.rows, one.cols, one.dtype, one.sparsity) == wanted
    ]
    return len(logs) > 0 and math.exp(math.fsum(logs) / len(logs)) < LEAST_GAIN
