"""`from_pretrained` on folders that the command line made, against their dense twins."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from conftest import ROOT, Prune, cli, needs_cli, refused  # noqa: E402
from loaded import DTYPE, IS_5, in_two_halves, layers, load, logits  # noqa: E402
from torch.nn import functional  # noqa: E402

import spinfer  # noqa: E402
from spinfer import folder as folder_module  # noqa: E402
from spinfer import planner  # noqa: E402
from spinfer import transformers as quantizer  # noqa: E402
from spinfer.torch import SpinferLinear, loading, operator  # noqa: E402

pytestmark = needs_cli


def test_without_the_import_transformers_raises(demo: tuple[Path, Path]) -> None:
    script = (
        "import sys; from transformers import AutoModelForCausalLM; "
        "assert 'spinfer' not in sys.modules; AutoModelForCausalLM.from_pretrained(sys.argv[1])"
    )
    command = [sys.executable, "-c", script, str(demo[0])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert re.search(r"^(RuntimeError|ValueError): ", done.stderr, re.MULTILINE)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_logits_are_those_of_the_dense_folder(
    demo: tuple[Path, Path], dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operator, "BLOCK_WEIGHTS", 1 << 14)
    sparse, dense = (load(folder, dtype) for folder in demo)
    assert len(layers(sparse)) == 28
    expected = logits(dense)
    found = logits(sparse)
    with monkeypatch.context() as patch:
        patch.setattr(functional, "linear", in_two_halves)
        noise = (logits(dense) - expected).abs().max()
    assert noise > 0
    assert (found - expected).abs().max() <= 2 * noise
    assert torch.isfinite(found).all()


def test_generates_the_same_tokens_as_dense(demo: tuple[Path, Path]) -> None:
    ids = torch.tensor([[1, 100, 120, 130]])
    texts = [
        load(folder, torch.float32).generate(ids, max_new_tokens=12, do_sample=False).tolist()
        for folder in demo
    ]
    assert texts[0] == texts[1]
    assert len(texts[0][0]) > 4


def test_is_smaller_in_memory(demo: tuple[Path, Path]) -> None:
    sparse = load(demo[0])
    packed = sum(8 * (layer.weight.numel() + layer.weight_meta.numel()) for layer in layers(sparse))
    dense = sum(2 * layer.in_features * layer.out_features for layer in layers(sparse))
    assert packed / dense <= 0.47


def test_saves_what_it_loaded(demo: tuple[Path, Path], tmp_path: Path) -> None:
    model = load(demo[0])
    model.save_pretrained(tmp_path / "saved")
    settings = json.loads((tmp_path / "saved" / "config.json").read_text())["quantization_config"]
    assert settings["quant_method"] == "spinfer"
    assert "tensors" not in settings  # there is no manifest of this folder
    before, after = spinfer.open_folder(demo[0]), spinfer.open_folder(tmp_path / "saved")
    assert before.tensors.keys() == after.tensors.keys()
    for name in before.tensors:
        assert before.stored_bytes(name).tobytes() == after.stored_bytes(name).tobytes()
    assert torch.equal(logits(load(tmp_path / "saved")), logits(model))
    cli("convert", tmp_path / "saved", "-o", tmp_path / "dense", "--to", "dense")
    assert torch.equal(logits(load(tmp_path / "dense")), logits(load(demo[1])))


def test_packed_weights_are_read_once(
    demo: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    maps: list[Any] = []
    map_file = loading.map_file

    def watched(path: Path) -> Any:
        maps.append(map_file(path))
        return maps[-1]

    def never(*_: Any) -> None:
        raise AssertionError("a payload is read beside the map")

    monkeypatch.setattr(loading, "map_file", watched)
    monkeypatch.setattr(loading, "read_into", never)
    read: list[str] = []
    read_bytes = folder_module.read_bytes

    def seen(path: Path, entry: Any) -> Any:
        read.append(entry.name)
        return read_bytes(path, entry)

    monkeypatch.setattr(folder_module, "read_bytes", seen)
    model = load(demo[0])
    (mapped,) = maps
    begin, end = mapped.ctypes.data, mapped.ctypes.data + len(mapped)
    # what the layers hold is the map that was checked, and nobody read it beforehand
    assert all(begin <= layer.weight.data_ptr() < end for layer in layers(model))
    assert all(name.endswith("_meta") for name in read)
    assert type(layers(model)[0]) is SpinferLinear
    assert {"weight", "weight_meta"} <= set(layers(model)[0].state_dict())


def test_nothing_is_reported_as_unexpected(demo: tuple[Path, Path]) -> None:
    _, info = transformers.AutoModelForCausalLM.from_pretrained(
        demo[0], output_loading_info=True, **{DTYPE: "auto"}
    )
    assert not info["unexpected_keys"]
    assert set(info["missing_keys"]) <= {"lm_head.weight"}


GPU = planner.Gpu("A GPU", "1.2.3")


def tuned(folder: Path, **changes: Any) -> Path:
    """A tune.json that finds up_proj of the demo model at 60 % slower packed, k_proj faster."""
    common = {"gpu": GPU.name, "driver": GPU.driver, "library": spinfer.__version__}
    common |= {"dtype": "BF16", "sparsity": 60, "denseUs": 2.0, "measured": "2026-11-26T12:00:00Z"}
    entries = [
        {**common, "rows": 640, "cols": 256, "tokens": 1, "sparseUs": 1.9},
        {**common, "rows": 640, "cols": 256, "tokens": 16, "sparseUs": 2.2},
        {**common, "rows": 128, "cols": 256, "tokens": 1, "sparseUs": 1.8},
    ]
    folder.mkdir(exist_ok=True)
    content = {"schema": "spinfer.tune/1", "entries": [{**entry, **changes} for entry in entries]}
    (folder / "tune.json").write_text(json.dumps(content))
    return folder


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Takes the CPU for a GPU whose measurements lie in the folder that it returns."""
    monkeypatch.setattr(quantizer, "_gpu_of", lambda _: GPU)
    monkeypatch.setenv(planner.CACHE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_what_is_faster_dense_is_kept_dense(
    demo: tuple[Path, Path], gpu: Path, tmp_path: Path
) -> None:
    tuned(gpu)
    model = load(demo[0])
    names = {name for name, module in model.named_modules() if isinstance(module, SpinferLinear)}
    assert len(names) == 20
    assert not any("up_proj" in name or "gate_proj" in name for name in names)
    kept = model.model.layers[0].mlp.up_proj
    assert type(kept) is torch.nn.Linear
    assert not list(kept.buffers())  # never both forms
    assert torch.equal(logits(model), logits(load(demo[1])))
    model.save_pretrained(tmp_path / "saved")
    saved = spinfer.open_folder(tmp_path / "saved").tensors
    assert sum(tensor.packed for tensor in saved.values()) == 20


@pytest.mark.parametrize(
    "changes", [{"gpu": "another"}, {"driver": "1"}, {"library": "0.0.1"}, {"sparsity": 50}]
)
def test_measurements_of_something_else_do_not_count(
    demo: tuple[Path, Path], gpu: Path, changes: dict[str, Any]
) -> None:
    tuned(gpu, **changes)
    assert len(layers(load(demo[0]))) == 28


def test_a_damaged_tuning_cache_is_refused(demo: tuple[Path, Path], gpu: Path) -> None:
    assert len(layers(load(demo[0]))) == 28  # there is none
    for text in ("", "{", "[]", '{"schema":"spinfer.tune/2","entries":[]}'):
        gpu.mkdir(exist_ok=True)
        (gpu / "tune.json").write_text(text)
        with refused("E_TUNE_CACHE", "tune.json"):
            load(demo[0])
    for changes in ({"rows": "640"}, {"denseUs": 0}, {"sparseUs": None}, {"gpu": 7}):
        tuned(gpu, **changes)
        with refused("E_TUNE_CACHE", "spinfer.tune/1"):
            load(demo[0])


def test_embeddings_stay_tied_and_dense(demo: tuple[Path, Path]) -> None:
    model = load(demo[0])
    assert model.config.tie_word_embeddings
    assert model.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()
    assert not isinstance(model.lm_head, SpinferLinear)


def test_loads_shards_and_the_base_model(prune: Prune) -> None:
    sparse, dense = prune(ROOT / "models" / "demo", "--max-shard-size", "1MB")
    assert len(list(sparse.glob("*.safetensors"))) > 1
    assert torch.equal(logits(load(sparse)), logits(load(dense)))
    base = transformers.AutoModel.from_pretrained(sparse)
    assert len(layers(base)) == 28


@pytest.mark.parametrize("device_map", ["cpu", "auto", {"": "cpu"}])
def test_takes_a_device_map(demo: tuple[Path, Path], device_map: Any) -> None:
    pytest.importorskip("accelerate")
    model = load(demo[0], device_map=device_map)
    assert len(layers(model)) == 28
    on_cpu = all(layer.weight.device.type == "cpu" for layer in layers(model))
    if on_cpu:
        assert torch.equal(logits(model), logits(load(demo[0])))


def test_offloading_to_disk_is_refused(demo: tuple[Path, Path]) -> None:
    pytest.importorskip("accelerate")
    with refused("E_GPU_UNSUPPORTED", "disk"):
        load(demo[0], device_map={"": "disk"}, offload_folder="unused")


def test_becomes_dense_again(demo: tuple[Path, Path]) -> None:
    model = load(demo[0])
    dense = model.dequantize()
    assert layers(dense) == []
    assert torch.equal(logits(dense), logits(load(demo[1])))


def small(kind: str, folder: Path) -> Path:
    """A model with random weights: biases and an untied head, or GPT-2's transposed weights."""
    torch.manual_seed(3)
    common = {"vocab_size": 300, "bos_token_id": 1, "eos_token_id": 2}
    if kind == "qwen2":
        config = transformers.Qwen2Config(
            hidden_size=96,
            intermediate_size=160,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            tie_word_embeddings=False,
            **common,
        )
        model = transformers.Qwen2ForCausalLM(config)
    else:
        config = transformers.GPT2Config(n_embd=96, n_layer=2, n_head=4, n_positions=128, **common)
        model = transformers.GPT2LMHeadModel(config)
    model.to(torch.float16).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(("kind", "packed"), [("qwen2", 14), ("gpt2", 8)])
def test_loads_biases_and_transposed_weights(
    kind: str, packed: int, prune: Prune, tmp_path: Path
) -> None:
    sparse, dense = prune(small(kind, tmp_path / "model"))
    models = [load(folder, torch.float32) for folder in (sparse, dense)]
    assert len(layers(models[0])) == packed
    assert any(layer.bias is not None for layer in layers(models[0]))
    torch.testing.assert_close(logits(models[0]), logits(models[1]), rtol=1e-4, atol=1e-4)


def mixture(kind: str, folder: Path) -> Path:
    """A model with experts: 4.x has a linear layer for each of their weights, 5.x merges them."""
    torch.manual_seed(4)
    common = {"vocab_size": 300, "bos_token_id": 1, "eos_token_id": 2, "hidden_size": 64}
    common |= {"intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
    common |= {"num_key_value_heads": 2, "num_experts_per_tok": 2}
    if kind == "mixtral":
        config = transformers.MixtralConfig(**common, num_local_experts=4)
        model = transformers.MixtralForCausalLM(config)
    else:
        sizes = {"moe_intermediate_size": 64, "shared_expert_intermediate_size": 64}
        config = transformers.Qwen2MoeConfig(**common, **sizes, num_experts=4)
        model = transformers.Qwen2MoeForCausalLM(config)
    model.to(torch.bfloat16).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(("kind", "outside"), [("mixtral", 8), ("qwen2-moe", 14)])
def test_experts_are_packed_or_refused(
    kind: str, outside: int, prune: Prune, tmp_path: Path
) -> None:
    model = mixture(kind, tmp_path / "model")
    sparse, dense = prune(model)
    packed = sum(tensor.packed for tensor in spinfer.open_folder(sparse).tensors.values())
    assert packed == outside + 24
    if IS_5:
        with refused("E_ARCH_SHAPE", "has no linear layer"):
            load(sparse)
    else:
        loaded = load(sparse)
        assert len(layers(loaded)) == packed
        assert torch.equal(logits(loaded), logits(load(dense)))
    # what else is packed works beside experts that are left dense
    sparse, dense = prune(model, "--ignore", "*experts*")
    loaded = load(sparse)
    assert len(layers(loaded)) == outside
    assert torch.equal(logits(loaded), logits(load(dense)))
