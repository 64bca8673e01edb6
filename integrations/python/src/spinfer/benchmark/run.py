"""What is measured of one model, and in which order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from .decoder import Decoder
from .glue import Glue, compiled
from .measure import (
    WARM_UPS,
    Energy,
    Timing,
    Work,
    capture,
    check_close,
    direct_tokens,
    kernels_of,
    time_alone,
    time_in_turns,
)
from .stock import StockDecoder, stock_dense, stock_packed
from .weights import (
    Linears,
    Weights,
    bytes_of,
    dense_linears,
    matrix_sides,
    packed_linears,
)

ENGINES = ("fused", "transformers")
SIDES = ("dense", "sparse")
LOGITS_MAY_DIFFER = {torch.float16: 0.05, torch.bfloat16: 0.2}
"""Relative (Frobenius): rounding to 16 bits in every layer; a wrong product gives about 1."""
CROSSOVER_TOKENS = (32, 64, 96, 128, 192, 256)


@dataclass(frozen=True)
class Options:
    """How a model is measured; see `spinfer-bench-hf --help`."""

    batches: tuple[int, ...]
    engines: tuple[str, ...]
    prompt: int
    tokens: int
    rounds: int
    prefill: int
    energy_seconds: float
    glue: str
    kernels: bool
    crossover: bool

    @property
    def length(self) -> int:
        """Of the cache: room for a round, or for warming up, in multiples of 64 tokens."""
        return -(-(self.prompt + max(self.tokens, WARM_UPS) + 2) // 64) * 64


@dataclass
class Context:
    """What all measurements share."""

    options: Options
    energy: Energy
    read_gb_per_second: float
    glue: Glue
    say: Callable[[str], None]


AnyDecoder = Decoder | StockDecoder


def linears_of(weights: Weights, engine: str) -> dict[str, Linears]:
    if engine == "fused":
        return {"dense": dense_linears(weights), "sparse": packed_linears(weights)}
    return {"dense": stock_dense(weights), "sparse": stock_packed(weights)}


def decoders_of(
    weights: Weights, linears: dict[str, Linears], context: Context, engine: str, **sizes: int
) -> dict[str, AnyDecoder]:
    if engine == "transformers":
        return {side: StockDecoder(weights, linears[side], **sizes) for side in SIDES}
    return {side: Decoder(weights, linears[side], context.glue, **sizes) for side in SIDES}


@torch.no_grad()
def measure(weights: Weights, sparsity: float, context: Context) -> dict[str, Any]:
    """All rows of a model as it is now: pruned to `sparsity`, both sides of the same values."""
    found: dict[str, Any] = {"decode": [], "prefill": []}
    for engine in context.options.engines:
        linears = linears_of(weights, engine)
        sizes = {side: bytes_of(linears[side]) for side in SIDES}
        found.setdefault("memory", []).append(
            {
                "engine": engine,
                "sparsity": sparsity,
                "denseBytes": sizes["dense"],
                "sparseBytes": sizes["sparse"],
                "ratio": sizes["sparse"] / sizes["dense"],
                "otherBytes": weights.other_bytes,
            }
        )
        for batch in context.options.batches:
            row = _decode(weights, linears, context, engine, batch)
            row = {"engine": engine, "sparsity": sparsity, "batch": batch, **row}
            context.say(
                f"{weights.shape.name} {sparsity:.1%} zeros, batch {batch}, {engine}: "
                f"{row['dense']['tokensPerSecond']:.1f} and "
                f"{row['sparse']['tokensPerSecond']:.1f} tokens/s, {row['speedup']:.2f}"
            )
            found["decode"].append(row)
        if context.options.prefill > 0:
            row = _prefill(weights, linears, context, engine)
            context.say(f"  prefill of {context.options.prefill}: {row['speedup']:.2f}")
            found["prefill"].append({"engine": engine, "sparsity": sparsity, **row})
    return found


def _decode(
    weights: Weights, linears: dict[str, Linears], context: Context, engine: str, batch: int
) -> dict[str, Any]:
    options, device = context.options, weights.device
    blas = _fastest_blas(weights, linears["dense"], batch)
    sizes = {"batch": batch, "length": options.length}
    decoders = decoders_of(weights, linears, context, engine, **sizes)
    errors = _compare(weights, decoders, options.prompt)
    extra = {side: _memory_beyond(decoder.step, device) for side, decoder in decoders.items()}
    replays: dict[str, Work] = {}
    rewinds: dict[str, Work] = {}
    for side, decoder in decoders.items():
        decoder.rewind(options.prompt)
        replays[side] = capture(decoder.step, device)
        rewinds[side] = _rewinding(decoder, options.prompt)
    timings = time_in_turns(
        replays, before=rewinds, calls=options.tokens, rounds=options.rounds, device=device
    )
    row: dict[str, Any] = {"logitsDiffer": errors, "denseBlas": blas}
    for side, decoder in decoders.items():
        joules = context.energy.of(
            replays[side], rewinds[side], calls=options.tokens, seconds=options.energy_seconds
        )
        weight_bytes = bytes_of(linears[side]) + weights.other_bytes
        rewinds[side]()
        row[side] = {
            "tokensPerSecond": batch * 1000 / timings[side].median,
            "stepMs": timings[side].as_json(),
            "joulesPerToken": None if joules is None else joules / batch,
            "weightBytes": weight_bytes,
            "cacheBytes": decoder.cache_bytes,
            "peakBytes": weight_bytes + decoder.cache_bytes + extra[side],
            **_parts(decoder, linears[side], timings[side], context),
        }
        if options.kernels:
            rewinds[side]()
            row[side]["kernels"] = kernels_of(replays[side], device)
    row["speedup"] = timings["dense"].median / timings["sparse"].median
    return row


def _rewinding(decoder: AnyDecoder, count: int) -> Work:
    return lambda: decoder.rewind(count)


def _prompting(decoder: AnyDecoder, ids: torch.Tensor) -> Work:
    return lambda: decoder.prompt(ids)


def _compare(weights: Weights, decoders: dict[str, AnyDecoder], count: int) -> dict[str, float]:
    """Fills both caches with the same prompt; compares its logits and those of the next step."""
    dense, sparse = decoders["dense"], decoders["sparse"]
    ids = _some_ids(weights, dense.batch, count)
    usual = {
        side: decoder.glue for side, decoder in decoders.items() if isinstance(decoder, Decoder)
    }
    for decoder in decoders.values():
        if isinstance(decoder, Decoder):
            decoder.glue = Glue()  # compiling for the shape of this prompt is not worth it
    allowed = LOGITS_MAY_DIFFER[weights.dtype]
    prompt = check_close(sparse.prompt(ids), dense.prompt(ids), allowed)
    for side, decoder in decoders.items():
        if isinstance(decoder, Decoder):
            decoder.glue = usual[side]
    sparse.tokens.copy_(dense.tokens)
    step = check_close(sparse.step(), dense.step(), allowed)
    return {"prompt": prompt, "step": step}


def _some_ids(weights: Weights, batch: int, count: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    ids = torch.randint(0, weights.shape.vocabulary, (batch, count), generator=generator)
    return ids.to(weights.device)


def _memory_beyond(work: Work, device: torch.device) -> int:
    """Bytes that `work` needs at its peak beside what is allocated before."""
    if device.type != "cuda":
        return 0
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    work()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before


def _inputs(weights: Weights, linears: Linears, batch: int) -> dict[str, torch.Tensor]:
    """An input for each kind of linear layer, [batch, 1, inputs]."""
    sides = matrix_sides(weights.shape)
    fused = {"q": "qkv", "k": "qkv", "v": "qkv", "gate": "gateUp", "up": "gateUp"}
    return {
        kind: torch.randn((batch, 1, sides[fused.get(kind, kind)][1]), device=weights.device).to(
            weights.dtype
        )
        for kind in linears[0]
    }


def _all_linears(weights: Weights, linears: Linears, batch: int) -> Work:
    """The linear layers of a step in their order, without the head."""
    inputs = _inputs(weights, linears, batch)

    def work() -> None:
        for block in linears:
            for kind, linear in block.items():
                linear(inputs[kind])

    return work


def _fastest_blas(weights: Weights, linears: Linears, batch: int) -> dict[str, Any]:
    """Sets the library that multiplies the dense layers fastest; returns both times."""
    if weights.device.type != "cuda":
        return {"used": "torch", "ms": {}}
    work = _all_linears(weights, linears, batch)
    times: dict[str, float] = {}
    for name in ("cublas", "cublaslt"):
        torch.backends.cuda.preferred_blas_library(name)
        times[name] = time_alone(work, weights.device)
    used = min(times, key=lambda name: times[name])
    torch.backends.cuda.preferred_blas_library(used)
    return {"used": used, "ms": times}


def _parts(decoder: AnyDecoder, linears: Linears, step: Timing, context: Context) -> dict[str, Any]:
    """Milliseconds of a step by what they are spent on, each timed alone over all layers."""
    weights, batch = decoder.weights, decoder.batch
    device = weights.device
    inputs = _inputs(weights, linears, batch)

    def one_kind(kind: str) -> Work:
        return lambda: [block[kind](inputs[kind]) for block in linears]

    last = torch.randn((batch, weights.shape.hidden), device=device).to(weights.dtype)
    parts = {kind: time_alone(one_kind(kind), device) for kind in linears[0]}
    parts["head"] = time_alone(lambda: functional.linear(last, weights.head), device, calls=20)
    if isinstance(decoder, Decoder):
        parts["attention"] = time_alone(decoder.attention, device)
    parts["rest"] = step.median - sum(parts.values())
    together = time_alone(_all_linears(weights, linears, batch), device)
    size = bytes_of(linears)
    return {
        "partsMs": parts,
        "linears": {
            "ms": together,
            "bytes": size,
            "gbPerSecond": size / together / 1e6,
            "ofReadBandwidth": size / together / 1e6 / context.read_gb_per_second,
        },
    }


def _prefill(
    weights: Weights, linears: dict[str, Linears], context: Context, engine: str
) -> dict[str, Any]:
    count, device = context.options.prefill, weights.device
    decoders = decoders_of(weights, linears, context, engine, batch=1, length=count)
    ids = _some_ids(weights, 1, count)
    logits = {side: decoder.prompt(ids).clone() for side, decoder in decoders.items()}
    error = check_close(logits["sparse"], logits["dense"], LOGITS_MAY_DIFFER[weights.dtype])
    works = {side: _prompting(decoder, ids) for side, decoder in decoders.items()}
    extra = {side: _memory_beyond(work, device) for side, work in works.items()}
    if engine == "fused":
        works = {side: capture(work, device) for side, work in works.items()}
    rounds = context.options.rounds
    timings = time_in_turns(works, before={}, calls=2, rounds=rounds, device=device)
    row: dict[str, Any] = {"tokens": count, "logitsDiffer": error}
    for side in SIDES:
        row[side] = {
            "tokensPerSecond": count * 1000 / timings[side].median,
            "ms": timings[side].as_json(),
            "beyondWeightsBytes": decoders[side].cache_bytes + extra[side],
        }
    row["speedup"] = timings["dense"].median / timings["sparse"].median
    return row


@torch.no_grad()
def measure_crossover(weights: Weights, context: Context) -> list[dict[str, Any]]:
    """Dense, packed multiplied directly and packed decoded first, by kind and rows of x."""
    linears = linears_of(weights, "fused")
    rows = []
    for kind, (outputs, columns) in matrix_sides(weights.shape).items():
        for count in CROSSOVER_TOKENS:
            x = torch.randn((count, columns), device=weights.device).to(weights.dtype)

            def work(side: str, kind: str = kind, x: torch.Tensor = x) -> Work:
                return lambda: [block[kind](x) for block in linears[side]]

            times = {"denseMs": time_alone(work("dense"), weights.device)}
            with direct_tokens(count):
                times["directMs"] = time_alone(work("sparse"), weights.device)
            with direct_tokens(0):
                times["decodedMs"] = time_alone(work("sparse"), weights.device)
            row = {"kind": kind, "rows": outputs, "cols": columns, "tokens": count}
            rows.append({**row, **times})
    context.say("crossover measured")
    return rows


def glue_named(name: str) -> Glue:
    return compiled() if name == "compiled" else Glue()


def as_settings(options: Options) -> dict[str, Any]:
    """The options as they stand in a report."""
    return {
        "engines": list(options.engines),
        "batches": list(options.batches),
        "prompt": options.prompt,
        "tokens": options.tokens,
        "cache": options.length,
        "rounds": options.rounds,
        "prefill": options.prefill,
        "energySeconds": options.energy_seconds,
        "glue": options.glue,
        "overlap": {"dense": False, "sparse": True},
    }
