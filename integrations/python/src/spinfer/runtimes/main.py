"""A table of runtimes: loads, equal to the dense folder, tokens/s, memory.

Every runtime that this machine has is run on one packed folder and the dense folder of its weights
(`spinfer convert PACKED -o DENSE --to dense`). A row that cannot be run says why; `--merge` takes
such rows from the JSON of another machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import spinfer

from ..errors import SpInferError
from .hosts import run_c_example, run_numpy
from .rows import NotRun, Row, Settings
from .table import markdown
from .tensors import run_compiled, run_pytorch
from .whole import run_transformers

SCHEMA = "spinfer.runtimes/1"
MOST_SECONDS = 600
"""For one runtime."""

COMPILED = "torch.compile"
RUNTIMES: dict[str, Callable[[Settings], Row]] = {
    "NumPy": run_numpy,
    "C example": run_c_example,
    "PyTorch CPU": lambda settings: run_pytorch(settings, "cpu"),
    "PyTorch CUDA": lambda settings: run_pytorch(settings, "cuda"),
    COMPILED: run_compiled,
    "transformers CPU": lambda settings: run_transformers(settings, "cpu"),
    "transformers CUDA": lambda settings: run_transformers(settings, "cuda"),
}


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m spinfer.runtimes",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        description="Runs every runtime on a packed folder and the dense folder of its weights.",
    )
    add = made.add_argument
    add("packed", type=Path, help="a tile-bitmap folder")
    add("dense", type=Path, help="the dense folder of the same weights")
    add("--only", action="append", choices=list(RUNTIMES), help="one runtime; may be repeated")
    add("--tokens", type=int, default=16, help="tokens to generate, with transformers")
    add("--rounds", type=int, default=3, help="rounds that count, of which the best is shown")
    add("--merge", type=Path, action="append", default=[], help="JSON of a run elsewhere")
    add("--json", type=Path, help="write everything here")
    add("--markdown", type=Path, help="write the table here")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """The command: 1 when a runtime failed or was not equal to the dense folder."""
    options = parser().parse_args(arguments)
    settings = Settings(options.packed, options.dense, options.tokens, options.rounds)
    try:
        spinfer.open_folder(settings.packed)
        report = _report(settings, options.only or list(RUNTIMES))
        for path in options.merge:
            report["rows"] = merged(report["rows"], read_report(path))
    except SpInferError as error:
        print(f"spinfer.runtimes: {error}", file=sys.stderr)
        return 1
    if options.json is not None:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    table = markdown(report)
    if options.markdown is not None:
        options.markdown.write_text(table)
    print(table, end="")
    bad = [
        row for row in report["rows"] if row["failed"] or row.get("equal", {}).get("is") is False
    ]
    return 1 if bad else 0


def _report(settings: Settings, chosen: list[str]) -> dict[str, Any]:
    """Each runtime in a process of its own, unless it is the only one."""
    rows = []
    for name in RUNTIMES:
        if name not in chosen:
            continue
        print(f"{name} …", file=sys.stderr, flush=True)
        found = _row(RUNTIMES[name], settings) if len(chosen) == 1 else _elsewhere(name, settings)
        rows.append({"runtime": name, "command": _command(settings, name), **found})
    return {"schema": SCHEMA, "packed": settings.packed.name, "rows": rows}


def _elsewhere(name: str, settings: Settings) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="spinfer-row-") as scratch:
        written = Path(scratch) / "row.json"
        folders = (settings.packed, settings.dense)
        options = ("--tokens", settings.tokens, "--rounds", settings.rounds, "--json", written)
        words = ("-m", "spinfer.runtimes", *folders, "--only", name, *options)
        command = [sys.executable, *map(str, words)]
        # the package may have been imported from where the new process would not look
        paths = [str(Path(spinfer.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                check=False,
                timeout=MOST_SECONDS,
                env=environment,
            )
        except subprocess.TimeoutExpired:
            return {"notRun": "", "failed": f"over {MOST_SECONDS} s", "where": where()}
        if not written.is_file():
            last = done.stderr.strip().splitlines()[-1:] or [f"ended with {done.returncode}"]
            return {"notRun": "", "failed": last[0], "where": where()}
        (row,) = read_report(written)
        return row


def _row(run: Callable[[Settings], Row], settings: Settings) -> dict[str, Any]:
    """One row; whatever one runtime raises, the others are run too."""
    found: dict[str, Any] = {"notRun": "", "failed": "", "where": where()}
    try:
        return {**found, **run(settings)}
    except NotRun as reason:
        return {**found, "notRun": str(reason)}
    except Exception as fault:
        return {**found, "failed": f"{type(fault).__name__}: {fault}"}


def _command(settings: Settings, name: str) -> str:
    words = ["python", "-m", "spinfer.runtimes", settings.packed.name, settings.dense.name]
    return shlex.join([*words, "--only", name])


def where() -> dict[str, Any]:
    """The machine, for each row: a merged table has rows of several."""
    return {
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "processor": f"{platform.machine()}, {os.cpu_count()} processors",
        "gpu": gpu_name(),
        "versions": {"Python": platform.python_version(), **installed()},
    }


def gpu_name() -> str | None:
    try:
        import torch
    except ImportError:
        return None
    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def installed() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {"spinfer": spinfer.__version__}
    for name in ("numpy", "torch", "transformers"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def read_report(path: Path) -> list[dict[str, Any]]:
    """The rows of a report. Raises E_RECORD."""
    try:
        report = json.loads(path.read_text())
        if report["schema"] != SCHEMA:
            raise ValueError(f"another schema: {report['schema']!r}")
        for row in report["rows"]:
            if row["runtime"] not in RUNTIMES:
                raise ValueError(f"there is no runtime {row['runtime']!r}")
            markdown({"packed": "", "rows": [row]})  # raises where something is missing
        return list(report["rows"])
    except (OSError, ValueError, KeyError, TypeError) as cause:
        message = f"{path}: not a report of spinfer.runtimes: {cause}"
        raise SpInferError("E_RECORD", message, expected=SCHEMA) from cause


def merged(rows: list[dict[str, Any]], others: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows that were not run here, or not asked for, from a run elsewhere; in the usual order.

    torch.compile is one row, and a GPU's goes before a CPU's.
    """
    found = {row["runtime"]: row for row in rows}
    for other in others:
        name = other["runtime"]
        here = found.get(name)
        is_better = name == COMPILED and other["where"]["gpu"] and not other["failed"]
        if here is None or here["notRun"] or (is_better and not here["where"]["gpu"]):
            found[name] = other
    return [found[name] for name in RUNTIMES if name in found]
