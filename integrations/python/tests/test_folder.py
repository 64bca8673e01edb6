"""Model folders: pairs, versions, shards, manifests, and unpacking."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, Folder, random_bits, refused, write_safetensors

from spinfer import check_manifest, open_folder, unpack
from spinfer.unpacking import main

Make = Callable[[], Folder]


def test_reads_packed_and_plain_tensors(folder: Make) -> None:
    checkpoint = open_folder(folder().path)
    shapes = {name: (tensor.dtype, tensor.shape) for name, tensor in checkpoint.tensors.items()}
    assert shapes == {
        "a.weight": ("BF16", (70, 130)),
        "b.weight": ("BF16", (50, 20)),
        "c.weight": ("BF16", (5, 9)),
        "norm.weight": ("F32", (7,)),
    }
    assert checkpoint.tensors["b.weight"].header is not None
    assert checkpoint.tensors["b.weight"].header.transposed
    for name, seed in (("a", 1), ("b", 2)):
        tensor = checkpoint.tensors[f"{name}.weight"]
        bits = random_bits(seed, *tensor.shape, dtype="BF16")
        assert checkpoint.stored_bytes(f"{name}.weight").tobytes() == bits.tobytes()
        widened = checkpoint.load(f"{name}.weight")
        np.testing.assert_array_equal(widened.view(np.uint32) >> 16, bits)
    np.testing.assert_array_equal(checkpoint.load("norm.weight"), np.arange(7, dtype=np.float32))
    with refused("E_TB_PAIR", "not packed"):
        checkpoint.packed("c.weight")
    with refused("E_TB_PAIR", "no such tensor"):
        checkpoint.load("d.weight")


def test_refuses_weights_without_their_meta_and_the_other_way_round(folder: Make) -> None:
    made = folder()
    for missing, words in (("a.weight_meta", "weight_meta is missing"), ("a.weight", "weight is")):
        kept = {name: tensor for name, tensor in made.tensors.items() if name != missing}
        write_safetensors(made.path / "model.safetensors", kept)
        with refused("E_TB_PAIR", words):
            open_folder(made.path)
    dtype, shape, data = made.tensors["a.weight"]
    for changed in (("U8", (len(data),), data), ("I64", (1, *shape), data)):
        made.tensors["a.weight"] = changed
        with refused("E_TB_PAIR", "not I64 with one dimension"):
            open_folder(made.write())
    made.tensors["a.weight"] = (dtype, (shape[0] + 2,), data + bytes(16))
    with refused("E_TB_PAIR", "its weight_meta says"):
        open_folder(made.write())


@pytest.mark.parametrize("version", ["2.0", "1", "", None, 1.0])
def test_refuses_other_versions(version: object, folder: Make) -> None:
    made = folder()
    made.configure(format_version=version)
    with refused("E_TB_VERSION"):
        open_folder(made.path)


def test_refuses_other_folders(folder: Make, tmp_path: Path) -> None:
    with refused("E_MODEL_NOT_FOUND"):
        open_folder(tmp_path / "nothing")
    made = folder()
    made.configure(quant_method="gptq")
    with refused("E_MODEL_UNRECOGNISED"):
        open_folder(made.path)
    config = made.path / "config.json"
    for text in ("[]", "{", '{"a":1,"a":2}', ""):
        config.write_text(text)
        with refused("E_CONFIG"):
            open_folder(made.path)
    config.unlink()
    with refused("E_CONFIG", "no config.json"):
        open_folder(made.path)
    made.configure()
    (made.path / "model.safetensors").unlink()
    with refused("E_MODEL_UNRECOGNISED", "not clear which"):
        open_folder(made.path)
    (made.path / "model.safetensors").mkdir()
    with refused("E_NOT_REGULAR"):
        open_folder(made.path)


def test_a_truncated_or_altered_shard_is_refused(folder: Make) -> None:
    made = folder()
    file = made.path / "model.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    with refused("E_ST_TRUNCATED"):
        open_folder(made.path)
    checkpoint = open_folder(made.write())
    file.write_bytes(whole[:-40])
    with refused("E_ST_TRUNCATED"):
        checkpoint.load("norm.weight")
    at = whole.index(made.tensors["a.weight"][2]) + 300
    file.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
    with refused("E_HASH", "a.weight: the payload does not match its CRC-32"):
        open_folder(made.path).load("a.weight")


def shard(made: Folder) -> dict[str, object]:
    """Splits the folder's file in two and writes the index."""
    (made.path / "model.safetensors").unlink()
    names = list(made.tensors)
    weight_map: dict[str, object] = {}
    for i, part in enumerate((names[:2], names[2:]), start=1):
        file = f"model-0000{i}-of-00002.safetensors"
        write_safetensors(made.path / file, {name: made.tensors[name] for name in part})
        weight_map |= dict.fromkeys(part, file)
    write_index(made, weight_map)
    return weight_map


