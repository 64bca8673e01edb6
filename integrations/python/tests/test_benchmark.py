"""The benchmark of whole models, on a CPU: its steps are a Llama's, and its report is complete."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

import spinfer  # noqa: E402
from spinfer.benchmark import main as main_module  # noqa: E402
from spinfer.benchmark import shapes  # noqa: E402
from spinfer.benchmark.decoder import Decoder  # noqa: E402
from spinfer.benchmark.glue import Glue  # noqa: E402
from spinfer.benchmark.main import SCHEMA, main  # noqa: E402
from spinfer.benchmark.report import markdown  # noqa: E402
from spinfer.benchmark.shapes import SHAPES, Shape  # noqa: E402
from spinfer.benchmark.stock import StockDecoder, stock_dense, stock_packed  # noqa: E402
from spinfer.benchmark.weights import (  # noqa: E402
    Weights,
    bytes_of,
    dense_linears,
    packed_linears,
    prune_random,
    random_weights,
)

CPU = torch.device("cpu")
TINY = Shape("tiny", 128, 192, 2, 4, 2, 32, 300, "bfloat16", rope_theta=500.0)
IS_5 = int(transformers.__version__.split(".")[0]) >= 5
needs_5 = pytest.mark.skipif(not IS_5, reason="the transformers engine needs transformers 5")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    usual = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.no_grad():
        yield
    torch.set_num_threads(usual)


@pytest.fixture
def weights() -> Weights:
    drawn = random_weights(TINY, CPU)
    prune_random(drawn, 0.5)
    for at, block in enumerate(drawn.blocks):
        block.attention_norm.mul_(1 + at)  # norms that are mixed up must show
        block.feed_forward_norm.mul_(0.5)
    return drawn


def generate(decoder: Any, count: int = 5) -> list[Any]:
    """Logits of a prompt and of `count` steps, which must follow the given tokens."""
    ids = torch.randint(0, TINY.vocabulary, (2, 7), generator=torch.Generator().manual_seed(3))
    logits = [decoder.prompt(ids).float().clone()]
    for token in range(count):
        decoder.tokens.fill_(11 * token + 1)
        logits.append(decoder.step().float().clone())
    return logits


def assert_same(found: list[Any], expected: list[Any]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert ((one - other).norm() / other.norm()).item() < 0.02


@needs_5
def test_steps_are_those_of_transformers(weights: Weights) -> None:
    ours = Decoder(weights, dense_linears(weights), Glue(), batch=2, length=64)
    theirs = StockDecoder(weights, stock_dense(weights), batch=2, length=64)
    expected = generate(theirs)
    assert_same(generate(ours), expected)
    # a second prompt starts over
    assert_same(generate(ours), expected)
    assert_same(generate(theirs), expected)
    assert ours.cache_bytes == theirs.cache_bytes


@needs_5
def test_packed_steps_are_the_dense_ones(weights: Weights) -> None:
    dense = generate(Decoder(weights, dense_linears(weights), Glue(), batch=2, length=64))
    packed = Decoder(weights, packed_linears(weights), Glue(), batch=2, length=64)
    assert_same(generate(packed), dense)
    stock = StockDecoder(weights, stock_packed(weights), batch=2, length=64)
    assert_same(generate(stock), dense)


class NoWaiting(TorchDispatchMode):  # type: ignore[misc]
    """Refuses operators that make the host wait for a value, which no CUDA graph can hold."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = str(func)
        assert not any(word in name for word in ("_local_scalar_dense", "nonzero", "equal.")), name
        return func(*args, **(kwargs or {}))


@needs_5
@pytest.mark.parametrize("engine", ["fused", "transformers"])
def test_a_step_can_be_captured(weights: Weights, engine: str) -> None:
    if engine == "fused":
        decoder: Any = Decoder(weights, dense_linears(weights), Glue(), batch=2, length=64)
    else:
        decoder = StockDecoder(weights, stock_dense(weights), batch=2, length=64)
    decoder.prompt(torch.zeros((2, 7), dtype=torch.int64))
    decoder.rewind(7)
    with NoWaiting():
        decoder.step()
    assert decoder.position.item() == 8


def test_prunes_to_the_share_that_is_asked_for() -> None:
    drawn = random_weights(TINY, CPU)
    for sparsity in (0.5, 0.7):
        found = prune_random(drawn, sparsity)
        assert abs(found - sparsity) < 0.01
        assert bytes_of(packed_linears(drawn)) < bytes_of(dense_linears(drawn))
        assert all((matrix == 0).float().mean() > 0.45 for matrix in drawn.matrices())


