"""The operator and the layer on a CPU: equal to the dense product, and small in memory."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Folder, random_bits, refused
from torch import nn
from torch.nn import functional

from spinfer import SpInferError, open_folder
from spinfer.torch import SpinferLinear, operator, spmm

DTYPES = {torch.float16: "F16", torch.bfloat16: "BF16"}


def dense(
    seed: int, rows: int, cols: int, dtype: torch.dtype, sparsity: float = 0.5
) -> torch.Tensor:
    bits = random_bits(seed, rows, cols, sparsity, DTYPES[dtype])
    return torch.from_numpy(bits.view(np.int16)).view(dtype)


def arguments(layer: SpinferLinear) -> tuple[Any, ...]:
    return (
        layer.weight,
        layer.weight_meta,
        layer.out_features,
        layer.in_features,
        layer.max_chunk_bytes,
        layer.dtype,
    )


@pytest.fixture(params=[1 << 11, 1 << 14, 1 << 22], ids=["strip", "strips", "whole"])
def _blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operator, "BLOCK_WEIGHTS", request.param)


@pytest.mark.usefixtures("_blocks")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("rows", "cols"), [(64, 128), (70, 130), (1, 1), (33, 300), (500, 31)])
def test_is_the_dense_product(rows: int, cols: int, dtype: torch.dtype) -> None:
    weight = dense(rows, rows, cols, dtype)
    layer = SpinferLinear.from_dense(weight)
    for shape in ((cols,), (1, cols), (3, 5, cols)):
        x = torch.randn(shape).to(dtype)
        y = layer(x)
        exact = functional.linear(x.double(), weight.double())
        magnitude = functional.linear(x.double().abs(), weight.double().abs())
        assert y.dtype == dtype
        assert y.shape == (*shape[:-1], rows)
        # fp32 sums and one rounding to the result's dtype
        rounding = torch.finfo(dtype).eps * exact.abs() + cols * 2**-24 * magnitude
        assert bool(((y.double() - exact).abs() <= rounding + 1e-6).all())


def test_takes_float32_inputs_on_a_cpu() -> None:
    weight = dense(1, 70, 130, torch.bfloat16)
    x = torch.randn(4, 130)
    y = SpinferLinear.from_dense(weight)(x)
    assert y.dtype == torch.float32
    torch.testing.assert_close(y, functional.linear(x, weight.float()), rtol=1e-5, atol=1e-4)


def test_adds_the_bias() -> None:
    weight, bias = dense(1, 70, 130, torch.float16), torch.randn(70).half()
    x = torch.randn(4, 130).half()
    layer, bare = SpinferLinear.from_dense(weight, bias), SpinferLinear.from_dense(weight)
    assert torch.equal(layer(x), bare(x) + bias)


def test_no_tokens_give_no_results() -> None:
    layer = SpinferLinear.from_dense(dense(1, 70, 130, torch.float16))
    assert layer(torch.empty(0, 130, dtype=torch.float16)).shape == (0, 70)


def test_inputs_need_not_be_contiguous() -> None:
    layer = SpinferLinear.from_dense(dense(1, 70, 130, torch.float16))
    x = torch.randn(130, 6).half()
    assert torch.equal(layer(x.t()), layer(x.t().contiguous()))


def test_passes_the_checks_that_torch_has_for_operators() -> None:
    for dtype in DTYPES:
        layer = SpinferLinear.from_dense(dense(1, 70, 130, dtype))
        for x in (torch.randn(3, 130), torch.randn(2, 3, 130, requires_grad=True)):
            given = (x.detach().to(dtype).requires_grad_(x.requires_grad), *arguments(layer))
            checks = ("test_schema", "test_autograd_registration", "test_faketensor")
            torch.library.opcheck(torch.ops.spinfer.spmm.default, given, test_utils=checks)
    given = (torch.randn(3, 130).to(dtype), *arguments(layer))
    result = torch.library.opcheck(torch.ops.spinfer.spmm.default, given)
    assert set(result.values()) == {"SUCCESS"}


def test_runs_under_compile_without_a_graph_break() -> None:
    model = nn.Sequential(
        SpinferLinear.from_dense(dense(1, 70, 130, torch.bfloat16), torch.randn(70).bfloat16()),
        nn.GELU(),
        SpinferLinear.from_dense(dense(2, 40, 70, torch.bfloat16)),
    )
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    with torch.no_grad():
        for tokens in (1, 2, 5):
            x = torch.randn(tokens, 130).bfloat16()
            torch.testing.assert_close(compiled(x), model(x))


def test_says_that_there_are_no_gradients() -> None:
    layer = SpinferLinear.from_dense(dense(1, 70, 130, torch.float16))
    y = layer(torch.randn(3, 130).half().requires_grad_())
    with refused("E_DTYPE_UNSUPPORTED", "no gradients"):
        y.sum().backward()


def test_refuses_what_does_not_fit() -> None:
    layer = SpinferLinear.from_dense(dense(1, 70, 130, torch.float16))
    with refused("E_DTYPE_UNSUPPORTED", "inputs of torch.bfloat16"):
        layer(torch.randn(3, 130).bfloat16())
    with refused("E_SHAPE_UNSUPPORTED", "[..., 130]"):
        layer(torch.randn(3, 129).half())
    x = torch.randn(3, 130).half()
    weight, meta, rows, cols, chunk, dtype = arguments(layer)
    with refused("E_DTYPE_UNSUPPORTED", "a matrix of torch.float32"):
        spmm(x.float(), weight, meta, rows, cols, chunk, torch.float32)
    with refused("E_SHAPE_UNSUPPORTED", "70 × 130"):
        spmm(x, weight, meta, 71, cols, chunk, dtype)
    with refused("E_TB_PAIR", "int64"):
        spmm(x, weight.int(), meta, rows, cols, chunk, dtype)
    with refused("E_TB_ALIGN", "the payload has"):
        spmm(x, weight[:-2], meta, rows, cols, chunk, dtype)
    with refused("E_TB_LAYOUT", "magic"):
        spmm(x, weight, torch.zeros_like(meta), rows, cols, chunk, dtype)
    with refused("E_TB_POPCOUNT"):
        spmm(x, torch.full_like(weight, -1), meta, rows, cols, chunk, dtype)
    with refused("E_GPU_UNSUPPORTED", "weights on meta"):
        spmm(x, weight.to("meta"), meta, rows, cols, chunk, dtype)
    with refused("E_DTYPE_UNSUPPORTED", "cannot be packed"):
        SpinferLinear.from_dense(torch.randn(3, 3))


def test_other_devices_and_layouts_are_refused_by_name() -> None:
    layer = SpinferLinear.from_dense(dense(1, 70, 130, torch.float16))
    x = torch.randn(3, 130).half().to_sparse()
    with refused("E_GPU_UNSUPPORTED", "there is no kernel for torch.sparse_coo inputs on cpu"):
        layer(x)


def test_autocast_takes_the_dtype_of_the_weights() -> None:
    layer = SpinferLinear.from_dense(dense(1, 70, 130, torch.bfloat16))
    x = torch.randn(3, 130, dtype=torch.float64)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16


def test_state_dicts_round_trip(tmp_path: Path) -> None:
    weight, bias = dense(1, 70, 130, torch.float16), torch.randn(70).half()
    layer = SpinferLinear.from_dense(weight, bias)
    assert set(layer.state_dict()) == {"weight", "weight_meta", "bias"}
    torch.save(layer.state_dict(), tmp_path / "state.pt")
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    # another matrix of the same shape: another number of nonzeros, so other sizes
    other = SpinferLinear.from_dense(dense(2, 70, 130, torch.float16, 0.9), torch.zeros(70).half())
    assert other.weight.shape != layer.weight.shape
    other.load_state_dict(state)
    x = torch.randn(3, 130).half()
    assert torch.equal(other(x), layer(x))
    assert (other.nonzeros, other.max_chunk_bytes) == (layer.nonzeros, layer.max_chunk_bytes)
    assigned = copy.deepcopy(other).to("meta")
    assigned.load_state_dict(state, assign=True)
    assert torch.equal(assigned(x), layer(x))
    assert torch.equal(layer.to_dense().view(torch.int16), weight.view(torch.int16))


def test_a_state_is_checked_before_it_is_used() -> None:
    layer = SpinferLinear.from_dense(dense(1, 70, 130, torch.float16))
    state = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    state["weight"][0] ^= 1
    before = layer(torch.ones(1, 130).half())
    with pytest.raises(SpInferError, match=r"E_TB_|E_HASH"):
        layer.load_state_dict(state)
    assert torch.equal(layer(torch.ones(1, 130).half()), before)
    other = SpinferLinear.from_dense(dense(1, 70, 131, torch.float16)).state_dict()
    with refused("E_ARCH_SHAPE", "70 × 130 torch.float16"):
        layer.load_state_dict(other)
    with refused("E_TB_LAYOUT", "magic"):
        SpinferLinear.from_packed(torch.zeros(100).long(), torch.zeros(100).long())
    with refused("E_TB_PAIR", "int64"):
        SpinferLinear.from_packed(torch.zeros(100), torch.zeros(100).long())


@pytest.mark.parametrize("name", ["weight", "weight_meta"])
def test_half_a_packed_weight_is_not_taken(name: str) -> None:
    layer = SpinferLinear.from_dense(dense(1, 70, 130, torch.float16))
    before = layer(torch.ones(1, 130).half())
    state = {name: torch.full_like(layer.state_dict()[name], -1)}
    for strict in (True, False):
        with refused("E_TB_PAIR", "the state has no"):
            layer.load_state_dict(state, strict=strict)
    layer.load_state_dict({}, strict=False)
    assert torch.equal(layer(torch.ones(1, 130).half()), before)


def test_runs_on_the_meta_device() -> None:
    layer = SpinferLinear.from_dense(dense(1, 70, 130, torch.float16)).to("meta")
    y = layer(torch.ones(2, 130, device="meta").half())
    assert (y.shape, y.dtype, y.device.type) == ((2, 70), torch.float16, "meta")


def test_a_layer_that_was_not_loaded_does_not_run() -> None:
    meta = open_meta()
    layer = SpinferLinear(meta)
    with refused("E_TB_LAYOUT", "magic"):
        layer(torch.ones(1, layer.in_features).half())


def open_meta() -> Any:
    from spinfer.encode import encode_matrix
    from spinfer.matrix import read_meta

    return read_meta(encode_matrix(random_bits(1, 40, 50), "F16")[1])


def test_layers_of_a_folder(folder: Any) -> None:
    made: Folder = folder()
    bias = random_bits(5, 1, 70, 0, "BF16")
    made.tensors["a.bias"] = ("BF16", (70,), bias.tobytes())
    checkpoint = open_folder(made.write())
    layer = SpinferLinear.from_checkpoint(checkpoint, "a")
    weight = torch.from_numpy(random_bits(1, 70, 130, dtype="BF16").view(np.int16))
    x = torch.randn(2, 130).bfloat16()
    expected = functional.linear(x, weight.view(torch.bfloat16)) + layer.bias
    torch.testing.assert_close(layer(x), expected)
    # GPT-2's Conv1D: the dense tensor is [inputs, outputs]
    transposed = SpinferLinear.from_checkpoint(checkpoint, "b")
    stored = torch.from_numpy(random_bits(2, 50, 20, dtype="BF16").view(np.int16))
    x = torch.randn(2, 50).bfloat16()
    torch.testing.assert_close(transposed(x), x @ stored.view(torch.bfloat16))
    assert torch.equal(transposed.to_dense().view(torch.int16), stored.t())


def test_describes_itself() -> None:
    layer = SpinferLinear.from_dense(dense(1, 64, 128, torch.float16), torch.zeros(64).half())
    text = repr(layer)
    assert "in_features=128, out_features=64, bias=True, dtype=torch.float16" in text
    assert "sparsity=0.5125" in text
    assert f"bytes={8 * (layer.weight.numel() + layer.weight_meta.numel())}" in text


def test_the_dense_matrix_is_never_there_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    largest = 0
    decode = operator.decode_strips

    def watched(*given: Any) -> Any:
        nonlocal largest
        bits = decode(*given)
        largest = max(largest, bits.size)
        return bits

    monkeypatch.setattr(operator, "decode_strips", watched)
    monkeypatch.setattr(operator, "BLOCK_WEIGHTS", 1 << 15)
    layer = SpinferLinear.from_dense(dense(1, 512, 512, torch.float16))
    layer(torch.ones(1, 512).half())
    assert 0 < largest <= 1 << 15
