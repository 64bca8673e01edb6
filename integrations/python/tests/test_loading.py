"""Packed weights on their way to a device that is not the CPU: the meta device stands for one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from conftest import Folder, refused  # noqa: E402

from spinfer import open_folder  # noqa: E402
from spinfer.matrix import read_meta  # noqa: E402
from spinfer.torch import SpinferLinear  # noqa: E402
from spinfer.torch.loading import Expected, load  # noqa: E402


def expected(path: Path, device: str, names: tuple[str, ...] = ("a", "b")) -> list[Expected]:
    checkpoint = open_folder(path)
    found = []
    for name in names:
        tensor = checkpoint.tensors[f"{name}.weight"]
        assert tensor.meta is not None
        meta_bytes = checkpoint.bytes_of(tensor.meta)
        meta = read_meta(meta_bytes)
        layer = SpinferLinear(meta, device="meta")
        place = torch.device(device)
        file, entry = path / tensor.stored.file, tensor.stored.entry
        found.append(Expected(layer, file, entry, meta_bytes, meta, place))
    return found


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_layers_hold_the_tensors_of_the_file(folder: Any, device: str) -> None:
    made: Folder = folder()
    ready = expected(made.write(), device)
    load(ready)
    for one, name in zip(ready, ("a", "b"), strict=True):
        for part in ("weight", "weight_meta"):
            found = getattr(one.layer, part)
            stored = made.tensors[f"{name}.{part}"][2]
            assert found.device.type == device
            assert found.dtype == torch.int64
            assert 8 * found.numel() == len(stored)
            if device == "cpu":
                assert found.numpy().tobytes() == stored


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_contents_are_checked_on_the_way(folder: Any, device: str) -> None:
    made: Folder = folder()
    dtype, shape, data = made.tensors["b.weight"]
    made.tensors["b.weight"] = (dtype, shape, data[:300] + bytes([data[300] ^ 1]) + data[301:])
    ready = expected(made.write(), device)
    with pytest.raises(Exception, match=r"\[E_(TB_\w+|HASH)\] .*model.safetensors: b.weight"):
        load(ready)


def test_a_file_that_was_cut_meanwhile_is_refused(folder: Any) -> None:
    made: Folder = folder()
    path = made.write()
    ready = expected(path, "meta")
    file = path / "model.safetensors"
    file.write_bytes(file.read_bytes()[: ready[0].payload.begin + 100])
    with refused("E_ST_TRUNCATED", "ends after"):
        load(ready)
    file.unlink()
    for device in ("cpu", "meta"):
        again = [Expected(**{**vars(one), "device": torch.device(device)}) for one in ready]
        with refused("E_IO", "model.safetensors"):
            load(again)


def test_odd_places_are_copied(folder: Any) -> None:
    made: Folder = folder()
    file = made.write() / "model.safetensors"
    ready = expected(made.path, "cpu", ("a",))
    data = file.read_bytes()
    file.write_bytes(b"\0" + data)
    entry = ready[0].payload
    moved = type(entry)(entry.name, entry.dtype, entry.shape, entry.begin + 1, entry.end + 1)
    load([Expected(**{**vars(ready[0]), "payload": moved})])
    assert ready[0].layer.weight.numpy().tobytes() == made.tensors["a.weight"][2]
