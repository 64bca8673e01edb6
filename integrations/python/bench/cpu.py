"""What packed weights cost on a CPU, against the dense folder of the same weights.

    python integrations/python/bench/cpu.py SPARSE DENSE

Both models run in this process with one thread; times are processor seconds, so that other work on
the machine does not count. Also the speed of the check and of decoding alone.
"""

from __future__ import annotations

import sys
import time

import torch
from transformers import AutoModelForCausalLM

import spinfer
from spinfer.checking import check
from spinfer.errors import Origin

TOKENS = 4
ROUNDS = 3


def seconds_a_token(folder: str) -> tuple[float, float]:
    """Processor seconds for a token at batch 1, the best of a few; megabytes of weights."""
    model = AutoModelForCausalLM.from_pretrained(folder, torch_dtype="auto")
    tensors = [*model.parameters(), *model.buffers()]
    megabytes = sum(tensor.numel() * tensor.element_size() for tensor in tensors) / 1e6
    ids = torch.arange(1, 9).reshape(1, 8)
    best = float("inf")
    for _ in range(ROUNDS):
        started = time.process_time()
        model.generate(ids, max_new_tokens=TOKENS, min_new_tokens=TOKENS, do_sample=False)
        best = min(best, (time.process_time() - started) / TOKENS)
    return best, megabytes


def megabytes_a_second(folder: str) -> tuple[float, float]:
    """Dense megabytes that a processor second checks, and decodes."""
    checkpoint = spinfer.open_folder(folder)
    checking = decoding = megabytes = 0.0
    for tensor in checkpoint.tensors.values():
        if tensor.meta is None:
            continue
        payload = checkpoint.bytes_of(tensor.stored)
        meta_bytes = checkpoint.bytes_of(tensor.meta)
        started = time.process_time()
        meta = check(payload, meta_bytes, Origin())
        checked = time.process_time()
        megabytes += spinfer.decode_matrix(payload, meta).nbytes / 1e6
        checking += checked - started
        decoding += time.process_time() - checked
    return megabytes / checking, megabytes / decoding


def main() -> None:
    torch.set_num_threads(1)
    sparse, dense = sys.argv[1:]
    checked, decoded = megabytes_a_second(sparse)
    print(f"checked {checked:.0f}, decoded {decoded:.0f} MB of dense weights a processor second")
    rows = {"dense": seconds_a_token(dense), "packed": seconds_a_token(sparse)}
    for name, (seconds, megabytes) in rows.items():
        print(f"{name:7} {seconds:.3f} processor seconds a token, {megabytes:.0f} MB of weights")
    ratio = rows["packed"][0] / rows["dense"][0]
    memory = rows["packed"][1] / rows["dense"][1]
    print(f"packed takes {ratio:.1f} times as long and {memory:.2f} of the memory")


if __name__ == "__main__":
    main()
