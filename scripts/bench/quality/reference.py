"""The PyTorch side of the quality table: one process that does jobs, a JSON object a line on stdin.

    reference.py '{"model": FOLDER, "calibration": FILE, "evaluation": FILE, …}'

It prints "ready" facts first: the dense model in float32, calibrated in one pass by forward hooks on the first
`nsamples` windows of `seqlen` tokens. Then for each job a line with its result:

    {"do": "reference", "method": "wanda", "sparsity": 0.5}      prunes as the method's paper writes it, evaluates
    {"do": "folder", "folder": DIR, "method": …, "sparsity": …}  evaluates a folder; compares its zeros with the mask
                                                                 of the same job of "reference", counts chunks

The methods are in pruners.py; weights are rounded to the checkpoint's dtype after pruning, as they are when saved.
"""

import json
import math
import resource
import sys
import time
from pathlib import Path

import torch
from pruners import METHODS, linears, observe
from safetensors import safe_open
from torch.nn import functional as F
from transformers import AutoModelForCausalLM, AutoTokenizer

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
CHUNK = (32, 64)


def linears_of_blocks(model):
    return [(name, layer) for name, layer in linears(model) if ".layers." in name]


def calibrate(model, windows):
    inputs, hooks = observe(linears_of_blocks(model))
    for window in windows:
        model.model(input_ids=window[None])
    for hook in hooks:
        hook.remove()
    return inputs


def perplexity(model, windows, batch):
    """Of disjoint windows, every token but the first of each scored (GPTQ, SparseGPT, Wanda)."""
    total, scored = 0.0, 0
    for begin in range(0, len(windows), batch):
        ids = windows[begin : begin + batch]
        logits = model(input_ids=ids).logits[:, :-1]
        for row, targets in zip(logits, ids[:, 1:]):
            total += F.cross_entropy(row, targets, reduction="none").double().sum().item()
            scored += targets.numel()
    return math.exp(total / scored)


def chunk_spread(zeros):
    """Nonzeros of the whole 32 × 64 chunks of a matrix: most / mean, deviation / mean; None without any."""
    rows, columns = (size // piece * piece for size, piece in zip(zeros.shape, CHUNK))
    if rows == 0 or columns == 0:
        return None
    chunks = (~zeros[:rows, :columns]).reshape(rows // CHUNK[0], CHUNK[0], columns // CHUNK[1], CHUNK[1])
    counts = chunks.sum(dim=(1, 3)).double()
    mean = counts.mean().item()
    return counts.max().item() / mean, counts.std(correction=0).item() / mean


def key(job):
    return job["method"], job.get("sparsity"), tuple(job.get("pattern") or ())


class Session:
    def __init__(self, setup):
        self.setup = setup
        began = time.perf_counter()
        self.model = AutoModelForCausalLM.from_pretrained(
            setup["model"], dtype=torch.float32, local_files_only=True
        )
        self.model.eval().to(DEVICE)
        self.stored = getattr(torch, setup["dtype"])
        self.dense = {name: module.weight.detach().clone() for name, module in linears_of_blocks(self.model)}
        self.masks = {}
        self.load_seconds = time.perf_counter() - began
        tokenizer = AutoTokenizer.from_pretrained(setup["model"], local_files_only=True)
        calibration, self.calibration_tokens = self.windows(tokenizer, setup["calibration"], setup["seqlen"])
        evaluation, self.evaluation_tokens = self.windows(tokenizer, setup["evaluation"], setup["ctx"])
        self.evaluation = evaluation[: setup["max_windows"]]
        began = time.perf_counter()
        self.inputs = calibrate(self.model, calibration[: setup["nsamples"]])
        settle()
        self.calibrate_seconds = time.perf_counter() - began

    @staticmethod
    def windows(tokenizer, file, length):
        text = Path(file).read_bytes().decode()
        ids = tokenizer(text, return_tensors="pt").input_ids[0]
        count = ids.numel() // length
        return ids[: count * length].reshape(count, length).to(DEVICE), ids.numel()

    def facts(self):
        return {
            "device": torch.cuda.get_device_name() if DEVICE == "cuda" else f"CPU, {torch.get_num_threads()} threads",
            "torch": torch.__version__,
            "load_seconds": self.load_seconds,
            "calibrate_seconds": self.calibrate_seconds,
            "calibration_tokens": self.calibration_tokens,
            "evaluation_tokens": self.evaluation_tokens,
            "windows": len(self.evaluation),
            "dense": self.evaluate(),
        }

    def evaluate(self):
        began = time.perf_counter()
        found = perplexity(self.model, self.evaluation, self.setup["batch"])
        return {"perplexity": found, "eval_seconds": time.perf_counter() - began}

    def reference(self, job):
        began = time.perf_counter()
        masks = {}
        for name, module in linears_of_blocks(self.model):
            weight, dropped = METHODS[job["method"]](self.dense[name], self.inputs[name], job)
            pruned = weight.masked_fill(dropped, 0).to(self.stored).float()
            module.weight.data.copy_(pruned)
            masks[name] = dropped.cpu()
        settle()
        seconds = time.perf_counter() - began
        self.masks[key(job)] = masks
        return {"prune_seconds": seconds, "error": self.reconstruction_error(), **self.evaluate()}

    def folder(self, job):
        modules = dict(linears_of_blocks(self.model))
        masks = self.masks.get(key(job), {})
        agreed, compared, spreads = 0, 0, []
        with safe_open(Path(job["folder"]) / "model.safetensors", "pt") as tensors:
            for name, module in modules.items():
                weight = tensors.get_tensor(name)
                module.weight.data.copy_(weight)
                zeros = weight == 0
                spreads.append(chunk_spread(zeros))
                if name in masks:
                    agreed += (zeros == masks[name]).sum().item()
                    compared += zeros.numel()
        total = sum(module.weight.numel() for module in modules.values())
        zeros = sum((module.weight == 0).sum().item() for module in modules.values())
        whole = [spread for spread in spreads if spread is not None]
        return {
            "zeros": zeros / total,
            "mask_agreement": agreed / compared if compared else None,
            "chunk_max_over_mean": sum(most for most, _ in whole) / len(whole) if whole else None,
            "chunk_worst_max_over_mean": max(most for most, _ in whole) if whole else None,
            "chunk_deviation_over_mean": sum(deviation for _, deviation in whole) / len(whole) if whole else None,
            "error": self.reconstruction_error(),
            **self.evaluate(),
        }

    def reconstruction_error(self):
        """Mean over the layers of ‖(W − Ŵ)·X‖² / ‖W·X‖², on the dense model's inputs."""
        errors = []
        for name, module in linears_of_blocks(self.model):
            gram, dense = self.inputs[name].gram.double(), self.dense[name].double()
            change = dense - module.weight.data.double()
            errors.append(((change @ gram) * change).sum() / ((dense @ gram) * dense).sum())
        return torch.stack(errors).mean().item()


def settle():
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def memory():
    peak = {"peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}
    if DEVICE == "cuda":
        peak["device_peak_bytes"] = torch.cuda.max_memory_allocated()
    return peak


@torch.no_grad()
def main():
    setup = json.loads(sys.argv[1])
    torch.set_num_threads(setup["threads"])
    torch.backends.cuda.matmul.allow_tf32 = False
    session = Session(setup)
    print(json.dumps({**session.facts(), **memory()}), flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        try:
            result = session.reference(job) if job["do"] == "reference" else session.folder(job)
        except Exception as error:  # one job that fails leaves the others
            result = {"failed": f"{type(error).__name__}: {error}"}
        print(json.dumps({**result, **memory()}), flush=True)


if __name__ == "__main__":
    main()
