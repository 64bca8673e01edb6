"""The same as forward.mjs with transformers and PyTorch in float32: one window after the other."""

import json
import resource
import sys
import time

import torch
import transformers
from transformers import AutoModelForCausalLM

transformers.logging.set_verbosity_error()
path = sys.argv[1]
length, windows, threads = map(int, sys.argv[2:])
torch.set_num_threads(threads)
model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
state, ids = 1, []
for _ in range(length * windows):
    state = state * 48271 % 2147483647
    ids.append(state % model.config.vocab_size)
ids = torch.tensor(ids).view(windows, length)

with torch.no_grad():
    model(ids[:1, :16], use_cache=False)
    begin, before, total = time.perf_counter(), time.process_time(), 0.0
    for window in ids:
        logits = model(window[None], use_cache=False).logits[0, :-1]
        total += torch.nn.functional.cross_entropy(logits, window[1:], reduction="sum").item()
    seconds, processor = time.perf_counter() - begin, time.process_time() - before
print(json.dumps({
    "seconds": seconds,
    "processorSeconds": processor,
    "tokens": length * windows,
    "loss": total / (windows * (length - 1)),
    "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
}))
