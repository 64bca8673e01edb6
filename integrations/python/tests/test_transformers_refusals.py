"""What `from_pretrained` refuses: damaged, missing and foreign folders, devices and dtypes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from conftest import ROOT, Prune, needs_cli, refused  # noqa: E402
from loaded import IS_5, load  # noqa: E402

import spinfer  # noqa: E402

pytestmark = needs_cli


def damaged(folder: Path, out: Path, change: Callable[[bytearray], bytearray]) -> Path:
    shutil.copytree(folder, out)
    file = out / "model.safetensors"
    file.write_bytes(change(bytearray(file.read_bytes())))
    return out


def test_a_damaged_shard_is_refused_before_anything_is_loaded(
    demo: tuple[Path, Path], tmp_path: Path
) -> None:
    entry = spinfer.open_folder(demo[0]).tensors["model.layers.1.mlp.up_proj.weight"].stored.entry

    def flip(data: bytearray) -> bytearray:
        data[entry.begin + 700] ^= 0x41
        return data

    with pytest.raises(spinfer.SpInferError, match=r"E_TB_|E_HASH") as caught:
        load(damaged(demo[0], tmp_path / "flipped", flip))
    assert caught.value.tensor == "model.layers.1.mlp.up_proj.weight"
    # 4.x opens the file itself before it asks us
    with pytest.raises(
        Exception, match=r"E_ST_TRUNCATED" if IS_5 else r"E_ST_|SafetensorError|fully"
    ):
        load(damaged(demo[0], tmp_path / "short", lambda data: data[:-1000]))


@pytest.mark.skipif(not IS_5, reason="4.x opens the shards itself before it asks us")
def test_shards_that_are_missing_or_elsewhere_are_refused(prune: Prune, tmp_path: Path) -> None:
    sparse = prune(ROOT / "models" / "demo", "--max-shard-size", "1MB")[0]
    shutil.copytree(sparse, tmp_path / "model")
    shards = sorted((tmp_path / "model").glob("*.safetensors"))
    shards[1].unlink()
    with refused("E_SHARD_MISSING", shards[1].name):
        load(tmp_path / "model")
    shutil.copy(sparse / shards[1].name, tmp_path / "other.safetensors")
    index = tmp_path / "model" / "model.safetensors.index.json"
    index.write_text(index.read_text().replace(shards[1].name, "../other.safetensors"))
    with refused("E_PATH_ESCAPE", "lie in 2 folders"):
        load(tmp_path / "model")


@pytest.mark.parametrize("key", ["to_dict", "__class__"])
def test_a_setting_does_not_take_the_place_of_a_method(
    demo: tuple[Path, Path], tmp_path: Path, key: str
) -> None:
    shutil.copytree(demo[0], tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    config = json.loads(path.read_text())
    config["quantization_config"][key] = 1
    path.write_text(json.dumps(config))
    with refused("E_CONFIG", key):
        load(tmp_path / "model")


@pytest.mark.parametrize("device_map", ["mps", {"": "xpu:0"}, {"": "nonsense"}])
def test_other_devices_are_refused_by_name(demo: tuple[Path, Path], device_map: Any) -> None:
    pytest.importorskip("accelerate")
    with refused("E_GPU_UNSUPPORTED", "device_map names"):
        load(demo[0], device_map=device_map)


def test_another_shape_or_version_is_refused(demo: tuple[Path, Path], tmp_path: Path) -> None:
    shutil.copytree(demo[0], tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "intermediate_size": 512}))
    with refused("E_ARCH_SHAPE", "which config.json gives"):
        load(tmp_path / "model")
    settings = {**config["quantization_config"], "format_version": "2.0"}
    path.write_text(json.dumps({**config, "quantization_config": settings}))
    with refused("E_TB_VERSION"):
        load(tmp_path / "model")


def test_another_dtype_is_refused_before_anything_is_loaded(demo: tuple[Path, Path]) -> None:
    with refused("E_DTYPE_UNSUPPORTED", "its packed weights are torch.bfloat16"):
        load(demo[0], torch.float16)


def test_a_packed_weight_without_a_layer_is_refused(
    demo: tuple[Path, Path], tmp_path: Path
) -> None:
    shutil.copytree(demo[0], tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "num_hidden_layers": 3}))
    with refused("E_ARCH_SHAPE", "has no linear layer model.layers.3"):
        load(tmp_path / "model")
