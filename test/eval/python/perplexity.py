"""Perplexity by transformers and PyTorch, each protocol written as its original writes it.

    perplexity.py '[{"model": FOLDER, "text": FILE, "protocol": "wanda", "ctx": 256, …}, …]'

Prints a JSON list with an object for each. Models run in float32 on the CPU. `batch` windows are read together (1). With
`exact_loss` the softmax of the float32 logits is computed in float64.
"""

import json
import math
import resource
import sys
import time
from pathlib import Path

import torch
from torch.nn import functional as F
from transformers import AutoModelForCausalLM, AutoTokenizer


def load(folder):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    return model.eval()


def wanda_windows(tokens, ctx):
    """Disjoint, the rest dropped; every token but the first of each scored (lib/eval.py of Wanda)."""
    for i in range(tokens.numel() // ctx):
        yield tokens[i * ctx : (i + 1) * ctx], 1


def llamacpp_windows(tokens, ctx):
    """The same, scored are the tokens after the one at n_ctx / 2 (tools/perplexity of llama.cpp)."""
    for i in range(tokens.numel() // ctx):
        yield tokens[i * ctx : (i + 1) * ctx], ctx // 2 + 1


def strided_windows(tokens, ctx, stride):
    """Overlapping; a token is scored where it first appears ("Perplexity of fixed-length models")."""
    previous_end = 0
    for begin in range(0, tokens.numel(), stride):
        end = min(begin + ctx, tokens.numel())
        first = end - begin - (end - previous_end)
        if end - begin > max(first, 1):
            yield tokens[begin:end], max(first, 1)
        previous_end = end
        if end == tokens.numel():
            break


def batches(windows, size):
    """Lists of at most `size` windows of one length."""
    batch = []
    for window in windows:
        if batch and (len(batch) == size or len(batch[0][0]) != len(window[0])):
            yield batch
            batch = []
        batch.append(window)
    if batch:
        yield batch


def measure(job):
    tokenizer = AutoTokenizer.from_pretrained(job["model"], local_files_only=True)
    text = Path(job["text"]).read_bytes().decode()
    bos = job.get("bos", "once")
    tokens = tokenizer(text, add_special_tokens=bos != "none", return_tensors="pt").input_ids[0]
    protocol, ctx = job["protocol"], job["ctx"]
    if protocol == "strided":
        windows = list(strided_windows(tokens, ctx, job["stride"]))
    else:
        windows = list((wanda_windows if protocol == "wanda" else llamacpp_windows)(tokens, ctx))
    windows = windows[: job.get("max_windows")]
    model = load(job["model"])
    base = load(job["base"]) if job.get("base") else None
    sums = {"loss": 0.0, "base": 0.0, "kl": 0.0, "agreed": 0, "scored": 0}
    means = []
    began = time.perf_counter()
    with torch.no_grad():
        for batch in batches(windows, job.get("batch", 1)):
            score(batch, model, base, tokenizer.bos_token_id if bos == "window" else None, sums, means, job)
    seconds = time.perf_counter() - began
    scored = sums["scored"]
    result = {
        "tokens": tokens.numel(),
        "windows": len(windows),
        "scored": scored,
        "perplexity": math.exp(sums["loss"] / scored),
        "seconds": seconds,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "threads": torch.get_num_threads(),
    }
    if protocol == "wanda":
        # Σ nll_i / (nsamples · seqlen), nll_i = mean cross-entropy · seqlen
        result["papers"] = math.exp(sum(mean * ctx for mean in means) / (len(means) * ctx))
    if base is not None:
        result["base"] = math.exp(sums["base"] / scored)
        result["kl"] = sums["kl"] / scored
        result["agreement"] = sums["agreed"] / scored
    return result


def score(batch, model, base, bos, sums, means, job):
    ids = torch.stack([window for window, _ in batch])
    read = ids.clone()
    if bos is not None:
        read[:, 0] = bos
    logits = model(input_ids=read).logits
    theirs = base(input_ids=read).logits if base is not None else None
    for row, (_, first) in enumerate(batch):
        targets = ids[row, first:]
        ours = logits[row, first - 1 : -1]
        used = ours.double() if job.get("exact_loss") else ours
        losses = F.cross_entropy(used, targets, reduction="none").double()
        sums["loss"] += losses.sum().item()
        sums["scored"] += losses.numel()
        means.append(losses.mean().item())
        if theirs is None:
            continue
        other = theirs[row, first - 1 : -1]
        sums["base"] += F.cross_entropy(other, targets, reduction="none").double().sum().item()
        p, q = other.double().log_softmax(-1), ours.double().log_softmax(-1)
        sums["kl"] += (p.exp() * (p - q)).sum().item()
        sums["agreed"] += (ours.argmax(-1) == other.argmax(-1)).sum().item()


if __name__ == "__main__":
    jobs = json.loads(sys.argv[1])
    torch.set_num_threads(jobs[0].get("threads", 1))
    print(json.dumps([measure(job) for job in jobs]))
