"""The table of runtimes, on the demo model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from conftest import ROOT, cli, needs_cli, refused  # noqa: E402

import spinfer  # noqa: E402
from spinfer.runtimes import main as module  # noqa: E402
from spinfer.runtimes.main import RUNTIMES, main, merged, read_report  # noqa: E402

pytestmark = needs_cli
HAS_GPU = torch.cuda.is_available()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    out = tmp_path_factory.mktemp("runtimes")
    cli("prune", ROOT / "models" / "demo", "-o", out / "packed", "--sparsity", "0.6")
    spinfer.unpack(out / "packed", out / "dense")
    return out / "packed", out / "dense"


def run(folders: tuple[Path, Path], out: Path, *options: str) -> tuple[int, Any]:
    command = [*map(str, folders), "--tokens", "3", "--rounds", "1", *options]
    status = main([*command, "--json", str(out / "report.json")])
    return status, json.loads((out / "report.json").read_text())


def test_runs_every_runtime_that_is_here(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, report = run(folders, tmp_path, "--markdown", str(tmp_path / "table.md"))
    assert [row["runtime"] for row in report["rows"]] == list(RUNTIMES)
    for row in report["rows"]:
        assert row["failed"] == "", row
        if row["notRun"]:
            assert row["runtime"] != "NumPy"
            continue
        assert row["equal"]["is"], row
        assert row["tokensPerSecond"]["packed"] > 0
        assert row["memoryBytes"]["packed"] > 0
        if row["runtime"] != "C example":
            assert row["memoryBytes"]["packed"] < row["memoryBytes"]["dense"]
    not_run = {row["runtime"] for row in report["rows"] if row["notRun"]}
    if not HAS_GPU:
        assert {"PyTorch CUDA", "transformers CUDA"} <= not_run
    assert not {"PyTorch CPU", "transformers CPU"} & not_run
    if shutil.which("gcc") and shutil.which("g++"):
        assert not {"C example", "torch.compile"} & not_run
    assert status == 0
    table = (tmp_path / "table.md").read_text()
    assert table == capsys.readouterr().out
    assert table.count("| transformers CUDA | ") == 1
    assert HAS_GPU or "| transformers CUDA | not run: no GPU |" in table


def test_another_dense_folder_is_not_equal(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = (folders[0], ROOT / "models" / "demo")
    for name in ("NumPy", "PyTorch CPU", "transformers CPU"):
        status, report = run(other, tmp_path, "--only", name)
        (row,) = report["rows"]
        assert row["equal"]["is"] is False, row
        assert status == 1
    assert "**no**: logits differ" in capsys.readouterr().out


def test_a_failure_is_a_row(folders: tuple[Path, Path], tmp_path: Path) -> None:
    status, report = run((folders[0], tmp_path / "nothing"), tmp_path, "--only", "NumPy")
    assert status == 1
    assert report["rows"][0]["failed"].startswith("KeyError")
    assert main([str(tmp_path / "nothing"), str(folders[1])]) == 1


def row(name: str, *, gpu: str | None = None, not_run: str = "", failed: str = "") -> Any:
    values = {"packed": 1.0, "dense": None}
    return {
        "runtime": name,
        "command": "x",
        "notRun": not_run,
        "failed": failed,
        "where": {"created": "2026-11-26T", "processor": "p", "gpu": gpu, "versions": {}},
        "loadSeconds": values,
        "equal": {"is": True, "how": "h"},
        "tokensPerSecond": values,
        "memoryBytes": values,
        "measured": "m",
        "remembered": "r",
    }


def test_rows_of_a_gpu_are_merged(tmp_path: Path) -> None:
    here = [row("NumPy"), row("torch.compile"), row("transformers CUDA", not_run="no GPU")]
    there = [row(name, gpu="G") for name in ("PyTorch CUDA", "torch.compile", "transformers CUDA")]
    names = [(one["runtime"], one["where"]["gpu"]) for one in merged(here, there)]
    assert names == [
        ("NumPy", None),
        ("PyTorch CUDA", "G"),
        ("torch.compile", "G"),
        ("transformers CUDA", "G"),
    ]
    failed = [row("torch.compile", gpu="G", failed="no")]
    assert merged(here, failed)[1]["where"]["gpu"] is None
    path = tmp_path / "there.json"
    path.write_text(json.dumps({"schema": module.SCHEMA, "rows": there}))
    assert read_report(path) == there


def test_damaged_reports_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    broken = {key: value for key, value in row("NumPy").items() if key != "equal"}
    for text in (
        "",
        "[]",
        '{"schema": "spinfer.runtimes/2", "rows": []}',
        json.dumps({"schema": module.SCHEMA, "rows": [row("Perl")]}),
        json.dumps({"schema": module.SCHEMA, "rows": [broken]}),
    ):
        path.write_text(text)
        with refused("E_RECORD", "report.json"):
            read_report(path)
    with refused("E_RECORD"):
        read_report(tmp_path / "nothing")
