"""Capturing work in CUDA graphs and timing it; on a CPU, for tests, it is just called."""

from __future__ import annotations

import ctypes
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from ..errors import SpInferError
from ..torch import operator

WARM_UPS = 3
NVML_NAMES = ("libnvidia-ml.so.1", "libnvidia-ml.so")

Work = Callable[[], Any]


@dataclass(frozen=True)
class Timing:
    """Milliseconds of one call, over rounds of many."""

    median: float
    mean: float
    deviation: float
    fastest: float
    slowest: float
    samples: list[float] = field(default_factory=list)

    @classmethod
    def of(cls, samples: list[float]) -> Timing:
        return cls(
            median=statistics.median(samples),
            mean=statistics.fmean(samples),
            deviation=statistics.stdev(samples) if len(samples) > 1 else 0.0,
            fastest=min(samples),
            slowest=max(samples),
            samples=samples,
        )

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def capture(work: Work, device: torch.device) -> Work:
    """Warms `work` up and captures it as a CUDA graph; returns what replays it.

    It must read and write the same memory in each call, and never wait for the GPU.
    """
    if device.type != "cuda":
        work()
        return work
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        for _ in range(WARM_UPS):
            work()
    torch.cuda.current_stream(device).wait_stream(stream)
    torch.cuda.synchronize(device)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = work()

    def replay() -> Any:
        graph.replay()
        return result

    return replay


def time_round(work: Work, calls: int, device: torch.device) -> float:
    """Milliseconds of a call, over `calls` in a row."""
    if device.type != "cuda":
        began = time.perf_counter()
        for _ in range(calls):
            work()
        return (time.perf_counter() - began) * 1000 / calls
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    for _ in range(calls):
        work()
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end)) / calls


def time_in_turns(
    sides: dict[str, Work],
    *,
    before: dict[str, Work],
    calls: int,
    rounds: int,
    device: torch.device,
) -> dict[str, Timing]:
    """Times several things round by round in turns, so that clocks and heat meet them alike.

    `before` is called before each round of its side, outside of the time. The first round is not
    counted.
    """
    samples: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds + 1):
        for name, work in sides.items():
            before.get(name, _nothing)()
            taken = time_round(work, calls, device)
            if turn > 0:
                samples[name].append(taken)
    return {name: Timing.of(taken) for name, taken in samples.items()}


def time_alone(work: Work, device: torch.device, *, calls: int = 3, rounds: int = 3) -> float:
    """Median milliseconds of `work`, captured."""
    sides = {"": capture(work, device)}
    return time_in_turns(sides, before={}, calls=calls, rounds=rounds, device=device)[""].median


def _nothing() -> None:
    return None


def read_bandwidth(device: torch.device, size: int = 2 << 30) -> dict[str, Any]:
    """Gigabytes a second that reading memory reaches: the best of torch's sums and of a copy."""
    if device.type != "cuda":
        size = 1 << 22
    words = torch.ones(size // 4, dtype=torch.float32, device=device)
    target = torch.empty_like(words)
    candidates: dict[str, tuple[Work, int]] = {
        "sum": (words.sum, size),
        "largest": (words.max, size),
        "copy": (lambda: target.copy_(words), 2 * size),
    }
    rates = {
        name: moved / time_alone(work, device) / 1e6 for name, (work, moved) in candidates.items()
    }
    best = max(rates, key=lambda name: rates[name])
    return {"gbPerSecond": rates[best], "by": best, "all": rates}


class Energy:
    """The energy counter of NVML for one GPU, in joules; `why_not` says why there is none."""

    def __init__(self, uuid: str) -> None:
        self.why_not = ""
        self._nvml: ctypes.CDLL | None = None
        self._handle = ctypes.c_void_p()
        for name in NVML_NAMES:
            try:
                self._nvml = ctypes.CDLL(name)
                break
            except OSError as cause:
                self.why_not = str(cause)
        if self._nvml is None:
            return
        self._nvml.nvmlInit_v2()
        by_uuid = self._nvml.nvmlDeviceGetHandleByUUID
        status = by_uuid(ctypes.c_char_p(uuid.encode()), ctypes.byref(self._handle))
        self.why_not = "" if status == 0 else f"NVML does not know {uuid} (status {status})"
        if self.why_not == "" and self._read() is None:
            self.why_not = "this GPU has no energy counter"

    def _read(self) -> float | None:
        assert self._nvml is not None
        total = ctypes.c_ulonglong()
        read = self._nvml.nvmlDeviceGetTotalEnergyConsumption
        return total.value / 1000 if read(self._handle, ctypes.byref(total)) == 0 else None

    def of(self, work: Work, before: Work, *, calls: int, seconds: float) -> float | None:
        """Joules of one call of `work`, over rounds of `calls` for at least `seconds`."""
        if self.why_not != "":
            return None
        done = 0
        began, first = time.perf_counter(), self._read()
        while time.perf_counter() - began < seconds:
            before()
            for _ in range(calls):
                work()
            torch.cuda.synchronize()
            done += calls
        last = self._read()
        return None if first is None or last is None else (last - first) / done


@contextmanager
def direct_tokens(tokens: int) -> Iterator[None]:
    """Moves the number of tokens up to which `spmm` multiplies packed weights directly."""
    usual = operator.DIRECT_TOKENS
    operator.DIRECT_TOKENS = tokens
    try:
        yield
    finally:
        operator.DIRECT_TOKENS = usual


def kernels_of(replay: Work, device: torch.device, calls: int = 3) -> dict[str, Any]:
    """Where the GPU's time of one replay goes, by kernel, as torch's profiler sees it."""
    if device.type != "cuda":
        return {"whyNot": "no GPU", "kernels": []}
    activities = [torch.profiler.ProfilerActivity.CUDA]
    try:
        with torch.profiler.profile(activities=activities) as profile:
            for _ in range(calls):
                replay()
            torch.cuda.synchronize(device)
        entries = [
            {
                "name": entry.key[:160],
                "calls": entry.count / calls,
                "ms": entry.self_device_time_total / 1000 / calls,
            }
            for entry in profile.key_averages()
            if entry.self_device_time_total > 0
        ]
    except (RuntimeError, AttributeError) as cause:
        # profiling needs rights that a container may not have; the parts are timed without it
        return {"whyNot": str(cause), "kernels": []}
    entries.sort(key=lambda entry: -float(entry["ms"]))
    why_not = "" if entries else "the profiler saw no kernels"
    return {"whyNot": why_not, "kernels": entries[:16]}


def check_close(found: torch.Tensor, expected: torch.Tensor, allowed: float) -> float:
    """Relative difference (Frobenius) of logits. Raises E_GPU_WRONG above `allowed`."""
    wide = expected.double()
    error = ((found.double() - wide).norm() / wide.norm()).item()
    if not error <= allowed:
        raise SpInferError(
            "E_GPU_WRONG",
            f"logits of the packed model differ by {error:.3g} of their norm",
            expected=f"at most {allowed:g}",
            hint="Do not use this library on this GPU",
        )
    return float(error)