def write_index(made: Folder, weight_map: object) -> None:
    index = {"metadata": {"total_size": 1}, "weight_map": weight_map}
    (made.path / "model.safetensors.index.json").write_text(json.dumps(index))


def test_reads_and_unpacks_shards(folder: Make, tmp_path: Path) -> None:
    made = folder()
    single = open_folder(made.path)
    expected = {name: single.load(name) for name in single.tensors}
    shard(made)
    done = unpack(made.path, tmp_path / "dense")
    assert (done.tensors, done.packed, done.hashes_checked) == (4, 2, False)
    index = json.loads((done.folder / "model.safetensors.index.json").read_text())
    assert set(index["weight_map"]) == set(expected)
    assert index["metadata"]["total_size"] == done.bytes
    sharded = open_folder(made.path)
    for name, values in expected.items():
        np.testing.assert_array_equal(sharded.load(name), values)


SHARD_FAULTS = [
    ("E_SHARD_MISSING", "model-00003-of-00003.safetensors"),
    ("E_PATH_ESCAPE", "../model.safetensors"),
    ("E_PATH_ESCAPE", "/etc/passwd.safetensors"),
    ("E_PATH_ESCAPE", "a\\b.safetensors"),
    ("E_PATH_ESCAPE", "NUL.safetensors"),
    ("E_PATH_ESCAPE", "x" * 300 + ".safetensors"),
    ("E_INDEX_EXT", "pytorch_model.bin"),
    ("E_INDEX", 3),
]


@pytest.mark.parametrize(("code", "name"), SHARD_FAULTS)
def test_refuses_an_index(code: str, name: object, folder: Make) -> None:
    made = folder()
    weight_map = shard(made)
    write_index(made, {**weight_map, "a.weight": name})
    with refused(code):
        open_folder(made.path)


def test_refuses_an_index_that_disagrees_with_its_shards(folder: Make) -> None:
    made = folder()
    weight_map = shard(made)
    first = weight_map["a.weight"]
    for wrong in ({**weight_map, "c.weight": first}, {**weight_map, "z": first}):
        write_index(made, wrong)
        with refused("E_INDEX_MISMATCH"):
            open_folder(made.path)
    index = made.path / "model.safetensors.index.json"
    index.write_text(f'{{"weight_map":{{"a":"{first}","a":"{first}"}}}}')
    with refused("E_INDEX_DUP"):
        open_folder(made.path)


