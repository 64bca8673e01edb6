"""The operator on a CUDA GPU: skipped without one, or without a library that was built for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import ROOT, random_bits, refused
from torch.nn import functional

import spinfer
from spinfer import SpInferError, native
from spinfer.benchmark.decoder import Decoder
from spinfer.benchmark.glue import compiled
from spinfer.benchmark.loading import save_folders
from spinfer.benchmark.measure import capture
from spinfer.benchmark.shapes import Shape
from spinfer.benchmark.stock import StockDecoder, stock_dense, stock_packed
from spinfer.benchmark.weights import (
    dense_linears,
    pack,
    packed_linears,
    prune_random,
    random_weights,
)
from spinfer.torch import SpinferLinear, operator, spmm

DTYPES = {torch.float16: "F16", torch.bfloat16: "BF16"}


def why_not() -> str:
    if not torch.cuda.is_available():
        return "no CUDA GPU"
    try:
        native.library().call("spinfer_check_device")
    except SpInferError as error:
        return str(error)
    return ""


pytestmark = pytest.mark.skipif(why_not() != "", reason=why_not())


def weight_of(rows: int, cols: int, dtype: torch.dtype, sparsity: float = 0.6) -> torch.Tensor:
    bits = random_bits(rows + cols, rows, cols, sparsity, DTYPES[dtype])
    return torch.from_numpy(bits.view(np.int16)).view(dtype).cuda()


def inputs(tokens: int, cols: int, dtype: torch.dtype) -> torch.Tensor:
    return torch.randn(tokens, cols, device="cuda").to(dtype)


def assert_product(y: torch.Tensor, x: torch.Tensor, weight: torch.Tensor) -> None:
    exact = functional.linear(x.double(), weight.double())
    magnitude = functional.linear(x.double().abs(), weight.double().abs())
    rounding = torch.finfo(x.dtype).eps * exact.abs() + x.shape[-1] * 2**-24 * magnitude
    assert bool(((y.double() - exact).abs() <= rounding + 1e-6).all())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("tokens", [1, 3, 8, 16, 40])
@pytest.mark.parametrize(
    ("rows", "cols"), [(1024, 1024), (4096, 4096), (70, 130), (1, 1), (33, 301)]
)
def test_is_the_dense_product(rows: int, cols: int, tokens: int, dtype: torch.dtype) -> None:
    weight = weight_of(rows, cols, dtype)
    layer = SpinferLinear.from_dense(weight)
    x = inputs(tokens, cols, dtype)
    for layer.overlap in (False, True):
        y = layer(x)
        assert_product(y, x, weight)
        assert torch.equal(y, layer(x))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("rows", "cols"), [(1024, 1024), (70, 130), (33, 301)])
def test_prompts_are_multiplied_decoded(rows: int, cols: int, dtype: torch.dtype) -> None:
    weight = weight_of(rows, cols, dtype)
    layer = SpinferLinear.from_dense(weight)
    for tokens in (operator.DIRECT_TOKENS, operator.DIRECT_TOKENS + 1, 500):
        x = inputs(tokens, cols, dtype)
        assert_product(layer(x), x, weight)
    # the matrix that torch multiplied with is exactly the one that was packed
    x = inputs(500, cols, dtype)
    assert torch.equal(layer(x), functional.linear(x, weight))
    turned = inputs(cols, 200, dtype).t()
    assert_product(layer(turned), turned, weight)
    parts = inputs(500, cols, dtype).view(2, 250, cols)
    assert layer(parts).shape == (2, 250, rows)


def test_a_prompt_is_captured_in_a_cuda_graph() -> None:
    weight = weight_of(1024, 1030, torch.float16)
    layer = SpinferLinear.from_dense(weight)
    x = inputs(300, 1030, torch.float16)
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        layer(x)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = layer(layer(x)[:, : 1030 - 6].repeat(1, 2)[:, :1030])
    x.copy_(inputs(300, 1030, torch.float16))
    graph.replay()
    first = functional.linear(x, weight)
    second = functional.linear(first[:, : 1030 - 6].repeat(1, 2)[:, :1030], weight)
    torch.testing.assert_close(y, second, rtol=1e-2, atol=1.0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("rows", "cols"), [(1024, 1024), (70, 130), (1, 1)])
def test_packs_on_the_gpu_as_on_the_host(rows: int, cols: int, dtype: torch.dtype) -> None:
    weight = weight_of(rows, cols, dtype)
    on_gpu, on_host = pack(weight), pack(weight.cpu())
    assert torch.equal(on_gpu.payload.cpu(), on_host.payload)
    # the header of the one on the GPU is left out
    assert torch.equal(on_gpu.meta.cpu()[8:], on_host.meta[8:])
    assert on_gpu.max_chunk_bytes == on_host.max_chunk_bytes
    x = inputs(5, cols, dtype)
    assert_product(on_gpu(x), x, weight)


@pytest.mark.parametrize("engine", ["fused", "transformers"])
def test_whole_steps_are_captured(engine: str) -> None:
    shape = Shape("tiny", 256, 384, 2, 4, 2, 64, 500, "float16")
    weights = random_weights(shape, torch.device("cuda"))
    prune_random(weights, 0.5)
    logits = {}
    with torch.no_grad():
        for side in ("dense", "sparse"):
            if engine == "fused":
                linears = {"dense": dense_linears, "sparse": packed_linears}[side](weights)
                decoder: Any = Decoder(weights, linears, compiled(), batch=3, length=64)
            else:
                linears = {"dense": stock_dense, "sparse": stock_packed}[side](weights)
                decoder = StockDecoder(weights, linears, batch=3, length=64)
            ids = torch.arange(3 * 50, device="cuda").view(3, 50)
            decoder.prompt(ids)
            eager = decoder.step().clone()
            decoder.rewind(50)
            replay = capture(decoder.step, torch.device("cuda"))
            decoder.prompt(ids)
            torch.testing.assert_close(replay().float(), eager.float(), rtol=2e-2, atol=2e-2)
            assert decoder.position.item() == 51
            logits[side] = eager
    torch.testing.assert_close(logits["sparse"], logits["dense"], rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("rows", "cols"), [(1024, 1024), (70, 130), (1, 1)])
def test_to_dense_decodes_on_the_gpu(rows: int, cols: int, dtype: torch.dtype) -> None:
    weight = weight_of(rows, cols, dtype)
    found = SpinferLinear.from_dense(weight).to_dense()
    assert found.device == weight.device
    assert torch.equal(found.view(torch.int16), weight.view(torch.int16))


@pytest.fixture
def saved(tmp_path: Path) -> dict[str, Path]:
    """A small model with random weights, packed on the GPU, as a packed and as a dense folder."""
    shape = Shape("tiny", 256, 384, 2, 4, 2, 64, 500, "bfloat16")
    weights = random_weights(shape, torch.device("cuda"))
    prune_random(weights, 0.6)
    return save_folders(weights, 2, tmp_path)


def from_pretrained(path: Path, **options: Any) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(path, torch_dtype="auto", **options)


@pytest.mark.parametrize("device_map", ["cuda", "auto", {"": 0}])
def test_quantizer_loads_onto_the_gpu(saved: dict[str, Path], device_map: Any) -> None:
    sides = {side: from_pretrained(path, device_map=device_map) for side, path in saved.items()}
    layers = [module for module in sides["sparse"].modules() if isinstance(module, SpinferLinear)]
    assert len(layers) == 14
    ids = torch.arange(40, device="cuda")[None]
    with torch.no_grad():
        logits = {side: model(ids).logits.float() for side, model in sides.items()}
    torch.testing.assert_close(logits["sparse"], logits["dense"], rtol=2e-2, atol=2e-2)
    on_cpu = [
        module
        for module in from_pretrained(saved["sparse"]).modules()
        if isinstance(module, SpinferLinear)
    ]
    for layer, other in zip(layers, on_cpu, strict=True):
        assert layer.weight.is_cuda
        assert torch.equal(layer.weight.cpu(), other.weight)
        assert torch.equal(layer.weight_meta.cpu(), other.weight_meta)


def test_quantizer_refuses_damage_before_the_gpu(saved: dict[str, Path]) -> None:
    path = saved["sparse"]
    entry = spinfer.open_folder(path).tensors["model.layers.1.mlp.up_proj.weight"].stored.entry
    data = bytearray((path / "model.safetensors").read_bytes())
    data[entry.begin + 700] ^= 0x41
    (path / "model.safetensors").write_bytes(data)
    with pytest.raises(SpInferError, match=r"E_TB_|E_HASH"):
        from_pretrained(path, device_map="cuda")


def test_quantizer_keeps_dense_what_is_faster_dense(
    saved: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = native.describe_gpu()
    entry = {
        "gpu": gpu.name.decode(),
        "driver": gpu.driver.decode(),
        "library": spinfer.__version__,
        **{"rows": 384, "cols": 256, "dtype": "BF16", "sparsity": 60, "tokens": 1},
        **{"denseUs": 1.0, "sparseUs": 2.0},
    }
    content = {"schema": "spinfer.tune/1", "entries": [entry]}
    (tmp_path / "tune.json").write_text(json.dumps(content))
    monkeypatch.setenv("SPINFER_CACHE", str(tmp_path))
    model = from_pretrained(saved["sparse"], device_map="cuda")
    assert type(model.model.layers[0].mlp.up_proj) is torch.nn.Linear
    assert isinstance(model.model.layers[0].mlp.down_proj, SpinferLinear)
    dense = from_pretrained(saved["dense"], device_map="cuda")
    for name in ("up_proj", "gate_proj"):
        ours, theirs = (getattr(one.model.layers[1].mlp, name).weight for one in (model, dense))
        assert torch.equal(ours, theirs)


def test_takes_inputs_at_odd_addresses_and_strides() -> None:
    weight = weight_of(128, 70, torch.float16)
    layer = SpinferLinear.from_dense(weight)
    flat = inputs(1, 70 * 4 + 1, torch.float16).reshape(-1)
    shifted = flat[1:].view(4, 70)
    assert_product(layer(shifted), shifted, weight)
    turned = inputs(70, 6, torch.float16).t()
    assert_product(layer(turned), turned, weight)


def test_runs_on_the_current_stream() -> None:
    weight = weight_of(4096, 4096, torch.float16)
    layer = SpinferLinear.from_dense(weight)
    stream = torch.cuda.Stream()
    x = inputs(8, 4096, torch.float16)
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(20_000_000)
        late = x * 2
        y = layer(late)
    stream.synchronize()
    assert_product(y, late, weight)


def test_is_captured_in_a_cuda_graph() -> None:
    weight = weight_of(1024, 1030, torch.bfloat16)
    layer = SpinferLinear.from_dense(weight)
    x = inputs(8, 1030, torch.bfloat16)
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        layer(x)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = layer(x)
    for _ in range(3):
        x.copy_(inputs(8, 1030, torch.bfloat16))
        graph.replay()
        assert_product(y, x, weight)


@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
def test_runs_under_compile(mode: str) -> None:
    weights = [weight_of(512, 256, torch.bfloat16), weight_of(256, 512, torch.bfloat16)]
    first, second = (SpinferLinear.from_dense(weight) for weight in weights)
    compiled: Any = torch.compile(lambda x: second(functional.gelu(first(x))), mode=mode)
    with torch.no_grad():
        for _ in range(3):
            x = inputs(8, 256, torch.bfloat16)
            expected = second(functional.gelu(first(x)))
            torch.testing.assert_close(compiled(x), expected, rtol=2e-2, atol=2e-1)


def test_passes_the_checks_that_torch_has_for_operators() -> None:
    layer = SpinferLinear.from_dense(weight_of(70, 130, torch.float16))
    packed = (layer.weight, layer.weight_meta, 70, 130, layer.max_chunk_bytes, layer.dtype)
    torch.library.opcheck(torch.ops.spinfer.spmm.default, (inputs(3, 130, torch.float16), *packed))


def test_refuses_what_does_not_fit() -> None:
    layer = SpinferLinear.from_dense(weight_of(70, 130, torch.float16))
    packed = (layer.weight, layer.weight_meta, 70, 130, layer.max_chunk_bytes, layer.dtype)
    with refused("E_DTYPE_UNSUPPORTED", "inputs of torch.float32"):
        layer(torch.randn(3, 130, device="cuda"))
    with refused("E_GPU_UNSUPPORTED", "one device"):
        layer(torch.randn(3, 130).half())
    with refused("E_TB_ALIGN", "multiple of 16 bytes"):
        spmm(inputs(3, 130, torch.float16), layer.weight[1:], *packed[1:])


def test_moves_between_devices() -> None:
    layer = SpinferLinear.from_dense(weight_of(70, 130, torch.float16))
    x = inputs(3, 130, torch.float16)
    on_gpu = layer(x).cpu()
    torch.testing.assert_close(on_gpu, layer.cpu()(x.cpu()), rtol=4e-3, atol=1e-2)


def test_transformers_generates_on_the_gpu(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    sparse = tmp_path / "sparse"
    from conftest import CLI, cli

    if not CLI.is_file():
        pytest.skip("the command line is not built (npm run build)")
    cli("prune", ROOT / "models" / "demo", "-o", sparse, "--sparsity", "0.6")
    spinfer.unpack(sparse, tmp_path / "dense")
    ids = torch.tensor([[1, 100, 120, 130]], device="cuda")
    texts = []
    for folder in (sparse, tmp_path / "dense"):
        model = transformers.AutoModelForCausalLM.from_pretrained(folder, device_map="cuda")
        options = {"max_new_tokens": 16, "do_sample": False, "cache_implementation": "static"}
        texts.append(model.generate(ids, **options).tolist())
    assert texts[0][0][:8] == texts[1][0][:8]
