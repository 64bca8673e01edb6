"""`torch.ops.spinfer.spmm`: y = x Wᵀ with W packed.

On a GPU it is one launch of libspinfer.so on the current stream, with its workspace from torch's
allocator, so that it can be captured in a CUDA graph; sums are fp32. More than `DIRECT_TOKENS` rows
of x (a prompt) are multiplied by torch with the matrix decoded into a temporary. On a CPU it is
decoded a few strips at a time and multiplied by torch: never more than `BLOCK_WEIGHTS` of it are
dense.

Trust: on a GPU the bytes must be those that the host check accepted (`SpinferLinear` sees to that).
The CPU side checks header, offsets and bitmaps again on every call.
"""

from __future__ import annotations

import ctypes
import math
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from .. import native
from ..errors import SpInferError
from ..layout import CHUNK_COLS, CHUNK_ROWS, HEADER_BYTES
from ..matrix import decode_strips, read_meta

BLOCK_WEIGHTS = 1 << 22
"""Weights that the CPU side holds dense at a time."""

DIRECT_TOKENS = 128
"""Rows of x that a GPU multiplies without decoding the matrix first.

The kernel takes 32 rows at a time and reads the weights again for each group, decoding writes and
reads a dense matrix once. Measured on one H100 (docs/end-to-end.md): multiplying directly is faster
up to 128 rows, decoding first from about 192; `spinfer-bench-hf --crossover` measures it again.
"""

CONTAINER_DTYPES = {"F16": torch.float16, "BF16": torch.bfloat16}
_CODES = {torch.float16: native.VALUE_DTYPES["F16"], torch.bfloat16: native.VALUE_DTYPES["BF16"]}

_SCHEMA = (
    "spmm(Tensor x, Tensor weight, Tensor weight_meta, int rows, int cols, int max_chunk_bytes, "
    "ScalarType dtype, bool overlap=False) -> Tensor"
)

_namespace = torch.library.Library("spinfer", "DEF")
_namespace.define(_SCHEMA, tags=(torch.Tag.pt2_compliant_tag,))


def spmm(
    x: torch.Tensor,
    weight: torch.Tensor,
    weight_meta: torch.Tensor,
    rows: int,
    cols: int,
    max_chunk_bytes: int,
    dtype: torch.dtype,
    overlap: bool = False,
) -> torch.Tensor:
    """x [..., cols] times the transpose of a packed [rows, cols] matrix: [..., rows].

    `weight` and `weight_meta` are the I64 tensors of the checkpoint on the device of `x`,
    `max_chunk_bytes` and `dtype` what their header says. `x` has that dtype; on a CPU float32 does
    too. With `overlap` the GPU fetches weights while the kernel before still runs, which must not
    be one that writes them. No gradients.

    Raises E_DTYPE_UNSUPPORTED, E_SHAPE_UNSUPPORTED, E_GPU_UNSUPPORTED, E_GPU_LIBRARY and, on a CPU,
    E_TB_….
    """
    result: torch.Tensor = torch.ops.spinfer.spmm(
        x, weight, weight_meta, rows, cols, max_chunk_bytes, dtype, overlap
    )
    return result


def _check(
    x: torch.Tensor, weight: torch.Tensor, weight_meta: torch.Tensor, cols: int, dtype: torch.dtype
) -> None:
    """What can be said without looking at values."""
    if dtype not in _CODES:
        message = f"spinfer.spmm: a matrix of {dtype}"
        raise SpInferError("E_DTYPE_UNSUPPORTED", message, expected="float16 or bfloat16")
    if x.dtype != dtype and (x.dtype != torch.float32 or x.device.type == "cuda"):
        raise SpInferError(
            "E_DTYPE_UNSUPPORTED",
            f"spinfer.spmm: inputs of {x.dtype} and weights of {dtype}",
            expected=f"inputs of {dtype}; on a CPU float32 too",
            hint=f"Load the model with dtype={dtype}, the dtype of its packed weights",
        )
    if x.dim() < 1 or x.shape[-1] != cols:
        message = f"spinfer.spmm: inputs of shape {list(x.shape)}"
        raise SpInferError("E_SHAPE_UNSUPPORTED", message, expected=f"[..., {cols}]")
    for tensor in (weight, weight_meta):
        if tensor.device != x.device:
            message = f"spinfer.spmm: inputs on {x.device}, weights on {tensor.device}"
            raise SpInferError("E_GPU_UNSUPPORTED", message, expected="one device")
        if tensor.dtype != torch.int64 or tensor.dim() != 1:
            message = f"spinfer.spmm: a packed tensor of {tensor.dtype} {list(tensor.shape)}"
            raise SpInferError("E_TB_PAIR", message, expected="int64 with one dimension")


def _fake(
    x: torch.Tensor,
    weight: torch.Tensor,
    weight_meta: torch.Tensor,
    rows: int,
    cols: int,
    max_chunk_bytes: int,
    dtype: torch.dtype,
    overlap: bool = False,
) -> torch.Tensor:
    _check(x, weight, weight_meta, cols, dtype)
    return x.new_empty((*x.shape[:-1], rows))