def test_knows_the_models_of_the_targets() -> None:
    def parameters(shape: Shape) -> float:
        inner = shape.head_dim * (2 * shape.heads + 2 * shape.kv_heads)
        block = shape.hidden * (inner + 3 * shape.intermediate + 2)
        return (shape.layers * block + (2 * shape.vocabulary + 1) * shape.hidden) / 1e9

    found = {name: round(parameters(shape), 3) for name, shape in SHAPES.items()}
    assert found == {"llama-2-7b": 6.738, "llama-3-8b": 8.03, "llama-2-13b": 13.016}


@needs_5
def test_reports_what_it_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(shapes.SHAPES, "tiny", TINY)
    written = {"--json": tmp_path / "report.json", "--markdown": tmp_path / "report.md"}
    arguments = "--model tiny --device cpu --glue plain --engine fused,transformers --batch 1,2 "
    arguments += "--sparsity 0.5 --prompt 5 --tokens 2 --rounds 2 --prefill 9 --kernels"
    files = [str(part) for pair in written.items() for part in pair]
    assert main([*arguments.split(), *files]) == 0
    report = json.loads(written["--json"].read_text())
    assert report["schema"] == SCHEMA
    assert report["command"] == f"spinfer-bench-hf {arguments}"
    assert report["noEnergyBecause"] != ""
    (model,) = report["models"]
    assert [(row["engine"], row["batch"]) for row in model["decode"]] == [
        ("fused", 1),
        ("fused", 2),
        ("transformers", 1),
        ("transformers", 2),
    ]
    for row in model["decode"]:
        assert row["speedup"] > 0
        assert row["logitsDiffer"]["step"] < 0.05
        for side in (row["dense"], row["sparse"]):
            assert len(side["stepMs"]["samples"]) == 2
            assert sum(side["partsMs"].values()) == pytest.approx(side["stepMs"]["median"])
            assert side["peakBytes"] >= side["weightBytes"] + side["cacheBytes"]
        assert row["dense"]["weightBytes"] > row["sparse"]["weightBytes"]
    assert len(model["prefill"]) == 2
    assert written["--markdown"].read_text() == markdown(report) == capsys.readouterr().out


def check_loading(loading: Any, rounds: int) -> None:
    assert loading["device"] == "cpu"
    assert loading["fileBytes"]["dense"] > loading["fileBytes"]["sparse"]
    assert (loading["cold"] is None) == (loading["noColdBecause"] != "")
    for kind in ("warm", "cold"):
        for side in ("dense", "sparse"):
            if loading[kind] is not None:
                assert len(loading[kind][side]["seconds"]) == rounds
                assert min(loading[kind][side]["seconds"]) > 0
                assert len(loading[kind][side]["storageBytes"]) == rounds


@needs_5
def test_times_loading_of_random_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(shapes.SHAPES, "tiny", TINY)
    kept: dict[str, Any] = {}
    measured = main_module.measure_loading

    def looked_at(sides: dict[str, Path], *rest: Any) -> Any:
        models = {side: main_module.load(path, CPU)[0] for side, path in sides.items()}
        kept["logits"] = {
            side: model(torch.tensor([[1, 5, 9]])).logits for side, model in models.items()
        }
        kept["layers"] = models["dense"].config.num_hidden_layers
        kept["path"] = sides["dense"].parent
        check_folder(sides["sparse"])
        return measured(sides, *rest)

    monkeypatch.setattr(main_module, "measure_loading", looked_at)
    arguments = "--model tiny --device cpu --glue plain --batch 1 --sparsity 0.5 --prompt 5"
    arguments += f" --tokens 2 --rounds 1 --prefill 0 --loading 1 --loads 2 --scratch {tmp_path}"
    assert main([*arguments.split(), "--json", str(tmp_path / "report.json")]) == 0
    (model,) = json.loads((tmp_path / "report.json").read_text())["models"]
    check_loading(model["loading"], 2)
    assert model["loading"]["layers"] == kept["layers"] == 1
    # both folders are the same model, and are gone
    torch.testing.assert_close(
        kept["logits"]["sparse"], kept["logits"]["dense"], rtol=2e-2, atol=2e-2
    )
    assert not kept["path"].exists()
    assert "| loading to cpu, page cache |" in capsys.readouterr().out


def check_folder(path: Path) -> None:
    """Every packed weight is what the format demands, CRCs included."""
    checkpoint = spinfer.open_folder(path)
    packed = [name for name, tensor in checkpoint.tensors.items() if tensor.packed]
    assert len(packed) == 7
    for name in packed:
        checkpoint.packed(name)


def test_refuses_what_it_cannot_measure(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, words in (
        ([], "nothing to measure"),
        (["--model", "gpt-7"], "no model or engine gpt-7"),
        (["--model", "llama-2-7b", "--sparsity", "1.5"], "between 0 and 1"),
        (["--model", "llama-2-7b", "--batch", "0"], "below 1"),
        (["--model", "llama-2-7b", "--loads", "0"], "below 1"),
    ):
        assert main([*arguments, "--device", "cpu"]) == 1
        assert words in capsys.readouterr().err