def write_manifest(made: Folder) -> Path:
    checkpoint = open_folder(made.path)
    files = [
        {
            "path": path.name,
            "bytes": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in sorted(made.path.iterdir())
    ]
    tensors = {name: {"shape": list(t.shape)} for name, t in checkpoint.tensors.items()}
    manifest = {"schema": "spinfer.manifest/1", "files": files, "tensors": tensors}
    text = json.dumps({**manifest, "manifest_sha256": "0" * 64}, indent=2) + "\n"
    digest = hashlib.sha256(text.encode()).hexdigest()
    path = made.path / "spinfer_manifest.json"
    path.write_text(text.replace("0" * 64, digest))
    return path


def test_compares_a_folder_with_its_manifest(folder: Make, tmp_path: Path) -> None:
    made = folder()
    with refused("E_NO_MANIFEST"):
        check_manifest(open_folder(made.path))
    path = write_manifest(made)
    check_manifest(open_folder(made.path))
    assert unpack(made.path, tmp_path / "dense").hashes_checked
    text = path.read_text()
    path.write_text(text.replace('"bytes": ', '"bytes":  ', 1))
    with refused("E_MANIFEST", "its own hash"):
        check_manifest(open_folder(made.path))
    path.write_text(text[:-2])
    with refused("E_MANIFEST", "does not end with its own hash"):
        unpack(made.path, tmp_path / "other")
    path.write_text(text)
    config = made.path / "config.json"
    config.write_text(config.read_text() + " ")
    with refused("E_HASH", "config.json"):
        unpack(made.path, tmp_path / "other")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["dense", "model"]


def test_two_weights_of_one_shape_cannot_be_swapped_unnoticed(folder: Make) -> None:
    made = folder()
    made.tensors["z.weight"] = ("BF16", (5, 9), random_bits(8, 5, 9, dtype="BF16").tobytes())
    made.write()
    write_manifest(made)
    swapped = {"z.weight": made.tensors["c.weight"], "c.weight": made.tensors["z.weight"]}
    made.tensors |= swapped
    with refused("E_HASH"):
        check_manifest(open_folder(made.write()))


def test_unpacks_into_a_new_folder_only(folder: Make, tmp_path: Path) -> None:
    made = folder()
    for name in ("tokenizer.json", "README.md", "LICENSE.md", "code.py", "x.bin", ".hidden"):
        (made.path / name).write_text("{}")
    done = unpack(made.path, tmp_path / "dense")
    assert sorted(path.name for path in done.folder.iterdir()) == [
        "LICENSE.md",
        "config.json",
        "model.safetensors",
        "tokenizer.json",
    ]
    assert json.loads((done.folder / "config.json").read_text()) == {"model_type": "x"}
    with refused("E_OUTPUT_EXISTS"):
        unpack(made.path, tmp_path / "dense")
    with refused("E_PATH"):
        unpack(made.path, tmp_path / "no" / "dense")
    with refused("E_OUTPUT_IS_INPUT"):
        unpack(made.path, made.path / "dense")


def test_numbers_of_the_config_stay_as_they_are_written(folder: Make, tmp_path: Path) -> None:
    made = folder()
    path = made.path / "config.json"
    # transformers tells 0.0 from 0, and refuses one where it wants the other
    numbers = '"a": 0.0, "b": 0, "c": -1, "d": 1e-05, "e": 1e3, "f": -2.0, "g": [1.0, 1]'
    path.write_text(path.read_text().replace("{", f"{{{numbers}, ", 1))
    unpack(made.path, tmp_path / "dense")
    text = (tmp_path / "dense" / "config.json").read_text()
    found = json.loads(text)
    kinds = {key: type(value) for key, value in found.items() if len(key) == 1 and key != "g"}
    assert kinds == {"a": float, "b": int, "c": int, "d": float, "e": float, "f": float}
    assert [type(value) for value in found["g"]] == [float, int]
    assert (found["c"], found["d"], found["e"], found["f"]) == (-1, 1e-05, 1000, -2)


def test_what_the_system_refuses_has_a_code(folder: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    made = folder()
    checkpoint = open_folder(made.path)
    (made.path / "model.safetensors").unlink()
    with refused("E_IO", "No such file"):
        checkpoint.load("norm.weight")

    def denied(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", denied)
    with refused("E_IO", "config.json: Permission denied"):
        open_folder(made.path)


def test_a_failed_unpacking_leaves_nothing(folder: Make, tmp_path: Path) -> None:
    made = folder()
    dtype, shape, data = made.tensors["a.weight"]
    made.tensors["a.weight"] = (dtype, shape, data[:-16] + bytes([9]) * 16)
    made.write()
    with refused("E_HASH"):
        unpack(made.path, tmp_path / "dense")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_the_command(folder: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = folder()
    out = tmp_path / "dense"
    assert main([str(made.path), str(out)]) == 0
    assert "4 tensors, 2 unpacked" in capsys.readouterr().out
    assert main([str(made.path), str(out)]) == 3
    assert capsys.readouterr().err.startswith("error[E_OUTPUT_EXISTS]")
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2


def test_every_code_is_one_of_the_project() -> None:
    known = (ROOT / "src" / "core" / "errorCodes.ts").read_text()
    sources = (ROOT / "integrations" / "python" / "src").rglob("*.py")
    used = {code for path in sources for code in re.findall(r'"(E_[A-Z0-9_]+)"', path.read_text())}
    assert len(used) > 30
    assert [code for code in sorted(used) if f"  {code}: code(" not in known] == []


def test_importing_costs_neither_torch_nor_transformers() -> None:
    script = "import sys, spinfer; print({'torch', 'transformers'} & set(sys.modules))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "integrations" / "python" / "src")}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
