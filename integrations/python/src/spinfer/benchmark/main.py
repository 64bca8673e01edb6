"""The command `spinfer-bench-hf`."""

from __future__ import annotations

import argparse
import gc
import json
import platform
import shlex
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

import spinfer

from .. import native
from ..errors import SpInferError
from ..manifest import manifest_hash
from . import folder as folders
from .loading import load, measure_loading, save_folders
from .measure import Energy, read_bandwidth
from .report import markdown
from .run import ENGINES, Context, Options, as_settings, glue_named, measure, measure_crossover
from .shapes import SHAPES, Shape
from .weights import Weights, prune_random, random_weights

SCHEMA = "spinfer.bench-hf/1"


def numbers(of: Callable[[str], Any]) -> Callable[[str], tuple[Any, ...]]:
    """An argparse type: a list with commas."""

    def parse(text: str) -> tuple[Any, ...]:
        return tuple(of(part) for part in text.split(","))

    return parse


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="spinfer-bench-hf",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        description="Decodes with whole models on a GPU, dense against packed, in one process.",
    )
    add = made.add_argument
    add("--model", type=numbers(str), default=(), help=f"random weights: {', '.join(SHAPES)}")
    add("--folder", type=Path, help="a tile-bitmap folder of a Llama model")
    add("--dense-folder", type=Path, help="the same weights dense, to time loading against")
    add(
        "--loading", type=int, default=0, help="save so many layers of random weights, time loading"
    )
    add("--loads", type=int, default=5, help="loads that count, a side, warm and cold each")
    add(
        "--scratch",
        type=Path,
        help="where --loading saves for a while",
    )
    add("--text", type=Path, help="a text file for the perplexity of --folder")
    add("--sparsity", type=numbers(float), default=(0.5, 0.6, 0.7), help="of random weights")
    add("--layers", type=int, help="leave out all but the first of the model's layers")
    add("--batch", type=numbers(int), default=(1, 8, 16), help="sequences at a time")
    add("--engine", type=numbers(str), default=ENGINES[:1], help=" or ".join(ENGINES))
    add("--prompt", type=int, default=128, help="tokens in the cache before the first step")
    add("--tokens", type=int, default=64, help="steps of a round")
    add("--rounds", type=int, default=5, help="rounds that count, a side")
    add("--prefill", type=int, default=2048, help="tokens of a prompt to time; 0: none")
    add("--energy", type=float, default=1.5, help="seconds of measuring energy; 0: none")
    add("--glue", choices=("compiled", "plain"), default="compiled", help="between linear layers")
    add("--kernels", action="store_true", help="profile steps by kernel; slows what follows")
    add("--crossover", action="store_true", help="time packed layers with 32 to 256 tokens")
    add("--device", default="cuda")
    add("--json", type=Path, help="write the report here")
    add("--markdown", type=Path, help="write tables here")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    options = parser().parse_args(arguments)
    given = sys.argv[1:] if arguments is None else arguments
    try:
        report = run(options, command_of(given))
    except SpInferError as error:
        print(f"spinfer-bench-hf: {error}", file=sys.stderr)
        return 1
    if options.json is not None:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    tables = markdown(report)
    if options.markdown is not None:
        options.markdown.write_text(tables)
    print(tables, end="")
    return 0


def command_of(given: Sequence[str]) -> str:
    """The command without where it writes: that is no part of what was measured."""
    words = ["spinfer-bench-hf", *given]
    for name in ("--json", "--markdown", "--scratch"):
        while name in words:
            at = words.index(name)
            del words[at : at + 2]
    return shlex.join(words)


def run(options: argparse.Namespace, command: str) -> dict[str, Any]:
    """Measures all that `options` name; the report."""
    device = torch.device(options.device)
    _check(options, device)
    gpu = _describe(device)
    settings = Options(
        batches=options.batch,
        engines=options.engine,
        prompt=options.prompt,
        tokens=options.tokens,
        rounds=options.rounds,
        prefill=options.prefill,
        energy_seconds=options.energy,
        glue=options.glue,
        kernels=options.kernels,
        crossover=options.crossover,
    )
    energy = Energy(gpu["uuid"])
    if options.energy <= 0:
        energy.why_not = "not asked for"
    bandwidth = read_bandwidth(device)
    context = Context(
        options=settings,
        energy=energy,
        read_gb_per_second=bandwidth["gbPerSecond"],
        glue=glue_named(options.glue),
        say=lambda text: print(text, file=sys.stderr, flush=True),
    )
    models = [_random_model(_shape(name, options), options, context) for name in options.model]
    if options.folder is not None:
        models.append(_folder_model(options, context))
    return {
        "schema": SCHEMA,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": command,
        "gpu": gpu,
        "versions": _versions(),
        "settings": as_settings(settings),
        "captured": device.type == "cuda",
        "readBandwidth": bandwidth,
        "noEnergyBecause": energy.why_not,
        "models": models,
    }


