"""Rows of whole models, as transformers loads and runs them."""

from __future__ import annotations

import time
from typing import Any
from unittest.mock import patch

from .rows import GENERATION, NotRun, Row, Settings, best, row
from .tensors import need_gpu, need_torch

PROMPT = 8
COMPARED = 64
"""Tokens whose logits are compared."""


def run_transformers(settings: Settings, device: str) -> Row:
    need_torch()
    try:
        import transformers
    except ImportError:
        raise NotRun("transformers is not installed") from None
    if device == "cuda":
        need_gpu()
    import torch

    transformers.utils.logging.disable_progress_bar()
    models, seconds = {}, {}
    folders = {"packed": settings.packed, "dense": settings.dense}
    # the first load of all imports the model's code and starts the device: it counts not
    for side, folder in [("dense", settings.dense), *folders.items()]:
        began = time.perf_counter()
        model: Any = transformers.AutoModelForCausalLM.from_pretrained(
            folder, torch_dtype="auto", device_map={"": device}
        )
        if device == "cuda":
            torch.cuda.synchronize()
        seconds[side] = time.perf_counter() - began
        models[side] = model.eval()
    equal = _compare(models)
    return row(
        load_seconds=dict(seconds),
        equal=equal,
        tokens_per_second={side: _rate(models[side], settings) for side in folders},
        measured=f"{settings.tokens} tokens, {GENERATION}",
        memory_bytes={side: _bytes(models[side]) for side in folders},
        remembered="parameters and buffers of the whole model",
    )


def _ids(model: Any, count: int) -> Any:
    import torch

    generator = torch.Generator().manual_seed(5)
    most = min(model.config.vocab_size, 30000)
    return torch.randint(3, most, (1, count), generator=generator).to(model.device)


def _compare(models: dict[str, Any]) -> tuple[bool, str]:
    """Against twice what another order of summation changes in the dense model."""
    import torch
    from torch.nn import functional

    ids = _ids(models["dense"], COMPARED)
    usual = functional.linear

    def in_two_halves(x: Any, weight: Any, bias: Any = None) -> Any:
        half = weight.shape[1] // 2
        y = usual(x[..., :half], weight[:, :half]) + usual(x[..., half:], weight[:, half:])
        return y if bias is None else y + bias

    with torch.no_grad():
        expected = models["dense"](ids).logits.float()
        found = models["packed"](ids).logits.float()
        with patch.object(functional, "linear", in_two_halves):
            other = models["dense"](ids).logits.float()
    difference = float((found - expected).abs().max())
    noise = float((other - expected).abs().max())
    how = f"logits differ by {difference:.2g}, other sums by {noise:.2g}"
    return difference <= 2 * noise, how


def _rate(model: Any, settings: Settings) -> float:
    import torch

    ids = _ids(model, PROMPT)
    count = settings.tokens

    def work() -> Any:
        return model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=count,
            min_new_tokens=count,
            do_sample=False,
        )

    wait = torch.cuda.synchronize if ids.is_cuda else lambda: None
    return count / best(work, settings.rounds, wait)


def _bytes(model: Any) -> int:
    tensors = {tensor.data_ptr(): tensor for tensor in (*model.parameters(), *model.buffers())}
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
