"""Reads inputs of test/helpers/readerInputs.ts from standard input; prints a verdict for each.

`judge.py matrices`: a code, or rows, columns and the CRC-32 of the dense tensor.
`judge.py headers`: a code, or "accepted".
"""

from __future__ import annotations

import sys
import tempfile
import zlib
from typing import BinaryIO

import numpy as np

from spinfer import SpInferError, check_matrix, decode_matrix
from spinfer.safetensors import read_header


def matrix(data: bytes) -> str:
    meta_bytes, crc = np.frombuffer(data, "<u4", 2).tolist()
    payload = data[8 + meta_bytes :]
    meta = check_matrix(payload, data[8 : 8 + meta_bytes], crc=crc == 1)
    dense = decode_matrix(payload, meta)
    return f"{meta.grid.rows} {meta.grid.cols} {zlib.crc32(dense.tobytes()):08x}"


def header(data: bytes) -> str:
    SCRATCH.seek(0)
    SCRATCH.truncate()
    SCRATCH.write(data)
    SCRATCH.flush()
    read_header(SCRATCH, "x.safetensors")
    return "accepted"


def verdicts(kind: str, source: BinaryIO) -> None:
    judge = matrix if kind == "matrices" else header
    while size := source.read(4):
        data = source.read(int.from_bytes(size, "little"))
        try:
            print(judge(data))
        except SpInferError as error:
            print(error.code)


with tempfile.TemporaryFile() as SCRATCH:
    verdicts(sys.argv[1], sys.stdin.buffer)