def _on_cpu(
    x: torch.Tensor,
    weight: torch.Tensor,
    weight_meta: torch.Tensor,
    rows: int,
    cols: int,
    max_chunk_bytes: int,
    dtype: torch.dtype,
    overlap: bool = False,
) -> torch.Tensor:
    _check(x, weight, weight_meta, cols, dtype)
    payload = weight.contiguous().numpy().view(np.uint8)
    meta = read_meta(weight_meta.contiguous().numpy(), crc=False)
    grid = meta.grid
    if (grid.rows, grid.cols, CONTAINER_DTYPES[meta.dtype]) != (rows, cols, dtype):
        message = f"spinfer.spmm: a matrix of {grid.rows} × {grid.cols} {meta.dtype}"
        raise SpInferError("E_SHAPE_UNSUPPORTED", message, expected=f"{rows} × {cols} {dtype}")
    if len(payload) != meta.payload_bytes:
        message = f"spinfer.spmm: the payload has {len(payload)} bytes"
        raise SpInferError("E_TB_ALIGN", message, expected=f"{meta.payload_bytes}")
    flat = x.reshape(-1, cols)
    y = x.new_empty((flat.shape[0], rows))
    step = max(1, BLOCK_WEIGHTS // (CHUNK_ROWS * grid.across * CHUNK_COLS))
    for first in range(0, grid.strips, step):
        last = min(first + step, grid.strips)
        bits = decode_strips(payload, meta, first, last)
        block = torch.from_numpy(bits.view(np.int16)).view(dtype)
        begin = first * CHUNK_ROWS
        y[:, begin : begin + len(bits)] = functional.linear(flat, block.to(x.dtype))
    return y.reshape((*x.shape[:-1], rows))


def _on_gpu(
    x: torch.Tensor,
    weight: torch.Tensor,
    weight_meta: torch.Tensor,
    rows: int,
    cols: int,
    max_chunk_bytes: int,
    dtype: torch.dtype,
    overlap: bool = False,
) -> torch.Tensor:
    _check(x, weight, weight_meta, cols, dtype)
    shape = (*x.shape[:-1], rows)
    tokens = math.prod(x.shape[:-1])
    if tokens == 0:
        return x.new_empty(shape)
    matrix = _matrix(weight, weight_meta, rows, cols, max_chunk_bytes, dtype)
    with torch.cuda.device(x.device):
        if tokens > DIRECT_TOKENS:
            return functional.linear(x.contiguous(), _decode(matrix, x.device, dtype))
        y = x.new_empty(shape)
        _launch(matrix, x.contiguous(), y, tokens, native.OVERLAP if overlap else 0)
    return y


def _matrix(
    weight: torch.Tensor,
    weight_meta: torch.Tensor,
    rows: int,
    cols: int,
    max_chunk_bytes: int,
    dtype: torch.dtype,
) -> native.MatrixStruct:
    if weight.data_ptr() % 16 != 0 or not (weight.is_contiguous() and weight_meta.is_contiguous()):
        message = "spinfer.spmm: the packed weight is not contiguous at a multiple of 16 bytes"
        raise SpInferError("E_TB_ALIGN", message, hint="Pass the tensors whole, or clone() them")
    return native.MatrixStruct(
        payload=weight.data_ptr(),
        offsets=weight_meta.data_ptr() + HEADER_BYTES,
        rows=rows,
        cols=cols,
        max_chunk_bytes=max_chunk_bytes,
        value_dtype=_CODES[dtype],
        value_order=1,
    )


def decode(
    weight: torch.Tensor,
    weight_meta: torch.Tensor,
    rows: int,
    cols: int,
    max_chunk_bytes: int,
    dtype: torch.dtype,
) -> torch.Tensor:
    """A packed matrix on a GPU with its zeros, [rows, cols], decoded there.

    The bytes must be those that the host check accepted. Raises E_TB_ALIGN, E_GPU_….
    """
    with torch.cuda.device(weight.device):
        matrix = _matrix(weight, weight_meta, rows, cols, max_chunk_bytes, dtype)
        return _decode(matrix, weight.device, dtype)


def _decode(matrix: native.MatrixStruct, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """The same, in memory that torch reuses once the current stream is past it."""
    dense = torch.empty((matrix.rows, matrix.cols), dtype=dtype, device=device)
    stream = torch.cuda.current_stream(device).cuda_stream
    native.library().call("spinfer_decode", ctypes.byref(matrix), dense.data_ptr(), stream)
    return dense


def _launch(
    matrix: native.MatrixStruct, x: torch.Tensor, y: torch.Tensor, tokens: int, flags: int
) -> None:
    library = native.library()
    reference = ctypes.byref(matrix)
    needed = ctypes.c_uint64()
    library.call("spinfer_spmm_workspace", reference, x.data_ptr(), tokens, ctypes.byref(needed))
    workspace: Any = None
    if needed.value > 0:
        # freed when this returns: torch's allocator keeps the order on the stream
        workspace = torch.empty(needed.value, dtype=torch.uint8, device=x.device)
    library.call(
        "spinfer_spmm",
        reference,
        x.data_ptr(),
        tokens,
        y.data_ptr(),
        None,
        None if workspace is None else workspace.data_ptr(),
        needed.value,
        flags,
        torch.cuda.current_stream(x.device).cuda_stream,
    )


def _elsewhere(x: torch.Tensor, *_: object) -> torch.Tensor:
    raise SpInferError(
        "E_GPU_UNSUPPORTED",
        f"spinfer.spmm: there is no kernel for {x.layout} inputs on {x.device}",
        expected="dense tensors on cpu or cuda",
        hint="Move the model to a CUDA GPU or to the CPU",
    )


def _backward(_: object, *gradients: object) -> None:
    raise SpInferError(
        "E_DTYPE_UNSUPPORTED",
        "spinfer.spmm: there are no gradients through a packed weight",
        hint="Run under torch.no_grad(), or train the dense model (spinfer-unpack)",
    )


_namespace.impl("spmm", _on_cpu, "CPU")
_namespace.impl("spmm", _on_gpu, "CUDA")
_namespace.impl("spmm", _elsewhere, "CompositeExplicitAutograd")
torch.library.register_fake("spinfer::spmm", _fake, lib=_namespace)
torch.library.register_autograd("spinfer::spmm", _backward, lib=_namespace)