def _check(options: argparse.Namespace, device: torch.device) -> None:
    """Refuses what cannot be measured, before anything takes time."""
    unknown = [name for name in options.model if name not in SHAPES]
    unknown += [name for name in options.engine if name not in ENGINES]
    if unknown:
        raise SpInferError(
            "E_OPTION",
            f"there is no model or engine {unknown[0]}",
            expected=f"models {', '.join(SHAPES)}; engines {', '.join(ENGINES)}",
        )
    if not options.model and options.folder is None:
        raise SpInferError("E_USAGE", "nothing to measure", expected="--model or --folder")
    if not all(0 < sparsity < 1 for sparsity in options.sparsity):
        raise SpInferError("E_OPTION", "a sparsity out of range", expected="between 0 and 1")
    if min((*options.batch, options.prompt, options.tokens, options.rounds, options.loads)) < 1:
        message = "--batch, --prompt, --tokens, --rounds or --loads is below 1"
        raise SpInferError("E_OPTION", message, expected="whole numbers from 1")
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise SpInferError("E_GPU_NONE", "torch sees no CUDA GPU")
        native.library().call("spinfer_check_device")


def _shape(name: str, options: argparse.Namespace) -> Shape:
    shape = SHAPES[name]
    layers = shape.layers if options.layers is None else min(options.layers, shape.layers)
    return replace(shape, layers=layers)


def _random_model(shape: Shape, options: argparse.Namespace, context: Context) -> dict[str, Any]:
    weights = random_weights(shape, torch.device(options.device))
    found = _empty(shape, "random")
    for sparsity in sorted(options.sparsity):
        _add(found, measure(weights, prune_random(weights, sparsity), context))
        if options.crossover and found["crossover"] == []:
            found["crossover"] = measure_crossover(weights, context)
    if options.loading > 0:
        found["loading"] = _loading_of(weights, options)
    _free()
    return found


def _loading_of(weights: Weights, options: argparse.Namespace) -> dict[str, Any]:
    layers = min(options.loading, weights.shape.layers)
    with tempfile.TemporaryDirectory(dir=options.scratch, prefix="spinfer-loading-") as scratch:
        sides = save_folders(weights, layers, Path(scratch))
        measured = measure_loading(sides, weights.device, options.loads)
    return {**measured, "layers": layers}


def _folder_model(options: argparse.Namespace, context: Context) -> dict[str, Any]:
    device = torch.device(options.device)
    loading = None
    if options.dense_folder is not None:
        sides = {"sparse": options.folder, "dense": options.dense_folder}
        loading = measure_loading(sides, device, options.loads)
        loading["layers"] = None
    model, _ = load(options.folder, device)
    ids = None
    if options.text is not None:
        ids = folders.token_ids(options.folder, options.text, device)
    packed = None if ids is None else folders.perplexity(model, ids)
    sparsity = folders.make_dense(model)
    weights = folders.weights_of(model, options.folder.name)
    found = _empty(weights.shape, "folder")
    found["loading"] = loading
    found["manifest"] = manifest_hash(options.folder)
    if ids is not None:
        found["perplexity"] = {"sparse": packed, "dense": folders.perplexity(model, ids)}
    _add(found, measure(weights, sparsity, context))
    if options.crossover:
        found["crossover"] = measure_crossover(weights, context)
    return found


def _empty(shape: Shape, source: str) -> dict[str, Any]:
    return {
        "name": shape.name,
        "weights": source,
        "dtype": shape.dtype,
        "layers": shape.layers,
        "manifest": None,
        "loading": None,
        "perplexity": None,
        "decode": [],
        "prefill": [],
        "memory": [],
        "crossover": [],
    }


def _add(found: dict[str, Any], more: dict[str, Any]) -> None:
    for key, rows in more.items():
        found[key] += rows


def _free() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _describe(device: torch.device) -> dict[str, Any]:
    if device.type != "cuda":
        return {
            "name": platform.processor() or "CPU",
            "driver": "none",
            "uuid": "",
            "powerLimitW": 0,
        }
    found = native.describe_gpu()
    return {
        "name": found.name.decode(),
        "driver": found.driver.decode(),
        "uuid": found.uuid.decode(),
        "powerLimitW": found.power_limit_w,
        "memoryBytes": found.memory_bytes,
        "sms": found.sms,
        "smClockMaxMhz": found.sm_clock_max_mhz,
        "memoryClockMhz": found.memory_clock_mhz,
        "computeCapability": f"{found.major}.{found.minor}",
    }


def _versions() -> dict[str, str]:
    import transformers

    versions = {
        "spinfer": spinfer.__version__,
        "Python": platform.python_version(),
        "torch": torch.__version__,
        "CUDA": torch.version.cuda or "none",
        "transformers": transformers.__version__,
    }
    if native.available():
        versions["library ABI"] = str(native.library().abi)
    return versions
